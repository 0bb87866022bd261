"""Delivery status notifications as three kinds of mail servers write them, about a mail of ours."""

from __future__ import annotations

from textwrap import dedent


def postfix(
    sent: bytes, *, to: str = "tax@gaonrobotics.example", action: str = "failed", status: str = "5.1.1"
) -> bytes:
    """Postfix: the returned headers as text/rfc822-headers, nothing in the report's own headers that names the mail."""
    headers = sent.split(b"\r\n\r\n", 1)[0].replace(b"\r\n", b"\n").decode()
    return (
        dedent(
            f"""\
            Return-Path: <>
            Date: Mon,  2 Nov 2026 09:00:07 +0900 (KST)
            From: MAILER-DAEMON@mx.jeongsan.example (Mail Delivery System)
            Subject: Undelivered Mail Returned to Sender
            To: billing@jeongsan.example
            Auto-Submitted: auto-replied
            MIME-Version: 1.0
            Content-Type: multipart/report; report-type=delivery-status;
            \tboundary="4Xb7Qk1vRz.1793577607/mx.jeongsan.example"
            Message-Id: <20261102000007.4Xb7Qn0cL@mx.jeongsan.example>

            This is a MIME-encapsulated message.

            --4Xb7Qk1vRz.1793577607/mx.jeongsan.example
            Content-Description: Notification
            Content-Type: text/plain; charset=us-ascii

            I'm sorry to have to inform you that your message could not be delivered.

            --4Xb7Qk1vRz.1793577607/mx.jeongsan.example
            Content-Description: Delivery report
            Content-Type: message/delivery-status

            Reporting-MTA: dns; mx.jeongsan.example
            X-Postfix-Queue-ID: 4Xb7Qk1vRz
            X-Postfix-Sender: rfc822; billing@jeongsan.example
            Arrival-Date: Mon,  2 Nov 2026 09:00:05 +0900 (KST)

            Final-Recipient: rfc822; {to}
            Original-Recipient: rfc822;{to}
            Action: {action}
            Status: {status}
            Remote-MTA: dns; mail.gaonrobotics.example
            Diagnostic-Code: smtp; 550 5.1.1 <{to}>: Recipient address
                rejected: User unknown in local recipient table

            --4Xb7Qk1vRz.1793577607/mx.jeongsan.example
            Content-Description: Undelivered Message Headers
            Content-Type: text/rfc822-headers

            """
        )
        + headers
        + "\n\n--4Xb7Qk1vRz.1793577607/mx.jeongsan.example--\n"
    ).encode()


def exchange(message_id: str, *, to: str = "tax@gaonrobotics.example") -> bytes:
    """Exchange: a long HTML text, the original not returned, In-Reply-To names the mail; dates only as its own Date."""
    return dedent(
        f"""\
        From: <postmaster@gaonrobotics.example>
        To: <billing@jeongsan.example>
        Date: Mon, 2 Nov 2026 00:00:09 +0000
        Content-Type: multipart/report; report-type=delivery-status;
        \tboundary="_9B1c2d3e-0001-4455-8899-aabbccddeeff_"
        Content-Language: ko-KR
        Message-ID: <5a1e77c0-2f4b-4c8e-9d11-3e8a@SL2PR01MB0001.apcprd01.prod.example>
        In-Reply-To: {message_id}
        References: {message_id}
        Subject: =?utf-8?B?67Cw64us65CY7KeAIOyViuydjA==?=
        Auto-Submitted: auto-replied
        X-MS-Exchange-Message-Is-Ndr:
        MIME-Version: 1.0

        --_9B1c2d3e-0001-4455-8899-aabbccddeeff_
        Content-Type: text/html; charset="utf-8"
        Content-Transfer-Encoding: quoted-printable

        <html><body><p>tax@gaonrobotics.example =EC=97=90 =EC=A0=84=EB=8B=AC</p></body></html>

        --_9B1c2d3e-0001-4455-8899-aabbccddeeff_
        Content-Type: message/delivery-status

        Reporting-MTA: dns;SL2PR01MB0001.apcprd01.prod.example
        Received-From-MTA: dns;mx.jeongsan.example
        Arrival-Date: Mon, 2 Nov 2026 00:00:08 +0000

        Final-Recipient: rfc822;{to}
        Action: failed
        Status: 5.1.10
        Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
         not found by SMTP address lookup

        --_9B1c2d3e-0001-4455-8899-aabbccddeeff_--
        """
    ).encode()


def gmail(sent: bytes, *, to: str = "tax@gaonrobotics.example") -> bytes:
    """Gmail: the whole mail comes back as message/rfc822, under a Message-ID that a relay had written anew."""
    returned = sent.replace(b"\r\n", b"\n").decode("utf-8")
    headers, _, body = returned.partition("\n\n")
    rewritten = "\n".join(
        "Message-ID: <0100018f2a-relay@mail.relay.example>" if line.lower().startswith("message-id:") else line
        for line in headers.split("\n")
    )
    return (
        dedent(
            f"""\
            Delivered-To: billing@jeongsan.example
            From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>
            To: billing@jeongsan.example
            Auto-Submitted: auto-replied
            Subject: Delivery Status Notification (Failure)
            References: <0100018f2a-relay@mail.relay.example>
            In-Reply-To: <0100018f2a-relay@mail.relay.example>
            X-Failed-Recipients: {to}
            Message-ID: <6546b1c9.170a0220.5e1f2.9f3bSMTPIN_ADDED_MISSING@mx.googlemail.example>
            Date: Sun, 01 Nov 2026 16:00:10 -0800 (PST)
            Content-Type: multipart/report; boundary="000000000000a1b2c3060943"; report-type=delivery-status

            --000000000000a1b2c3060943
            Content-Type: multipart/related; boundary="000000000000d4e5f6060943"

            --000000000000d4e5f6060943
            Content-Type: text/plain; charset="UTF-8"

            ** Address not found **

            --000000000000d4e5f6060943--
            --000000000000a1b2c3060943
            Content-Type: message/delivery-status

            Reporting-MTA: dns; googlemail.example
            Arrival-Date: Sun, 01 Nov 2026 16:00:09 -0800 (PST)
            X-Original-Message-ID: <0100018f2a-relay@mail.relay.example>

            Final-Recipient: rfc822; {to}
            Action: failed
            Status: 5.2.2
            Remote-MTA: dns; aspmx.l.googlemail.example. (192.0.2.26, the server for the
             domain gaonrobotics.example.)
            Diagnostic-Code: smtp; 552-5.2.2 The recipient's inbox is out of storage space
             and inactive.
            Last-Attempt-Date: Sun, 01 Nov 2026 16:00:10 -0800 (PST)

            --000000000000a1b2c3060943
            Content-Type: message/rfc822

            """
        )
        + rewritten
        + "\n\n"
        + body
        + "\n--000000000000a1b2c3060943--\n"
    ).encode()


def vacation() -> bytes:
    """An answer of a person's, which reports nothing."""
    return b"From: kim@gaon.example\nTo: billing@jeongsan.example\nSubject: Re: invoice\n\nI am away.\n"


def mbox(*mails: bytes) -> bytes:
    """The mails as one mailbox."""
    quoted = (
        b"\n".join(b">" + line if line.startswith(b"From ") else line for line in mail.split(b"\n")) for mail in mails
    )
    return b"".join(b"From MAILER-DAEMON Mon Nov  2 00:00:07 2026\n" + mail + b"\n" for mail in quoted)
