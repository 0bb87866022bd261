"""Fixtures of the operators' pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from config.celery import app
from tests.admin.house import House, make_house


@pytest.fixture
def house(db: None) -> House:
    return make_house()


@pytest.fixture
def root(house: House) -> Client:
    """A superuser's session; pages in English, so that tests read as the code does."""
    client = Client(headers={"accept-language": "en"})
    client.force_login(house.root)
    return client


@pytest.fixture
def eager() -> Iterator[None]:
    """Tasks run where they are enqueued, as a worker would at once."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False
