"""The file of an invoice's usage and its hash chain: computed twice, in the database and by whoever holds the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from accounts.models import Customer
from billing.selectors.statements import statement_digest, statement_lines
from billing.statements import COLUMNS, Statement, StatementError, read_statement
from tests.billing.commands import run
from tests.billing.month import LATER, NOVEMBER, OCTOBER, close, open_house, tenant, use
from usage.services.replacing import exclude_priced_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    open_house()
    customer = tenant()
    use(customer, 1_000_003, event_id="b", at="2026-10-15T12:00:00+09:00")
    use(customer, 2_000_000, event_id="a", at="2026-10-15T12:00:00+09:00")
    use(customer, 7, event_id='너\\"', at="2026-10-31T23:59:59.999999+09:00", model="acme/cent")
    use(customer, 5, event_id="next month", at="2026-11-01T00:00:00+09:00", now=LATER)
    return customer


def file_of(customer: Customer) -> list[bytes]:
    return [line.encode() + b"\n" for line in statement_lines(customer, OCTOBER)]


def test_every_line_and_the_digest_by_hand(gaon: Customer) -> None:
    zeros = [0] * 10
    head = json.dumps(
        {
            "jeongsan_statement": 1,
            "customer": "gaon",
            "month": "2026-10",
            "events": 3,
            "cost_usd": "3.00000307",
            "columns": list(COLUMNS),
        },
        separators=(",", ":"),
    )
    at = "2026-10-15T03:00:00.000000Z"
    events = [
        ["a", at, "acme/dollar", 2_000_000, *zeros, "2"],
        ["b", at, "acme/dollar", 1_000_003, *zeros, "1.000003"],
        ['너\\"', "2026-10-31T14:59:59.999999Z", "acme/cent", 7, *zeros, "0.00000007"],
    ]
    lines = [json.dumps(event, ensure_ascii=False) for event in events]
    chain = b""
    for line in lines:
        chain = hashlib.sha256(chain + line.encode()).digest()
    digest = hashlib.sha256(head.encode() + chain).hexdigest()
    assert list(statement_lines(gaon, OCTOBER)) == [head, *lines, json.dumps({"digest": digest}, separators=(",", ":"))]
    assert statement_digest(gaon, OCTOBER) == (3, digest)
    statement = read_statement(file_of(gaon))
    assert statement == Statement(
        statement.head, digest, {"acme/dollar": Decimal("3.000003"), "acme/cent": Decimal("0.00000007")}
    )


def test_late_usage_is_in_the_statement_of_the_month_that_bills_it(gaon: Customer) -> None:
    close()
    use(gaon, 11, event_id="late", at="2026-10-02T12:00:00+09:00", now=LATER)
    assert statement_digest(gaon, OCTOBER)[0] == 3
    november = [json.loads(line)[0] for line in list(statement_lines(gaon, NOVEMBER))[1:-1]]
    assert november == ["late", "next month"]


def test_a_month_without_usage_has_an_empty_statement(gaon: Customer) -> None:
    lines = [line.encode() for line in statement_lines(tenant("nobody"), OCTOBER)]
    assert len(lines) == 2
    assert read_statement(lines).head.events == 0


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, str]] = {
    "a digit of a count": (
        lambda file: [file[0], file[1].replace(b"2000000", b"2000001"), *file[2:]],
        "do not give the digest",
    ),
    "a cost": (lambda file: [file[0], file[1].replace(b'"2"', b'"3"'), *file[2:]], "the head says 3.00000307"),
    "an event left out": (lambda file: [file[0], *file[2:]], "the file has 2"),
    "an event twice": (lambda file: [*file[:2], *file[1:]], "line 3: not in the order"),
    "two events in the other order": (lambda file: [file[0], file[2], file[1], *file[3:]], "line 3: not in the order"),
    "the end cut off": (lambda file: file[:-1], "ends without its foot"),
    "something after the foot": (lambda file: [*file, file[1]], "line 6: something follows"),
    "another customer's name": (lambda file: [file[0].replace(b"gaon", b"noag"), *file[1:]], "do not give the digest"),
    "another foot": (lambda file: [*file[:-1], b'{"digest":"00"}'], "do not give the digest"),
    "no head": (lambda file: file[1:], "line 1: not the head"),
    "not JSON": (lambda file: [file[0], b"[", *file[2:]], "line 2: not JSON"),
    "a cost that is no number": (lambda file: [file[0], file[1].replace(b'"2"', b'"NaN"'), *file[2:]], "no amount"),
    "an empty file": (lambda file: [], "line 1: not JSON"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_changed_is_found(gaon: Customer, name: str) -> None:
    change, reason = CHANGES[name]
    with pytest.raises(StatementError, match=reason):
        read_statement(change(file_of(gaon)))


def test_the_command_checks_a_file_against_the_paper(gaon: Customer, tmp_path: Path) -> None:
    path = tmp_path / "statement.ndjson"
    path.write_bytes(b"".join(file_of(gaon)))
    _events, digest = statement_digest(gaon, OCTOBER)
    code, answer = run("verify_statement", str(path), "--digest", f"{digest[:32].upper()} {digest[32:]}")
    assert (code, answer["valid"], answer["events"], answer["cost_usd"]) == (0, True, 3, "3.00000307")
    assert answer["models"] == {"acme/cent": "0.00000007", "acme/dollar": "3.000003"}
    code, answer = run("verify_statement", str(path), "--digest", "0" * 64)
    assert (code, answer["valid"]) == (1, False)
    path.write_bytes(path.read_bytes()[:-20])
    code, answer = run("verify_statement", str(path))
    assert (code, answer) == (1, {"valid": False, "reason": "line 5: not JSON"})
    code, answer = run("verify_statement", str(tmp_path / "none"))
    assert (code, answer["error"]["field"]) == (2, "file")


def test_what_was_taken_back_is_in_no_statement(gaon: Customer) -> None:
    exclude_priced_event(customer_id=gaon.pk, event_id="b", reason="twice", actor="tests", now=LATER)
    assert [json.loads(line)[0] for line in list(statement_lines(gaon, OCTOBER))[1:-1]] == ["a", '너\\"']
