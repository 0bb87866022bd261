"""Every page of every registered model, for everybody who might ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.db import connection
from django.db.models import CompositePrimaryKey
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import override

from accounts.admin import ReadOnlyAdmin
from accounts.models import AuditEntry
from billing.models import SpendingAccount
from tests.admin.house import House, make_staff
from tests.billing.month import DOLLAR, IN_OCTOBER, close, tenant, use
from usage.models import QuarantinedEvent, UsageEvent

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LABELS = [model._meta.label for model in MODELS]
#: What may be edited in place; everything else is looked at, and changed by services alone.
EDITABLE = {"accounts.Customer", "accounts.Membership", "accounts.User", "auth.Group", "billing.HolidayOverride"}
ADDABLE = EDITABLE | {
    "accounts.ApiKey",
    "accounts.SellerProfile",
    "accounts.TaxProfile",
    "billing.Discount",
    "billing.ExchangeRate",
    "billing.MarginRule",
    "billing.MonthlyMinimum",
    "billing.Payment",
    "billing.PromotionalCredit",
    "billing.TopUpSetting",
    "billing.UpstreamAccrual",
    "billing.UpstreamPayment",
    "billing.PriceCorrection",
    "billing.ZeroRating",
    "catalog.ModelAlias",
    "catalog.PriceChange",
    "gateway.Upstream",
    "usage.ActivityEstimate",
}
DELETABLE = {"accounts.Membership", "auth.Group", "billing.HolidayOverride"}
#: Sessions and the person are two queries of every page; the longest list reads what its filters offer besides.
MOST_LIST_QUERIES = 12


def address(model: Any, page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def stored(model: Any) -> list[dict[str, Any]]:
    """Every row as it stands in the database."""
    rows = model._default_manager.order_by("pk").values()
    return [{name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()} for row in rows]


def first_pk(model: Any) -> Any:
    return model._default_manager.order_by("pk").first().pk


def test_every_model_of_ours_is_registered_or_an_inline() -> None:
    ours = {
        m._meta.label
        for app in ("accounts", "catalog", "usage", "billing", "gateway")
        for m in apps.get_app_config(app).get_models()
        if not isinstance(m._meta.pk, CompositePrimaryKey)  # the admin takes none
    }
    inlines = {inline.model._meta.label for one in admin.site._registry.values() for inline in one.inlines}
    assert ours - set(LABELS) - inlines == set()


#: What is called so in Korean as well.
ABBREVIATIONS = {"ID", "SHA-256"}


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_every_column_has_a_korean_name(model: Any, rf: RequestFactory) -> None:
    page, asked = admin.site._registry[model], rf.get("/")
    shown = list(page.get_list_display(asked))
    if isinstance(page, ReadOnlyAdmin):
        shown += [name for _title, options in page.get_fieldsets(asked) for name in options["fields"]]
    with override("ko"):
        labels = {str(label_for_field(name, model, page)) for name in shown}
    assert [text for text in labels - ABBREVIATIONS if not re.search("[가-힣]", text)] == []


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_the_list_and_a_row_open_for_a_superuser_and_for_nobody_without_permission(
    model: Any, root: Client, house: House
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        listed = root.get(address(model, "changelist"))
    assert (listed.status_code, listed.context["cl"].result_count > 0) == (200, True)
    assert len(queries) <= MOST_LIST_QUERIES, [query["sql"] for query in queries]
    pages = [address(model, "changelist"), address(model, "change", first_pk(model)), address(model, "add")]
    assert root.get(pages[1]).status_code == 200
    assert root.get(pages[2]).status_code == (200 if model._meta.label in ADDABLE else 403)

    staff = Client()
    staff.force_login(make_staff())
    assert [staff.get(page).status_code for page in pages] == [403, 403, 403]
    answers = [Client().get(page) for page in pages]
    assert [answer.headers.get("Location") for answer in answers] == [f"/admin/login/?next={page}" for page in pages]


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_what_is_issued_or_recorded_can_neither_be_changed_nor_deleted(model: Any, root: Client, house: House) -> None:
    before, pk = stored(model), first_pk(model)
    fields = {field.name: "1" for field in model._meta.fields}
    changed = root.post(address(model, "change", pk), fields)
    deleted = root.post(address(model, "delete", pk), {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    root.post(address(model, "changelist"), selected)
    label = model._meta.label
    if label not in EDITABLE:
        assert changed.status_code == 403
    if label not in DELETABLE:
        assert deleted.status_code == 403
    if label not in EDITABLE | DELETABLE:
        assert stored(model) == before


def test_somebody_who_may_only_look_sees_text_and_no_button(house: House) -> None:
    client = Client(headers={"accept-language": "en"})
    client.force_login(make_staff("looker@jeongsan.example", "accounts.view_customer", "catalog.view_price"))
    page = client.get(reverse("admin:accounts_customer_change", args=[house.gaon.pk]))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert 'name="reason"' not in page.content.decode()
    price = reverse("admin:catalog_price_change", args=[house.odd_price.pk])
    assert "Decide the price" not in client.get(price).content.decode()
    assert client.get(price.replace("change", "resolve")).status_code == 403
    assert client.post(price.replace("change", "resolve"), {"prompt": "0"}).status_code == 403
    assert client.get(reverse("admin:accounts_apikey_add")).status_code == 403
    assert client.get(reverse("admin:billing_billingrun_close")).status_code == 403
    assert client.get(reverse("admin:billing_invoice_pdf", args=[house.invoice.pk])).status_code == 403


def test_lists_ask_no_more_queries_when_there_are_more_rows(root: Client, house: House) -> None:
    def counts() -> dict[str, int]:
        return {
            label: count_queries(root, address(model, "changelist"))
            for model, label in zip(MODELS, LABELS, strict=True)
        }

    before = counts()
    for number in range(6):
        newcomer = tenant(f"newcomer-{number}")
        use(newcomer, DOLLAR)
        use(newcomer, DOLLAR, model="acme/cent", at=IN_OCTOBER)
    use(house.gaon, DOLLAR, model="acme/odd", at="2026-11-01T13:00:00+09:00", event_id="odd-2")
    close()
    assert counts() == before


def count_queries(client: Client, page: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(page).status_code == 200
    return len(queries)


FIGURES: list[tuple[str, Callable[[House], Any], list[str]]] = [
    (
        "billing_invoice",
        lambda house: house.invoice.pk,
        ["1,647,059", "164,706", "1,811,765", "1,000,000,000", ">1000<"],
    ),
    ("billing_billingrun", lambda house: house.run.pk, ["naru", "no tax profile", "1,811,765", "INV-202610-0001"]),
    ("usage_usageevent", lambda house: first_event(), ["1,000,000,000", "acme/dollar", "2026-10-15 12:00:00"]),
    ("catalog_price", lambda house: house.odd_price.pk, ["warp", "0.000002", "2026-10-20 09:00:00"]),
    (
        "billing_taxinvoice",
        lambda house: house.invoice.tax_invoice.pk,
        ["2026-10-31", "2026-11-10"],
    ),
    (
        "billing_spendingaccount",
        lambda house: SpendingAccount.objects.get(customer=house.gaon).pk,
        ["Not yet billed (KRW):</label>", '<div class="readonly">0</div>'],
    ),
]


def first_event() -> int:
    return UsageEvent.objects.get(customer__slug="gaon", served_model="acme/dollar").pk


@pytest.mark.parametrize(("name", "row", "texts"), FIGURES, ids=[figure[0] for figure in FIGURES])
def test_figures_are_written_as_an_accountant_writes_them(
    name: str, row: Callable[[House], Any], texts: list[str], root: Client, house: House
) -> None:
    page = root.get(reverse(f"admin:{name}_change", args=[row(house)])).content.decode()
    assert [text for text in texts if text not in page] == []


def test_the_list_of_what_waits_says_why_in_words(root: Client, house: House) -> None:
    page = root.get(address(QuarantinedEvent, "changelist")).content.decode()
    assert '<td class="field-why">price not decided</td>' in page
    assert root.get(address(QuarantinedEvent, "changelist") + "?code=unpriced").context["cl"].result_count == 0
    assert root.get(address(QuarantinedEvent, "changelist") + "?code=quarantined_price").context["cl"].result_count == 1


def test_a_row_leads_to_its_audit_trail(root: Client, house: House) -> None:
    trail = (
        f"{reverse('admin:accounts_auditentry_changelist')}?object_type=billing.invoice&object_id={house.invoice.pk}"
    )
    page = root.get(reverse("admin:billing_invoice_change", args=[house.invoice.pk])).content.decode()
    assert trail.replace("&", "&amp;") in page
    listed = root.get(trail).context["cl"].result_list
    assert [(entry.action, entry.object_id) for entry in listed] == [("issue_invoice", str(house.invoice.pk))]
    assert AuditEntry.objects.count() > 1


def test_lists_are_filtered_by_customer_and_month(root: Client, house: House) -> None:
    items = reverse("admin:billing_billingrunitem_changelist")

    def found(query: str) -> list[str]:
        return [item.customer.slug for item in root.get(items + query).context["cl"].result_list]

    assert found("") == ["gaon", "naru"]
    assert found("?customer=naru") == ["naru"]
    assert found("?customer=nobody") == []
    assert found("?customer=gaon&month=2026-10") == ["gaon"]
    assert found("?month=2026-09") == []
    assert root.get(items + "?month=2026-13").headers["Location"] == items + "?e=1"
    assert found("?customer=%00naru") == ["naru"]
