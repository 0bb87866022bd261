"""Columns that several usage tables share."""

from __future__ import annotations

from typing import Any

from django.db import models


def exact_usd(**options: Any) -> models.DecimalField[Any, Any]:
    """A USD amount that keeps every digit: 28 decimals hold any price's 23 times a whole count."""
    return models.DecimalField(max_digits=48, decimal_places=28, **options)
