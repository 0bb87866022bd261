"""The embedded tax-invoice provider: it plays a real one's behaviour and tells no tax office anything.

What it does is decided beforehand, so that every failure can be shown and tested:

* the buyer's e-mail address may carry a tag before the @: `+reject`, `+timeout` or `+unavailable`;
* otherwise `TAX_SANDBOX_BEHAVIOUR` decides: accept (default), reject, timeout_after_accept, unavailable.

Its memory is the table `SandboxTaxDocument`. A real provider remembers what it accepted even if our transaction rolls
back, so accepting commits at once and refuses to run inside a transaction of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.adapters.tax_document import TaxDocument, require_key
from billing.adapters.tax_provider import (
    Health,
    Issued,
    KeyInUse,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnavailable,
    Snapshot,
)
from billing.errors import TaxProviderMisconfigured
from billing.models import SandboxTaxDocument

#: Where an approval number names the issuing system; no registered system has this number.
SYSTEM_NO = "00000000"


class Behaviour(StrEnum):
    """How the sandbox answers `issue`."""

    ACCEPT = "accept"
    REJECT = "reject"
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"
    UNAVAILABLE = "unavailable"


_TAGS = {
    "reject": Behaviour.REJECT,
    "timeout": Behaviour.TIMEOUT_AFTER_ACCEPT,
    "unavailable": Behaviour.UNAVAILABLE,
}


class SandboxProvider:
    """A `TaxInvoiceProvider` with its memory in our database. Issues nothing outside it."""

    def __init__(self, behaviour: Behaviour, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._behaviour = behaviour
        self._clock = clock  # a provider has its own

    @classmethod
    def from_settings(cls) -> SandboxProvider:
        """Raises TaxProviderMisconfigured for a behaviour that does not exist."""
        try:
            return cls(Behaviour(settings.TAX_SANDBOX_BEHAVIOUR))
        except ValueError:
            known = ", ".join(Behaviour)
            raise TaxProviderMisconfigured(
                f"TAX_SANDBOX_BEHAVIOUR is {settings.TAX_SANDBOX_BEHAVIOUR!r}; it is one of {known}."
            ) from None

    def issue(self, doc: TaxDocument, *, key: str) -> Issued:
        return self._issue(doc, key=key)

    def issue_amendment(self, doc: TaxDocument, *, key: str, original_approval_no: str) -> Issued:
        if not SandboxTaxDocument.objects.filter(approval_no=original_approval_no).exists():
            # ERR011 of the tax office.
            raise ProviderRejected(
                code="sandbox_no_original", field="original_approval_no", message="no such document was issued here"
            )
        return self._issue(doc, key=key, original_approval_no=original_approval_no)

    def _issue(self, doc: TaxDocument, *, key: str, original_approval_no: str = "") -> Issued:
        require_key(key)
        behaviour = _tagged(doc.buyer.email) or self._behaviour
        if behaviour is Behaviour.UNAVAILABLE:
            raise ProviderUnavailable("the sandbox plays being away")
        if behaviour is Behaviour.REJECT:
            raise ProviderRejected(
                code="sandbox_rejected", field="buyer.registration_no", message="the sandbox plays a refusal"
            )
        payload = _payload(doc) | {"original_approval_no": original_approval_no}
        kept = _keep(doc, payload=payload, key=key, accepted_at=self._clock())
        if behaviour is Behaviour.TIMEOUT_AFTER_ACCEPT:
            raise OutcomeUnknown("the sandbox accepted and then plays silence")
        return Issued(approval_no=kept.approval_no, issued_at=kept.accepted_at)

    def lookup(self, key: str) -> Snapshot | None:
        if self._behaviour is Behaviour.UNAVAILABLE:
            raise ProviderUnavailable("the sandbox plays being away")
        kept = SandboxTaxDocument.objects.filter(key=key).first()
        if kept is None:
            return None
        return Snapshot(
            key=kept.key,
            approval_no=kept.approval_no,
            issued_at=kept.accepted_at,
            write_date_on=date.fromisoformat(kept.payload["write_date_on"]),
            buyer_registration_no=kept.payload["buyer"]["registration_no"],
            supply_krw=kept.payload["supply_krw"],
            tax_krw=kept.payload["tax_krw"],
            total_krw=kept.payload["total_krw"],
            original_approval_no=kept.payload.get("original_approval_no", ""),
        )

    def preflight(self) -> Health:
        if self._behaviour is Behaviour.UNAVAILABLE:
            return Health(is_ready=False, detail="the sandbox plays being away")
        return Health(is_ready=True, detail="sandbox: nothing reaches the tax office")


def _tagged(email: str) -> Behaviour | None:
    tags = email.partition("@")[0].lower().split("+")[1:]
    return next((_TAGS[tag] for tag in tags if tag in _TAGS), None)


def _keep(doc: TaxDocument, *, payload: dict[str, Any], key: str, accepted_at: datetime) -> SandboxTaxDocument:
    try:
        with transaction.atomic(durable=True):
            kept = SandboxTaxDocument.objects.create(key=key, payload=payload, accepted_at=accepted_at)
            # 작성일자, issuing system, serial: eight characters each.
            kept.approval_no = f"{doc.write_date_on:%Y%m%d}{SYSTEM_NO}{kept.pk:08d}"
            kept.save(update_fields=["approval_no"])
    except IntegrityError:
        raise KeyInUse(f"the sandbox already holds {key}") from None
    return kept


def _payload(doc: TaxDocument) -> dict[str, Any]:
    """The document as plain JSON; dates as text."""
    payload: dict[str, Any] = json.loads(json.dumps(asdict(doc), default=date.isoformat))
    return payload
