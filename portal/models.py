"""What the customer pages remember on their own: tries at the login page, for a quarter of an hour."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class LoginAttempt(models.Model):
    """One try to log in, written before the password is looked at and removed when it was right."""

    email = models.CharField(_("e-mail"), max_length=254)
    address = models.CharField(_("network address"), max_length=64)
    attempted_at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("login attempt")
        verbose_name_plural = _("login attempts")
        indexes = [
            models.Index(fields=["email", "address", "attempted_at"], name="login_attempt_by_who"),
            models.Index(fields=["attempted_at"], name="login_attempt_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.email} {self.address} {self.attempted_at:%Y-%m-%d %H:%M:%S}"
