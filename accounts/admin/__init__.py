"""The operators' side of accounts, and the base of every other app's: import the shared classes from here."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.admin import audits, customers, identities, keys, people
from accounts.admin.customers import CUSTOMER_LINKS
from accounts.admin.filters import CustomerFilter, InputFilter, MonthFilter
from accounts.admin.inputs import DateInput, RowSelect
from accounts.admin.operating import (
    Operation,
    OperationForm,
    OperatorAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    ServiceAddAdmin,
    actor_of,
    refusal_text,
)
from accounts.admin.reading import (
    EMPTY,
    ReadOnlyInline,
    change_link,
    grouped_integer,
    json_text,
    kst_text,
    list_url,
    plain_decimal,
)

__all__ = [
    "CUSTOMER_LINKS",
    "EMPTY",
    "CustomerFilter",
    "DateInput",
    "InputFilter",
    "MonthFilter",
    "Operation",
    "OperationForm",
    "OperatorAdmin",
    "ReadOnlyAdmin",
    "ReadOnlyInline",
    "ReasonForm",
    "RowSelect",
    "ServiceAddAdmin",
    "actor_of",
    "audits",
    "change_link",
    "customers",
    "grouped_integer",
    "identities",
    "json_text",
    "keys",
    "kst_text",
    "list_url",
    "people",
    "plain_decimal",
    "refusal_text",
]

admin.site.site_header = _("Jeongsan operations")
admin.site.site_title = _("Jeongsan operations")
admin.site.index_title = _("Operations")
admin.site.empty_value_display = EMPTY
