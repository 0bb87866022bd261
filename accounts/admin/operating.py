"""How operators change things: a page that says what will happen, asks why, and calls one service.

A refusal of the service (`DomainError`) becomes an error on that page; nothing is written outside of services except the
few models that are edited directly, and those leave an audit entry too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.admin.reading import Figures, ReadOnly, list_url
from accounts.errors import DomainError
from accounts.models import AuditEntry
from accounts.services import claim_form, record_audit, release_form

if TYPE_CHECKING:
    from accounts.admin.reading import Text

#: More rows at once would outlast a web request; the rest stays for the next click.
MOST_ROWS = 1000
SHOWN_ROWS = 20
SHOWN_REFUSALS = 5
CONFIRMED = "operation_confirmed"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field


def refusal_text(refusal: DomainError) -> str:
    """A refusal for a page: in another language than English its kind stands before the sentence, which is English."""
    if (get_language() or "").startswith("en"):
        return refusal.message
    return f"{refusal.title}: {refusal.message}"


class OperationForm(forms.Form):
    """What an operation asks. `row` is the row it is about, None for several rows and for adding."""

    def __init__(self, *args: Any, row: Any = None, **options: Any) -> None:
        self.row = row
        super().__init__(*args, **options)

    def evidence(self) -> list[tuple[str, str]]:
        """(label, text) of what somebody has to see to decide; shown over the form."""
        return []

    def refuse(self, refusal: DomainError) -> None:
        """Show a service's refusal beside the field it names."""
        self.add_error(refusal.field if refusal.field in self.fields else None, refusal_text(refusal))


class ReasonForm(OperationForm):
    """A correction is made with a reason, which the audit trail keeps."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
    )


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Something that operators do with rows of a model.

    `run(row, answers of the form, e-mail of the operator)` calls the service and returns the sentence that says what was
    done. `applies` tells which rows offer it, `distinct` which selected rows mean the same single run.
    """

    name: str
    label: Text
    note: Text
    run: Callable[[Any, dict[str, Any], str], str]
    form: type[OperationForm] = ReasonForm
    applies: Callable[[Any], bool] = lambda row: True
    is_bulk: bool = False
    distinct: Callable[[Any], Any] = attrgetter("pk")


