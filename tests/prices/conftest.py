"""Fixtures of billing's tests that are needed here too."""

from tests.billing.conftest import mail_dir

__all__ = ["mail_dir"]
