"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from tests.gateway.local import KEY, LocalUpstream, local_upstream
from tests.gateway.site import Site, copied_database, migrated_database, on_database, start_site, url_of
from tests.nodejs import node_clients, run_node

__all__ = ["node_clients", "run_node"]


@pytest.fixture(autouse=True)
def own_spool(settings: Settings, tmp_path: Path) -> None:
    """Another test's gateway, on another database, would drain a spool that all of them share."""
    settings.GATEWAY_SPOOL_DIR = tmp_path / "spool"


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalUpstream]:
    """One local upstream for the whole run; tests tell their calls apart by X-Client-Request-Id."""
    with local_upstream(tmp_path_factory.mktemp("upstream") / "answers.jsonl") as running:
        yield running


@pytest.fixture(scope="session")
def running_site(
    upstream: LocalUpstream,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[tuple[Site, str]]:
    """The site in a process of its own, forwarding to the local upstream, and the name of its database."""
    from django.db import connection

    from tests.gateway.shop import add_upstream, open_shop

    with django_db_blocker.unblock(), migrated_database():
        connection.close()
        settings = dict(connection.settings_dict)
        with copied_database(settings) as name:
            with on_database(name):
                open_shop()
                add_upstream("local", f"{upstream.url}/api/v1", KEY)
            home = tmp_path_factory.mktemp("site")
            environment = {"DATABASE_URL": url_of(settings, name), "GATEWAY_SPOOL_DIR": str(home / "spool")}
            site = start_site(home / "web.log", environment)
            try:
                yield site, name
            finally:
                site.process.terminate()
                site.process.wait(30)


@pytest.fixture
def site(running_site: tuple[Site, str], django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """The running site, and its database under the models for the time of a test. Nothing is undone after it."""
    running, name = running_site
    with django_db_blocker.unblock(), on_database(name):
        yield running
