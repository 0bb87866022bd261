"""Coming in, going out, and the front door."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm, UsernameField
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.selectors import customers_of
from portal.selectors.storefront import on_shelf
from portal.services import ATTEMPT_WINDOW, forget_login_attempts, register_login_attempt


class LoginForm(AuthenticationForm):
    """E-mail and password. What is wrong is never said more exactly than that one of them is."""

    username = UsernameField(
        label=_("e-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    error_messages = {
        "invalid_login": _("The e-mail address or the password is wrong."),
        "inactive": _("The e-mail address or the password is wrong."),
    }


class LoginView(auth_views.LoginView):
    """The customers' login page."""

    template_name = "portal/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True


def stop_guessing(login: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A login view that stops looking at passwords after ten wrong ones for one e-mail from one address."""

    @wraps(login)
    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return login(request, *args, **kwargs)
        # PostgreSQL has no NUL in text; the form refuses it a moment later.
        email = request.POST.get("username", "").replace("\x00", "").strip()[:254]
        who = {"email": email, "address": request.META.get("REMOTE_ADDR", "")}
        if not register_login_attempt(**who, now=timezone.now()):
            response = render(request, "429.html", status=429)
            response["Retry-After"] = str(int(ATTEMPT_WINDOW.total_seconds()))
            return response
        answer = login(request, *args, **kwargs)
        if answer.status_code == 302:  # the password was right
            forget_login_attempts(**who)
        return answer

    return view


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """To the pages of one's first customer; somebody without any is told so. A stranger learns what this is."""
    if not isinstance(request.user, User):
        return render(
            request, "portal/storefront/landing.html", {**on_shelf(), "is_sandbox": settings.TAX_PROVIDER == "sandbox"}
        )
    first = customers_of(request.user).first()
    if first is not None:
        return redirect("portal:dashboard", slug=first.slug)
    return render(request, "portal/no_customer.html")
