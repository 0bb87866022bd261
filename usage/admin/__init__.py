"""The operators' side of metering, one module a noun. Events are millions: no list counts, sorts or searches them all."""

from django.utils.translation import gettext_lazy

from accounts.admin import CUSTOMER_LINKS
from usage.admin import archives, estimates, events, quarantine, sums, withdrawals

CUSTOMER_LINKS += [
    (gettext_lazy("Usage"), "admin:usage_usagerollup_changelist"),
    (gettext_lazy("Events"), "admin:usage_usageevent_changelist"),
    (gettext_lazy("Quarantine"), "admin:usage_quarantinedevent_changelist"),
    (gettext_lazy("Periods"), "admin:usage_billingperiod_changelist"),
]

__all__ = ["archives", "estimates", "events", "quarantine", "sums", "withdrawals"]
