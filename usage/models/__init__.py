"""What was consumed: measured facts, their sums, and the months that bill them."""

from usage.models.events import UsageEvent
from usage.models.fields import exact_usd
from usage.models.periods import BillingPeriod
from usage.models.quarantine import QuarantinedEvent
from usage.models.rollups import UsageRollup

__all__ = ["BillingPeriod", "QuarantinedEvent", "UsageEvent", "UsageRollup", "exact_usd"]
