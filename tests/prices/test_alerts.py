"""What operators are told: once a matter, in the list and by mail; a failed sync changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.models import AuditEntry
from billing import tasks
from billing.models import Alert
from billing.services.alerting import LEASE, acknowledge_alert, alert_waiting_changes, raise_alert, send_alerts
from catalog.models import CatalogSync, Price, PriceChange
from catalog.services import reject_price_change
from config.celery import BEAT_SCHEDULE, app
from tests.billing.month import NOW
from tests.billing.outbox import mail_server, mails
from tests.catalog.listings import MAY, entry, history, listing, row_versions, sync_body, usd
from tests.prices.upstream import Upstream, upstream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

TWO = listing(entry("a/x", "0.000003"), entry("a/y"))


@pytest.fixture
def source(settings: Any) -> Iterator[Upstream]:
    """An upstream that lists what the catalog holds, named by CATALOG_URL."""
    sync_body(TWO, at=MAY)
    with upstream(TWO) as answer:
        settings.CATALOG_URL = answer.url
        yield answer


def alerts() -> list[tuple[str, str, dict[str, Any]]]:
    return [(alert.kind, alert.subject, alert.detail) for alert in Alert.objects.order_by("pk")]


def raised(subject: str = "2026-10 a/x") -> Alert:
    alert = raise_alert(kind=Alert.Kind.NEGATIVE_MARGIN, subject=subject, detail={"model": "a/x"}, now=NOW)
    assert alert is not None
    return alert


def test_without_an_address_beat_syncs_nothing(settings: Any) -> None:
    assert settings.CATALOG_URL == ""
    tasks.sync_catalog()
    assert (Alert.objects.count(), CatalogSync.objects.count()) == (0, 0)


def test_beat_applies_what_changed_and_nothing_else(source: Upstream) -> None:
    before = row_versions()
    tasks.sync_catalog()
    assert (row_versions(), alerts()) == (before, [])

    source.body = listing(entry("a/x", "0.000004"), entry("a/y"))
    tasks.sync_catalog()

    assert [row[3] for row in history("a/x")] == [usd("0.000003"), usd("0.000004")]
    price = Price.objects.get(model__model_id="a/x", effective_to=None)
    assert (price.source, price.created_by, alerts()) == (source.url, "beat sync_catalog", [])


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, b"busy", "listing_unreadable"),
        (200, b"<html>502</html>", "html"),
        (200, TWO[:-2], "truncated"),
        (200, b'{"data": []}', "no_models"),
        (200, listing(entry("b/z")), "shrunken_listing"),
    ],
)
def test_a_failed_shrunken_or_malformed_listing_changes_nothing_and_alerts(
    source: Upstream, status: int, body: bytes, code: str
) -> None:
    before = row_versions()
    source.status, source.body = status, body

    tasks.sync_catalog()
    tasks.sync_catalog()

    assert row_versions() == before
    [(kind, subject, detail)] = alerts()
    assert (kind, subject, detail["code"]) == ("catalog_sync_failed", "127.0.0.1", code)
    assert detail["message"]


def test_an_upstream_that_is_not_there(settings: Any) -> None:
    settings.CATALOG_URL = "http://127.0.0.1:1/models"
    tasks.sync_catalog()
    assert alerts()[0][2]["code"] == "listing_unreadable"


def test_a_fault_of_ours_alerts_as_well(
    source: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("billing.services.alerting.sync_catalog", fail)
    tasks.sync_catalog()
    assert [row[2]["code"] for row in alerts()] == ["internal_error"]
    assert "a secret detail" in caplog.text


def test_a_price_that_waits_is_told_until_it_is_decided(source: Upstream) -> None:
    source.body = listing(entry("a/x", "0.000009"), entry("a/y"))
    tasks.sync_catalog()
    tasks.sync_catalog()
    tasks.raise_alerts()

    change = PriceChange.objects.get()
    assert (change.status, len(history("a/x"))) == ("awaiting_approval", 1)
    subject = f"a/x #{change.pk}"
    assert alerts() == [("price_change_awaiting", subject, {"model": "a/x", "percent": "200", "prompt_percent": "200"})]

    reject_price_change(change=change, actor="kim", reason="wrong", now=NOW)
    assert alert_waiting_changes(now=NOW) == []
    assert [(alert.acknowledged_by, alert.acknowledged_at) for alert in Alert.objects.all()] == [("decided", NOW)]


def test_a_matter_is_open_once_and_can_be_raised_again_after_somebody_knows() -> None:
    alert = raised()
    assert raise_alert(kind=alert.kind, subject=alert.subject, detail={}, now=NOW) is None
    raised("2026-10 a/y")

    known = acknowledge_alert(alert=alert, actor="kim", now=NOW)
    acknowledge_alert(alert=alert, actor="lee", now=NOW + LEASE)

    alert.refresh_from_db()
    assert (known.acknowledged_by, alert.acknowledged_by, alert.acknowledged_at) == ("kim", "kim", NOW)
    assert AuditEntry.objects.get(action="acknowledge_alert").actor == "kim"
    assert raised().pk != alert.pk


def send(after: timedelta = timedelta(0), limit: int = 10) -> int:
    return send_alerts(limit=limit, clock=lambda: NOW + after)


def test_without_an_operator_alerts_are_only_listed(mail_dir: Path) -> None:
    raised()
    assert (send(), mails(mail_dir)) == (0, [])


def test_each_open_alert_is_mailed_once(settings: Any, mail_dir: Path) -> None:
    settings.OPERATOR_EMAIL = "ops@jeongsan.example"
    raised("2026-10 a/x\r\nBcc: all@jeongsan.example")
    acknowledge_alert(alert=raised("2026-10 a/known"), actor="kim", now=NOW)

    assert (send(), send(after=2 * LEASE)) == (1, 0)

    (mail,) = mails(mail_dir)
    assert (mail["To"], mail["Bcc"], mail["Auto-Submitted"]) == ("ops@jeongsan.example", None, "auto-generated")
    assert mail["Subject"].strip().startswith("[정산] 원가 이하 판매: 2026-10 a/x")
    assert mail["Message-ID"] == f"<alert-{Alert.objects.get(sent_at=NOW).pk}@jeongsan.example>"
    body = mail.get_content()
    assert "공급사가 실제로 청구한 금액보다 낮은 가격" in body
    assert "model: a/x" in body


@pytest.mark.parametrize("kind", Alert.Kind.values)
@pytest.mark.parametrize(("language", "brand"), [("ko", "[정산] "), ("en", "[Jeongsan] ")])
def test_every_kind_is_worded(settings: Any, mail_dir: Path, kind: str, language: str, brand: str) -> None:
    settings.OPERATOR_EMAIL, settings.LANGUAGE_CODE = "ops@jeongsan.example", language
    raise_alert(kind=Alert.Kind(kind), subject="a/x", detail={"percent": None}, now=NOW)
    assert send() == 1
    (mail,) = mails(mail_dir)
    assert mail["Subject"].strip().startswith(brand)
    assert "{" not in mail["Subject"] + mail.get_content()


def test_a_mail_server_that_says_no_is_asked_again_when_the_claim_runs_out(settings: Any) -> None:
    settings.OPERATOR_EMAIL = "ops@refused.example"
    raised()
    with mail_server(settings) as mailbox:
        assert (send(), mailbox.received) == (0, [])
        settings.OPERATOR_EMAIL = "ops@jeongsan.example"
        assert send(after=LEASE - timedelta(seconds=1)) == 0
        assert (send(after=LEASE), len(mailbox.received)) == (1, 1)


def test_beat_knows_the_tasks() -> None:
    names = {entry["task"] for entry in BEAT_SCHEDULE.values()}
    ours = {"billing.tasks.sync_catalog", "billing.tasks.raise_alerts", "billing.tasks.send_alerts"}
    assert ours <= names
    assert ours <= set(app.tasks)
