"""Guarding the login page. Counted in the database, so that every web process counts the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.models import LoginAttempt

ATTEMPT_LIMIT = 10
ATTEMPT_WINDOW = timedelta(minutes=15)


def register_login_attempt(*, email: str, address: str, now: datetime) -> bool:
    """Count a try; False when ten within the last fifteen minutes were wrong and the password must not be looked at.

    The try is written first and counted afterwards: guesses sent side by side see each other. A refused try is not
    kept, so nobody is locked out for longer by knocking.
    """
    LoginAttempt.objects.filter(attempted_at__lte=now - ATTEMPT_WINDOW).delete()
    attempt = LoginAttempt.objects.create(email=email.lower(), address=address, attempted_at=now)
    if LoginAttempt.objects.filter(email=email.lower(), address=address).count() <= ATTEMPT_LIMIT:
        return True
    attempt.delete()
    return False


def forget_login_attempts(*, email: str, address: str) -> None:
    """The password was right: what came before it no longer counts."""
    LoginAttempt.objects.filter(email=email.lower(), address=address).delete()
