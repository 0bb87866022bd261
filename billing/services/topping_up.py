"""Telling a customer in time that its prepayment runs low, once until it is up again."""

from __future__ import annotations

from datetime import date, datetime

from django.db import connection, transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.selectors import seller_profile_in_force, tax_profile_in_force
from accounts.services import record_audit
from billing.documents import BankAccount, TopUpDocument
from billing.models import Alert, Delivery, TopUpRequest, TopUpSetting
from billing.selectors.balances import Outlook, prepayment_outlook
from billing.services.alerting import raise_alert
from billing.services.allocating import day_of
from usage.periods import BillingMonth
from usage.services.locking import hold_customer

_OPEN = TopUpRequest.Status.OPEN


@transaction.atomic
def set_top_up(
    *, customer: Customer, threshold_krw: int, amount_krw: int | None, actor: str, now: datetime
) -> TopUpSetting:
    """From now on, tell the customer when less than the threshold is available; with an amount, ask for that deposit."""
    if threshold_krw <= 0:
        raise InvalidInput("threshold_krw: more than 0 won", field="threshold_krw")
    if amount_krw is not None and amount_krw <= 0:
        raise InvalidInput("amount_krw: more than 0 won, or none", field="amount_krw")
    setting, _created = TopUpSetting.objects.update_or_create(
        customer=customer,
        defaults={"threshold_krw": threshold_krw, "amount_krw": amount_krw, "actor": actor, "updated_at": now},
    )
    data = {"customer": customer.slug, "threshold_krw": threshold_krw, "amount_krw": amount_krw}
    record_audit(actor=actor, action="set_top_up", subject=setting, data=data)
    return setting


@transaction.atomic
def stop_top_up(*, customer: Customer, actor: str, now: datetime) -> None:
    """Tell the customer no more. An open request is closed."""
    setting = TopUpSetting.objects.filter(customer=customer).first()
    if setting is None:
        return
    record_audit(actor=actor, action="stop_top_up", subject=setting, data={"customer": customer.slug})
    setting.delete()
    _end(customer, now=now)


def request_top_ups(*, now: datetime) -> list[TopUpRequest]:
    """Look at every customer with a setting: mail those that fell below, close the requests of those that are up again."""
    made = []
    for setting in TopUpSetting.objects.select_related("customer").order_by("customer_id"):
        request = _request_top_up(setting.customer, now=now)
        if request is not None:
            made.append(request)
    return made


@transaction.atomic
def _request_top_up(customer: Customer, *, now: datetime) -> TopUpRequest | None:
    hold_customer(customer.pk)
    setting = TopUpSetting.objects.filter(customer=customer).first()
    if setting is None:
        return None
    today = day_of(now)
    outlook = prepayment_outlook(customer, BillingMonth.of(now), on=today)
    if outlook.available_krw >= setting.threshold_krw:
        _end(customer, now=now)
        return None
    if TopUpRequest.objects.filter(customer=customer, status=_OPEN).exists():
        return None
    pk = _next_pk()
    document = _document(setting, outlook, code=f"JT{pk:06d}", on=today)
    if document is None:
        return None
    request = TopUpRequest.objects.create(
        pk=pk,
        customer=customer,
        amount_krw=setting.amount_krw,
        deposit_code=document.deposit_code,
        document=document.to_json(),
        requested_at=now,
    )
    Delivery.objects.bulk_create(
        Delivery(
            kind=Delivery.Kind.TOP_UP_EMAIL,
            top_up_request=request,
            recipient=address,
            next_attempt_at=now,
            created_at=now,
        )
        for address in _recipients(customer, on=today)
    )
    raise_alert(
        kind=Alert.Kind.PREPAYMENT_LOW,
        subject=f"{customer.slug} {request.deposit_code}",
        detail={
            "customer": customer.slug,
            "prepaid_krw": f"{outlook.prepaid_krw:,}",
            "unbilled_krw": f"{outlook.unbilled_krw:,}",
        },
        now=now,
    )
    return request


def _next_pk() -> int:
    """The row's number before the row: its deposit code is made of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [TopUpRequest._meta.db_table])
        return int(cursor.fetchone()[0])


def _end(customer: Customer, *, now: datetime) -> None:
    TopUpRequest.objects.filter(customer=customer, status=_OPEN).update(
        status=TopUpRequest.Status.ANSWERED, answered_at=now
    )


def _recipients(customer: Customer, *, on: date) -> list[str]:
    profile = tax_profile_in_force(customer, on=on)
    addresses = (profile.email, profile.email2) if profile else ()
    return sorted({address.strip().lower() for address in addresses} - {""})


def _document(setting: TopUpSetting, outlook: Outlook, *, code: str, on: date) -> TopUpDocument | None:
    """What the mail says; None while one of the parties has no identity, for then nobody can be written to."""
    seller, buyer = seller_profile_in_force(on=on), tax_profile_in_force(setting.customer, on=on)
    if seller is None or buyer is None:
        return None
    return TopUpDocument(
        locale=setting.customer.locale,
        requested_on=on,
        buyer_name=buyer.name,
        seller_name=seller.name,
        seller_email=seller.email,
        seller_phone=seller.phone,
        bank=BankAccount(bank=seller.bank_name, number=seller.bank_account_no, holder=seller.bank_account_holder),
        deposit_code=code,
        threshold_krw=setting.threshold_krw,
        prepaid_krw=outlook.prepaid_krw,
        unbilled_krw=outlook.unbilled_krw,
        amount_krw=setting.amount_krw,
    )
