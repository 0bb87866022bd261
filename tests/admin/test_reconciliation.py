"""The operators' pages of reconciliation: the report with its filters and its file, and the upload that shows first."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from billing.services.margins import set_margin
from tests.admin.house import make_root, make_staff
from tests.reconciliation.statements import charge, charged, stated
from tests.sources.test_activity import row
from tests.usage.factories import ACTOR, MODEL, customer, ingest, line, model
from usage.models import ActivityEstimate, UsageEvent

pytestmark = pytest.mark.django_db

REPORT = "/admin/usage/upstreamstatement/reconciliation/"
UPLOAD = "/admin/usage/activityestimate/add/"
OCTOBER = "?first=2026-10-01&last=2026-10-31"


@pytest.fixture
def desk() -> Client:
    """hanbit matched once and drifted once, one charge is missing here, under a model that is a formula."""
    model()
    model("openai/gpt-4.1")
    customer()
    set_margin(customer=None, margin=Decimal(0), effective_from=date(2026, 1, 1), actor=ACTOR)
    charged("gen-1", "0.000345")
    charged("gen-2", "0.0004", model="openai/gpt-4.1")
    stated(charge("gen-9", "0.25", model="=HYPERLINK(1)"))
    client = Client(headers={"accept-language": "en"})
    client.force_login(make_root())
    return client


def rows(page: HttpResponse) -> list[tuple[str, dict[str, str], bool]]:
    """(model, figures that are not zero, whether it sold at a loss) of each line."""
    names = [name for name, _ in page.context["columns"]]
    return [
        (
            one.figures.model_id,
            {name: text for name, (text, _) in zip(names, cells, strict=True) if text},
            one.loss_usd is not None,
        )
        for one, cells in page.context["rows"]
    ]


def test_the_report_stands_over_the_statements_and_shows_the_last_days(desk: Client) -> None:
    assert reverse("admin:usage_upstreamstatement_reconciliation") == REPORT
    assert REPORT in desk.get(reverse("admin:usage_upstreamstatement_changelist")).content.decode()
    page = desk.get(REPORT)
    assert (page.status_code, page.context["form"].errors) == (200, {})


def test_each_line_is_a_day_and_model_with_what_does_not_agree(desk: Client) -> None:
    page = desk.get(REPORT + OCTOBER)
    costs = {"events": "1", "cost_usd": "0.000345"}
    assert rows(page) == [
        ("=HYPERLINK(1)", {"missing_here": "1", "missing_here_usd": "0.25"}, False),
        (MODEL, {**costs, "matched": "1", "charged_usd": "0.000345"}, False),
        ("openai/gpt-4.1", {**costs, "drifted": "1", "drift_usd": "0.000055", "charged_usd": "0.0004"}, True),
    ]
    assert [(str(one["kind"]), one["id"], one["drift"]) for one in page.context["findings"]] == [
        ("drift", "gen-2", "0.000055"),
        ("missing here", "gen-9", "-"),
    ]
    assert "HYPERLINK" in page.content.decode()


def test_filters_narrow_the_lines(desk: Client) -> None:
    assert [name for name, *_ in rows(desk.get(f"{REPORT}{OCTOBER}&model=claude"))] == [MODEL]
    assert [name for name, *_ in rows(desk.get(f"{REPORT}{OCTOBER}&only_differences=on"))] == [
        "=HYPERLINK(1)",
        "openai/gpt-4.1",
    ]
    assert [name for name, *_ in rows(desk.get(f"{REPORT}{OCTOBER}&customer=hanbit"))] == [MODEL, "openai/gpt-4.1"]
    assert rows(desk.get(f"{REPORT}?first=2026-10-06&last=2026-10-31")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?first=2026-10-31&last=2026-10-01", "__all__"),
        ("?first=2026-01-01&last=2026-10-01", "__all__"),
        ("?first=october&last=2026-10-01", "first"),
        ("?first=2026-10-01", "last"),
        (f"{OCTOBER}&customer=nobody", "customer"),
    ],
)
def test_what_can_not_be_shown_is_said_on_the_page(desk: Client, query: str, field: str) -> None:
    page = desk.get(REPORT + query)
    assert (page.status_code, page.context["report"], list(page.context["form"].errors)) == (200, None, [field])


def test_the_file_has_every_figure_and_no_formula(desk: Client) -> None:
    page = desk.get(f"{REPORT}{OCTOBER}&only_differences=on")
    answer = desk.get(f"{REPORT}?{page.context['csv_query']}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="reconciliation-2026-10-01-2026-10-31.csv"'
    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(one["model"], one["drift_usd"], one["missing_here_usd"], one["negative_margin"]) for one in lines] == [
        ("'=HYPERLINK(1)", "0", "0.25", ""),
        ("openai/gpt-4.1", "0.000055", "0", "yes"),
    ]


def test_nobody_without_the_permission_sees_it(desk: Client) -> None:
    staff = Client()
    staff.force_login(make_staff())
    assert [staff.get(page).status_code for page in (REPORT, UPLOAD)] == [403, 403]
    assert Client().get(REPORT).status_code == 302


# -- Upload ------------------------------------------------------------------------------------------------------------
def upload(desk: Client, content: bytes, slug: str = "hanbit") -> HttpResponse:
    return desk.post(UPLOAD, {"customer": slug, "file": SimpleUploadedFile("activity.json", content)})


def as_json(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"data": rows}).encode()


def test_an_upload_is_shown_first_and_metered_when_it_is_confirmed(desk: Client) -> None:
    ingest(line("gen-3", occurred_at="2026-10-07T12:00:00Z"))
    page = upload(desk, as_json(row(date="2026-10-06"), row(date="2026-10-07"), row(date="2026-10-08", requests=0)))
    assert [(one.number, one.day, one.outcome, one.events, one.is_bad) for one in page.context["rows"]] == [
        (1, "2026-10-06", "will be metered", "1", False),
        (2, "2026-10-07", "real events are there", "-", False),
        (3, "-", "refused", "-", True),
    ]
    assert not ActivityEstimate.objects.exists()

    carried = {name: page.context[name] for name in ("source", "content")} | {"customer": "hanbit"}
    done = desk.post(UPLOAD, carried, follow=True)
    assert "1 rows of hanbit metered as 1 events; 2 rows left alone." in done.content.decode()
    estimate = ActivityEstimate.objects.get()
    assert (estimate.source, estimate.created_by) == ("activity.json", "root@jeongsan.example")
    assert UsageEvent.objects.filter(event_id__in=estimate.event_ids).count() == 1
    assert [one.outcome for one in upload(desk, as_json(row(date="2026-10-06"))).context["rows"]] == [
        "was metered before"
    ]


@pytest.mark.parametrize(
    ("content", "slug", "field"),
    [
        (b"[", "hanbit", "file"),
        (b"", "hanbit", "file"),
        (b" " * 1_000_001, "hanbit", "file"),
        (as_json(row()), "nobody", "customer"),
        (as_json(row()), "", "customer"),
    ],
)
def test_a_refusal_stands_beside_its_field(desk: Client, content: bytes, slug: str, field: str) -> None:
    page = upload(desk, content, slug)
    assert (page.status_code, list(page.context["form"].errors), page.context["customer"]) == (200, [field], None)


#: Two rows without their end: what is left of them would still be a list.
CUT = base64.b64encode(
    zlib.compress(
        b"date,model,usage,requests,prompt_tokens,completion_tokens\n2026-10-06,a/b,1,1,1,1\n2026-10-07,a/b,1,1,1,1\n",
        0,
    )[:-30]
).decode()


@pytest.mark.parametrize("content", ["", "not base64!", "AAAA", "가", CUT])
def test_a_list_that_was_damaged_on_the_way_meters_nothing(desk: Client, content: str) -> None:
    page = desk.post(UPLOAD, {"customer": "hanbit", "source": "x", "content": content})
    assert page.status_code == 200
    assert "The list got lost on the way" in page.content.decode() or content == ""
    assert not ActivityEstimate.objects.exists()
