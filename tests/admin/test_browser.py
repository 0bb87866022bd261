"""The main pages in a real browser under the real policy: whatever it blocks or misses is said on its console."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey
from tests.admin.browser import chromium, serving, visit
from tests.admin.house import House

pytestmark = pytest.mark.django_db


def test_no_page_needs_what_the_policy_forbids(root: Client, house: House) -> None:
    addresses = [
        "/admin/",
        reverse("admin:billing_invoice_changelist"),
        reverse("admin:billing_invoice_change", args=[house.invoice.pk]),
        reverse("admin:billing_billingrun_change", args=[house.run.pk]),
        reverse("admin:billing_billingrun_close") + "?month=2026-10",
        reverse("admin:billing_exchangerate_changelist"),
        reverse("admin:usage_quarantinedevent_changelist"),
        reverse("admin:usage_quarantinedevent_exclude", args=[house.quarantined.pk]),
        reverse("admin:usage_usageevent_changelist"),
        reverse("admin:catalog_price_resolve", args=[house.odd_price.pk]),
        reverse("admin:accounts_customer_change", args=[house.gaon.pk]),
        reverse("admin:accounts_user_change", args=[house.root.pk]),
        reverse("admin:auth_user_password_change", args=[house.root.pk]),
    ]
    add_key = reverse("admin:accounts_apikey_add")
    with serving() as origin, chromium() as browser:
        nobody = visit(browser, origin)
        nobody.page.goto("/admin/")
        assert nobody.page.get_attribute("html", "lang") == "ko"
        tab = visit(browser, origin, root)
        for address in addresses:
            assert tab.page.goto(address).status == 200
            tab.page.wait_for_load_state("networkidle")
            assert tab.complaints == [], address
        tab.page.goto(add_key)
        tab.page.fill("#id_name", "browser")
        tab.page.click(".select2-selection")
        tab.page.click("text=gaon")
        tab.page.click("input.default")
        secret = tab.page.inner_text("code.secret")
        assert (nobody.complaints, tab.complaints) == ([], [])
    key = ApiKey.objects.get(name="browser")
    assert (key.customer, secret[:20], secret[-4:], len(secret)) == (house.gaon, key.prefix, key.last4, 44)