class OperatorAdmin(Figures, admin.ModelAdmin):
    """Base of all our admins: operations, links to what belongs to a row, its audit trail, no counting for facets."""

    operations: Sequence[Operation] = ()
    list_per_page = 100
    list_max_show_all = 500
    show_facets = admin.ShowFacets.NEVER

    def links(self, row: Any) -> Sequence[tuple[Text, str]]:
        """(text, address) of what belongs to a row; shown over its page."""
        return []

    def list_links(self, request: HttpRequest) -> Sequence[tuple[Text, str]]:
        """(text, address) shown over the list."""
        return []

    def described(self, row: Any) -> str:
        """One row in words, where somebody is asked about it."""
        return str(row)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this person may run operations: the model's change permission, which editing itself never gets."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    # -- Pages ---------------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{operation.name}/",
                self.admin_site.admin_view(partial(self.operation_view, operation=operation)),
                name=self._url_name(operation.name),
            )
            for operation in self.operations
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tools = self._row_tools(request, object_id) if request.method == "GET" else {}
        context = {"title": capfirst(self.opts.verbose_name), **tools, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            "title": capfirst(self.opts.verbose_name_plural),
            "list_links": self.list_links(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def operation_view(self, request: HttpRequest, object_id: str, *, operation: Operation) -> HttpResponse:
        """One operation on one row."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            messages.warning(request, _("This row does not exist, or no longer."))
            return HttpResponseRedirect(reverse("admin:index"))
        back = reverse(f"admin:{self._url_name('change')}", args=[row.pk])
        if not operation.applies(row):
            messages.warning(request, _("This is not possible, or no longer."))
            return HttpResponseRedirect(back)
        form = operation.form(request.POST if request.method == "POST" else None, row=row)
        if request.method == "POST" and form.is_valid():
            if not _is_first_time(request):
                return HttpResponseRedirect(back)
            try:
                done = operation.run(row, form.cleaned_data, actor_of(request))
            except DomainError as refusal:
                _may_be_sent_again(request)
                form.refuse(refusal)
            else:
                messages.success(request, done)
                return HttpResponseRedirect(back)
        return self.form_page(
            request, form, title=operation.label, note=operation.note, rows=[row], cancel_url=back, row=row
        )

    # -- Operations on selected rows -----------------------------------------------------------------------------------
    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        if not self.has_operate_permission(request) or "_popup" in request.GET:
            return actions
        bulk = {
            operation.name: (
                partial(OperatorAdmin.selected_rows_view, operation=operation),
                operation.name,
                operation.label,
            )
            for operation in self.operations
            if operation.is_bulk
        }
        return {**actions, **bulk}

    def selected_rows_view(self, request: HttpRequest, queryset: QuerySet[Any], operation: Operation) -> HttpResponse:
        """One operation on selected rows: the page first, then each row by itself; one refusal stops no other row."""
        chosen = list(queryset[: MOST_ROWS + 1])
        rows = [row for row in chosen[:MOST_ROWS] if operation.applies(row)]
        back = request.get_full_path()
        if not rows:
            messages.warning(request, _("This is not possible for any of the selected rows."))
            return HttpResponseRedirect(back)
        is_confirmed = CONFIRMED in request.POST
        form = operation.form(request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            if not _is_first_time(request):
                return HttpResponseRedirect(back)
            self._run_each(request, operation, rows, form.cleaned_data)
            return HttpResponseRedirect(back)
        hidden = [
            ("action", operation.name),
            (CONFIRMED, "yes"),
            ("select_across", request.POST.get("select_across", "0")),
        ]
        hidden += [(helpers.ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)]
        left_out = (
            _("Only the first %(count)d rows are taken.") % {"count": MOST_ROWS} if len(chosen) > MOST_ROWS else ""
        )
        return self.form_page(
            request, form, title=operation.label, note=operation.note, rows=rows, cancel_url=back,
            hidden=hidden, left_out=left_out,
        )  # fmt: skip

    def _run_each(self, request: HttpRequest, operation: Operation, rows: list[Any], answers: dict[str, Any]) -> None:
        done: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for row in {operation.distinct(row): row for row in rows}.values():
            try:
                done[operation.run(row, answers, actor_of(request))] += 1
            except DomainError as refusal:
                refused[refusal_text(refusal)] += 1
        for counts, level in ((done, messages.SUCCESS), (refused, messages.ERROR)):
            for sentence, count in counts.most_common(SHOWN_REFUSALS):
                messages.add_message(request, level, sentence if count == 1 else f"{sentence} (× {count})")
            if len(counts) > SHOWN_REFUSALS:
                messages.add_message(request, level, _("And %(count)d more.") % {"count": len(counts) - SHOWN_REFUSALS})

    # -- What pages share ----------------------------------------------------------------------------------------------
    def form_page(
        self,
        request: HttpRequest,
        form: forms.BaseForm,
        *,
        title: Text,
        note: Text,
        cancel_url: str,
        rows: Sequence[Any] = (),
        row: Any = None,
        hidden: Sequence[tuple[str, str]] = (),
        left_out: str = "",
    ) -> HttpResponse:
        """The page of a form that calls a service, in the look of Django's own forms."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "note": note,
            "rows": [self.described(one) for one in rows[:SHOWN_ROWS]],
            "more_rows": max(0, len(rows) - SHOWN_ROWS),
            "left_out": left_out,
            "original": row,
            "described": self.described(row) if row is not None else "",
            "form": form,
            "adminform": helpers.AdminForm(form, [(None, {"fields": list(form.fields)})], {}),  # type: ignore[arg-type]
            "media": self.media + form.media,
            "hidden": hidden,
            "token": (FORM_TOKEN, _token_of(request) or uuid4()),
            "cancel_url": cancel_url,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/operation.html", context)

    def _row_tools(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_view_or_change_permission(request, row):
            return {}
        tools: dict[str, Any] = {"row_links": self.links(row), "row_operations": []}
        if self.has_operate_permission(request):
            tools["row_operations"] = [
                (operation.label, reverse(f"admin:{self._url_name(operation.name)}", args=[row.pk]))
                for operation in self.operations
                if operation.applies(row)
            ]
        if request.user.has_perm("accounts.view_auditentry"):
            tools["audit_url"] = list_url(AuditEntry, object_type=self.opts.label_lower, object_id=row.pk)
        return tools

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    # -- Direct edits are audited --------------------------------------------------------------------------------------
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, "admin_add", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, "admin_change", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._audit(request, "admin_delete", obj, str(obj))
        return super().log_deletions(request, queryset)

    def _audit(self, request: HttpRequest, action: str, obj: Model, message: Any) -> None:
        reason = request.POST.get("reason", "")[:500]
        record_audit(actor=actor_of(request), action=action, subject=obj, reason=reason, data={"message": message})


class ReadOnlyAdmin(ReadOnly, OperatorAdmin):
    """An admin for looking and for operations."""


class ServiceAddMixin:
    """Adding through a service: the stock form would save a row by itself.

    `add_form` asks, `add_row` calls the service and returns the new row.
    """

    add_form: type[OperationForm]
    add_note: Text = ""

    def add_row(self, answers: dict[str, Any], actor: str) -> Any:
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)  # type: ignore[arg-type]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.add_form(request.POST if request.method == "POST" else None, initial=request.GET.dict())
        if request.method == "POST" and form.is_valid():
            if not _is_first_time(request):
                return HttpResponseRedirect(list_url(self.opts.model))  # type: ignore[attr-defined]
            try:
                row = self.add_row(form.cleaned_data, actor_of(request))
            except DomainError as refusal:
                _may_be_sent_again(request)
                form.refuse(refusal)
            else:
                return self.added_response(request, row)
        return self.add_page(request, form)

    def added_response(self, request: HttpRequest, row: Any) -> HttpResponse:
        """What follows a successful addition."""
        messages.success(request, _("Added: %(row)s") % {"row": row})
        return HttpResponseRedirect(reverse(f"admin:{self._url_name('change')}", args=[row.pk]))  # type: ignore[attr-defined]

    def add_page(self, request: HttpRequest, form: OperationForm) -> HttpResponse:
        opts = self.opts  # type: ignore[attr-defined]
        title = _("Add %s") % opts.verbose_name  # Django's own text
        cancel_url = list_url(opts.model)
        return self.form_page(request, form, title=title, note=self.add_note, cancel_url=cancel_url)  # type: ignore[attr-defined,no-any-return]


class ServiceAddAdmin(ServiceAddMixin, ReadOnlyAdmin):
    """Rows that are added through a service and never edited or deleted."""


def _token_of(request: HttpRequest) -> UUID | None:
    """The form's own token, which is made with the page; None for a page that has none yet."""
    try:
        return UUID(request.POST.get(FORM_TOKEN, ""))
    except ValueError:
        return None


def _is_first_time(request: HttpRequest) -> bool:
    """Whether this very form was not sent before; otherwise it says so. What broke down while it ran counts as sent."""
    token = _token_of(request)
    if token is None or claim_form(token=token, actor=actor_of(request), now=timezone.now()):
        return True
    messages.warning(request, _("This form was sent before, so nothing was done again."))
    return False


def _may_be_sent_again(request: HttpRequest) -> None:
    token = _token_of(request)
    if token is not None:
        release_form(token=token)


def actor_of(request: HttpRequest) -> str:
    """How audit entries name the person at the keyboard."""
    return request.user.email  # type: ignore[union-attr]
