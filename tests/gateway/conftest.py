"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.local import LocalUpstream, local_upstream


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalUpstream]:
    """One local upstream for the whole run; tests tell their calls apart by X-Client-Request-Id."""
    with local_upstream(tmp_path_factory.mktemp("upstream") / "answers.jsonl") as running:
        yield running
