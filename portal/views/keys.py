"""API 키: list, create, revoke."""

from __future__ import annotations

import secrets

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.services import create_api_key, revoke_api_key
from portal.selectors.customers import api_keys_of
from portal.views.tenancy import CustomerPage

_USED_FORMS = "used_key_forms"
_REMEMBERED_FORMS = 20


class KeyForm(forms.Form):
    """The name of a new key. `form_id` tells a form that is sent a second time from a new one."""

    name = forms.CharField(label=gettext_lazy("Name of the key"), max_length=100)
    form_id = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)


class KeysPage(CustomerPage):
    section = "keys"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._list(KeyForm(initial={"form_id": secrets.token_hex(8)}))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make a key and show its secret in this very answer: it is stored nowhere, so nothing can show it again."""
        form = KeyForm(request.POST)
        if not form.is_valid():
            return self._list(form, status=400)
        if not self._is_first_use(form.cleaned_data["form_id"]):
            messages.warning(request, _("That key was made already. A secret is shown only once."))
            return redirect("portal:keys", slug=self.customer.slug)
        issued = create_api_key(customer=self.customer, name=form.cleaned_data["name"], actor=self.user.email)
        return self.render("key_created.html", {"key": issued.key, "secret": issued.secret})

    def _list(self, form: KeyForm, *, status: int = 200) -> HttpResponse:
        return self.render("keys.html", {"form": form, "keys": api_keys_of(self.customer)}, status=status)

    def _is_first_use(self, form_id: str) -> bool:
        """Reloading the page with the secret sends its form again; that must not make another key."""
        if not form_id:
            return True
        used = self.request.session.get(_USED_FORMS, [])
        if form_id in used:
            return False
        self.request.session[_USED_FORMS] = [*used, form_id][-_REMEMBERED_FORMS:]
        return True


class RevokeKeyPage(CustomerPage):
    section = "keys"

    def get(self, request: HttpRequest, key_id: int) -> HttpResponse:
        key = get_object_or_404(api_keys_of(self.customer), pk=key_id)
        return self.render("key_revoke.html", {"key": key})

    def post(self, request: HttpRequest, key_id: int) -> HttpResponse:
        key = get_object_or_404(api_keys_of(self.customer), pk=key_id)
        revoke_api_key(key=key, actor=self.user.email, now=self.now)
        messages.success(request, _("The key “%(name)s” was revoked.") % {"name": key.name})
        return redirect("portal:keys", slug=self.customer.slug)
