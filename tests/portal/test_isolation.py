"""A customer sees its own rows and nobody else's, on every address: 404 for the rest, never 403."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey
from billing.models import CreditNote
from billing.services.crediting import issue_credit_note
from portal.urls import customer_pages
from tests.portal.factories import Cast, Company, make_user

pytestmark = pytest.mark.django_db

PAGES = (
    "dashboard",
    "usage",
    "keys",
    "revoke_key",
    "invoices",
    "invoice",
    "invoice_pdf",
    "invoice_line",
    "invoice_statement",
    "credit_note",
    "credit_note_pdf",
    "balance",
    "statement_csv",
)
#: They hold figures and no name.
FILES = {"invoice_pdf", "statement_csv", "invoice_statement", "credit_note_pdf"}
METHODS = {page: ("get", "post") if page in {"keys", "revoke_key"} else ("get",) for page in PAGES}
BODY = {"name": "made by the matrix"}


def note_of(company: Company) -> str:
    """The number of the company's credit note: one won of its invoice, whose VAT stays."""
    kept = CreditNote.objects.filter(customer=company.customer).first()
    note = kept or issue_credit_note(
        invoice=company.invoice,
        amounts_krw={1: 1},
        amendment_code="01",
        reason="test",
        actor="test",
        now=timezone.now(),
    )
    return note.number


def address(page: str, company: Company, *, slug: str | None = None) -> str:
    """The page of that company's own row, under its slug or another."""
    arguments: dict[str, object] = {"slug": slug or company.customer.slug}
    if page == "revoke_key":
        arguments["key_id"] = company.key.key.pk
    if page in {"invoice", "invoice_pdf", "invoice_line", "invoice_statement"}:
        arguments["number"] = company.invoice.number
    if page in {"credit_note", "credit_note_pdf"}:
        arguments["number"] = note_of(company)
    if page == "invoice_line":
        arguments["position"] = 1
    return reverse(f"portal:{page}", kwargs=arguments)


@dataclass
class Clients:
    anonymous: Client
    member: Client
    other: Client
    operator: Client
    superuser: Client


@pytest.fixture
def clients(cast: Cast) -> Clients:
    def logged_in(user: object) -> Client:
        client = Client()
        client.force_login(user)
        return client

    root = make_user(email="root@operator.example", is_staff=True)
    root.is_superuser = True
    root.save(update_fields=["is_superuser"])
    return Clients(Client(), *(logged_in(user) for user in (cast.acme.owner, cast.globex.owner, cast.mallory, root)))


def test_the_matrix_knows_every_page() -> None:
    assert {pattern.name for pattern in customer_pages} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_who_gets_which_answer(page: str, cast: Cast, clients: Clients) -> None:
    path = address(page, cast.acme)
    for method in METHODS[page]:
        data = BODY if method == "post" else None
        stranger = getattr(clients.anonymous, method)(path, data)
        assert (stranger.status_code, stranger["Location"]) == (302, f"/login/?next={path}")
        for client in (clients.other, clients.operator, clients.superuser):
            assert getattr(client, method)(path, data).status_code == 404
        answer = getattr(clients.member, method)(path, data)
        assert answer.status_code == (302 if (page, method) == ("revoke_key", "post") else 200)


@pytest.mark.parametrize("page", PAGES)
def test_nobody_outside_changed_anything(page: str, cast: Cast, clients: Clients) -> None:
    before = list(ApiKey.objects.order_by("pk").values())
    for client in (clients.anonymous, clients.other, clients.operator, clients.superuser):
        for method in ("get", "head", "post", "put", "patch", "delete"):
            assert getattr(client, method)(address(page, cast.acme)).status_code in {302, 404}
    assert list(ApiKey.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    "page",
    ["revoke_key", "invoice", "invoice_pdf", "invoice_line", "invoice_statement", "credit_note", "credit_note_pdf"],
)
def test_another_customers_row_is_not_found_under_ones_own_slug(page: str, cast: Cast, clients: Clients) -> None:
    path = address(page, cast.globex, slug="acme")
    assert clients.member.get(path).status_code == 404
    assert clients.member.post(path).status_code in {404, 405}
    assert ApiKey.objects.get(pk=cast.globex.key.key.pk).revoked_at is None


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_slug_and_a_foreign_one_give_the_same_page(page: str, cast: Cast, clients: Clients) -> None:
    foreign = clients.member.get(address(page, cast.globex))
    unknown = clients.member.get(address(page, cast.globex, slug="nobody"))
    assert foreign.status_code == unknown.status_code == 404

    def text(answer: object) -> str:
        body = answer.content.decode().replace("/c/globex/", "/c/X/").replace("/c/nobody/", "/c/X/")
        return "".join(line for line in body.splitlines() if "csrfmiddlewaretoken" not in line)

    assert text(foreign) == text(unknown)


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith("_pdf")])
def test_no_page_holds_a_word_of_the_other_customer(page: str, cast: Cast, clients: Clients) -> None:
    body = b"".join(clients.member.get(address(page, cast.acme))).decode()
    other = cast.globex
    numbers = (other.invoice.number, note_of(other))
    for word in (other.customer.name, "globex", other.key.key.prefix, *numbers, other.owner.email):
        assert word not in body
    assert "한빛 주식회사" in body or page in FILES


@pytest.mark.parametrize(
    "path",
    [
        "/c/acme/keys/999999999999999999999999/revoke/",
        "/c/acme/keys/0/revoke/",
        "/c/acme/keys/-1/revoke/",
        "/c/acme/keys/１/revoke/",
        "/c/acme/invoices/INV%00/",
        "/c/acme/invoices/None/",
        "/c/acme/invoices/..%2F..%2Fetc/",
        "/c/acme/invoices/INV-999999-0001.pdf",
        "/c/acme/credit-notes/CN-999999-0001.pdf",
        "/c/acme/credit-notes/None/",
        "/c/acme%00/",
        "/c/%EA%B0%80/",
        "/c/ACME/",
        "/c/acme/nothing/",
    ],
)
def test_odd_addresses_are_not_found(path: str, acme: Client) -> None:
    assert acme.get(path).status_code == 404


def test_a_draft_is_nobodys_business_but_ours(cast: Cast, acme: Client) -> None:
    from billing.models import Invoice
    from tests.portal.factories import this_month
    from usage.models import BillingPeriod

    month = this_month()
    period = BillingPeriod.objects.create(
        customer=cast.acme.customer, month=month.first_on, start_at=month.start_at, end_at=month.end_at
    )
    Invoice.objects.create(
        customer=cast.acme.customer,
        period=period,
        month=month.first_on,
        locale="ko",
        cost_usd=1,
        exchange_rule="month_end",
        exchange_rate=1400,
        exchange_evidence={},
        margin=0,
        rounding="half_up",
        supply_krw=777_777,
        vat_krw=77_778,
        total_krw=855_555,
    )
    assert "777,777" not in acme.get("/c/acme/invoices/").content.decode()
    assert "777,777" not in acme.get("/c/acme/").content.decode()


def test_leaving_a_company_closes_its_pages_at_once(cast: Cast, acme: Client) -> None:
    assert acme.get("/c/acme/").status_code == 200
    cast.acme.owner.memberships.all().delete()
    assert acme.get("/c/acme/").status_code == 404
    assert acme.get(f"/c/acme/invoices/{cast.acme.invoice.number}.pdf").status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_kept_by_caches(page: str, cast: Cast, clients: Clients) -> None:
    for client in (clients.member, clients.anonymous):
        cache = client.get(address(page, cast.acme))["Cache-Control"]
        assert {"no-store", "private", "no-cache"} <= set(cache.split(", "))
