"""Every page of every registered model, for everybody who might ask for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.house import House, make_staff

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LABELS = [model._meta.label for model in MODELS]


def list_address(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def row_address(model: Any, page: str = "change") -> str:
    row = model._default_manager.order_by("pk").first()
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=[row.pk])


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_a_superuser_sees_the_list_and_a_row(model: Any, root: Client) -> None:
    listed = root.get(list_address(model))
    assert (listed.status_code, listed.context["cl"].result_count > 0) == (200, True)
    assert root.get(row_address(model)).status_code == 200
