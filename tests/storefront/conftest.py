"""A small shop, and what the page tests of customers have: the Korean catalogue and a real browser."""

from __future__ import annotations

import pytest

from tests.portal.conftest import chromium, korean_catalogue, quick_passwords  # noqa: F401  (fixtures)
from tests.storefront.shop import open_shop


@pytest.fixture
def shop(db: None) -> None:
    """The models of `shop.ENTRIES`, a rate of 1,400 won and a fee of 15 %."""
    open_shop()
