"""Fixtures of the billing tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def mail_dir(settings: Any, tmp_path: Path) -> Path:
    """Where mail goes as files, as it does without a mail server."""
    settings.EMAIL_BACKEND = "config.mail.EmlFileBackend"
    settings.MAIL_DIR = tmp_path / "mail"
    return tmp_path / "mail"
