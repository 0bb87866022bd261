"""The one gate of all customer pages: whose rows a request may see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views import View

from accounts.models import Customer, User
from accounts.selectors import customers_of
from usage.periods import BillingMonth


class CustomerPage(LoginRequiredMixin, View):
    """A page under `/c/<slug>/`. It has a customer or it is a 404, whether the slug is unknown or somebody else's.

    Being an operator opens nothing here: only a membership does. Nothing is kept by a cache on the way, so the back
    button shows nothing after logging out.
    """

    #: Which entry of the navigation is lit.
    section = ""
    user: User
    customer: Customer
    now: datetime

    def dispatch(self, request: HttpRequest, *args: Any, slug: str = "", **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase
        if not isinstance(request.user, User):
            response = self.handle_no_permission()
        else:
            self.user = request.user
            self.customer = get_object_or_404(customers_of(self.user), slug=slug)
            self.now = timezone.now()
            response = super().dispatch(request, *args, **kwargs)
        add_never_cache_headers(response)
        return response

    @property
    def this_month(self) -> BillingMonth:
        """The month that is running in Korea."""
        return BillingMonth.of(self.now)

    def render(self, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        """The page, with what its frame needs: the customer, the others of the same person, the lit section."""
        frame = {"customer": self.customer, "customers": customers_of(self.user), "section": self.section}
        return render(self.request, f"portal/{template}", {**frame, **context}, status=status)
