"""Days that were metered from an upstream's daily sums: the rows, and the upload that shows first what it would do."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    OperationForm,
    ReadOnlyAdmin,
    actor_of,
    change_link,
    grouped_integer,
    plain_decimal,
    refusal_text,
)
from accounts.errors import DomainError
from accounts.models import Customer
from accounts.selectors import customer_by_slug
from catalog.models import Model
from usage.admin.reading import BoundedPaginator
from usage.models import ActivityEstimate, UsageEvent
from usage.services.activity import Outcome, RowResult, count_outcomes, import_activity
from usage.sources.rows import read_rows

#: What a form carries from the preview to the import; longer lists go through the command.
MAX_UPLOAD_BYTES = 1_000_000
SHOWN_ROWS = 200
#: Longest text that a form field gives back to us: the compressed file, in base64.
_MAX_CARRIED_CHARS = 2_000_000

OUTCOMES = {
    Outcome.ESTIMATED: gettext_lazy("will be metered"),
    Outcome.KNOWN: gettext_lazy("was metered before"),
    Outcome.COVERED: gettext_lazy("real events are there"),
    Outcome.CONFLICT: gettext_lazy("metered before with other figures"),
    Outcome.REJECTED: gettext_lazy("refused"),
}


class UploadForm(OperationForm):
    """Whose usage it was, and the list."""

    customer = forms.SlugField(label=gettext_lazy("customer"), allow_unicode=True)
    file = forms.FileField(
        label=gettext_lazy("activity list"),
        help_text=gettext_lazy(
            "OpenRouter's activity as CSV or JSON, at most 1 MB. The next page shows what it would do."
        ),
    )

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(_("The file is larger than 1 MB: use manage.py import_activity."))
        self.source = file.name[:200]
        return bytes(file.read())


class ConfirmForm(OperationForm):
    """The very list that was shown."""

    customer = forms.SlugField(allow_unicode=True)
    source = forms.CharField(max_length=200)
    content = forms.CharField(max_length=_MAX_CARRIED_CHARS)

    def clean_content(self) -> bytes:
        unpack = zlib.decompressobj()
        try:
            content = unpack.decompress(base64.b64decode(self.cleaned_data["content"]), MAX_UPLOAD_BYTES + 1)
        except (ValueError, zlib.error):
            content = b""
        if len(content) > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(_("The file is larger than 1 MB: use manage.py import_activity."))
        if not unpack.eof:
            raise forms.ValidationError(_("The list got lost on the way: choose the file again."))
        return content


@dataclass(frozen=True)
class PreviewRow:
    """A row of the list as the preview shows it."""

    number: int
    day: str
    model: str
    provider: str
    requests: str
    tokens: str
    charged_usd: str
    events: str
    outcome: str
    note: str
    is_bad: bool


@admin.register(ActivityEstimate)
class ActivityEstimateAdmin(ReadOnlyAdmin):
    list_display = (
        "day", "customer", "permaslug", "provider_name", "requests", "prompt_tokens", "completion_tokens", "charged_usd",
        "withdrawn_at", "source",
    )  # fmt: skip
    list_filter = (CustomerFilter, ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("permaslug", "source")
    date_hierarchy = None
    paginator = BoundedPaginator
    show_full_result_count = False
    fields = (
        "customer", "day", "model_name", "permaslug", "used_model", "provider_name", "endpoint_id", "requests",
        "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "charged_usd", "events", "source",
        "created_at", "created_by", "withdrawn_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("model"))
    def used_model(self, row: ActivityEstimate) -> str:
        model = Model.objects.filter(pk=row.model_id or 0).first()
        return change_link(Model, model.pk, model.model_id) if model else EMPTY

    @admin.display(description=gettext_lazy("events"))
    def events(self, row: ActivityEstimate) -> str:
        links = UsageEvent.objects.filter(customer=row.customer, event_id__in=row.event_ids[:SHOWN_ROWS])
        return format_html_join(", ", "{}", ((change_link(UsageEvent, one.pk, one.event_id),) for one in links))

    # -- Upload --------------------------------------------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the list, show what it would do, do it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, UploadForm(initial=request.GET.dict()))
        if "content" in request.POST:
            return self._imported(request)
        form = UploadForm(request.POST, request.FILES)
        if form.is_valid():
            content = form.cleaned_data["file"]
            try:
                customer = customer_by_slug(form.cleaned_data["customer"])
                results = self._run(request, customer, content, form.source, is_preview=True)
            except DomainError as refusal:
                form.refuse(refusal)
            else:
                return self._page(request, form, customer=customer, results=results, content=content)
        return self._page(request, form)

    def _imported(self, request: HttpRequest) -> HttpResponse:
        confirmed = ConfirmForm(request.POST)
        if not confirmed.is_valid():
            for errors in confirmed.errors.values():
                messages.error(request, " ".join(map(str, errors)))
            return self._page(request, UploadForm(initial={"customer": request.POST.get("customer", "")}))
        answers = confirmed.cleaned_data
        try:
            customer = customer_by_slug(answers["customer"])
            results = self._run(request, customer, answers["content"], answers["source"], is_preview=False)
        except DomainError as refusal:
            messages.error(request, refusal_text(refusal))
            return self._page(request, UploadForm(initial={"customer": answers["customer"]}))
        counts = count_outcomes(results)
        done = _("%(rows)d rows of %(slug)s metered as %(events)d events; %(other)d rows left alone.")
        figures = {
            "rows": counts["estimated"],
            "slug": customer.slug,
            "events": counts["events"],
            "other": len(results) - counts["estimated"],
        }
        messages.success(request, done % figures)
        return HttpResponseRedirect(f"{reverse('admin:usage_activityestimate_changelist')}?customer={customer.slug}")

    def _run(
        self, request: HttpRequest, customer: Customer, content: bytes, source: str, *, is_preview: bool
    ) -> list[RowResult]:
        return import_activity(
            rows=read_rows(io.BufferedReader(io.BytesIO(content))),
            customer=customer,
            source=source,
            actor=actor_of(request),
            now=timezone.now(),
            is_preview=is_preview,
        )

    def _page(
        self,
        request: HttpRequest,
        form: UploadForm,
        *,
        customer: Customer | None = None,
        results: Sequence[RowResult] = (),
        content: bytes = b"",
    ) -> HttpResponse:
        counts = count_outcomes(results)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Meter an activity list"),
            "form": form,
            "customer": customer,
            "counts": counts,
            "summary": [(str(OUTCOMES[one]), counts[one.value]) for one in Outcome if counts[one.value]],
            "rows": [_shown(result) for result in results[:SHOWN_ROWS]],
            "more_rows": max(0, len(results) - SHOWN_ROWS),
            "source": getattr(form, "source", ""),
            "content": base64.b64encode(zlib.compress(content)).decode() if customer else "",
            "cancel_url": reverse("admin:usage_activityestimate_changelist"),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/usage/activityestimate/upload.html", context)


def _shown(result: RowResult) -> PreviewRow:
    row = result.row
    note = f"{result.field}: {result.reason}" if result.field else result.reason
    return PreviewRow(
        number=result.number,
        day=EMPTY if row is None else row.day.isoformat(),
        model=EMPTY if row is None else row.permaslug,
        provider=EMPTY if row is None else row.provider_name or EMPTY,
        requests=EMPTY if row is None else grouped_integer(row.requests),
        tokens=EMPTY
        if row is None
        else f"{grouped_integer(row.prompt_tokens)} / {grouped_integer(row.completion_tokens)}",
        charged_usd=EMPTY if row is None else plain_decimal(row.charged_usd),
        events=grouped_integer(result.events) if result.events else EMPTY,
        outcome=str(OUTCOMES[result.outcome]),
        note="" if result.outcome is Outcome.COVERED else note,
        is_bad=result.outcome in {Outcome.CONFLICT, Outcome.REJECTED},
    )
