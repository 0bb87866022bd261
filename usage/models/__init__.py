"""What was consumed: measured facts, their sums, and the months that bill them."""

from usage.models.aliases import UsageAlias
from usage.models.apps import UsageApp
from usage.models.archives import UsageArchive
from usage.models.estimates import ActivityEstimate
from usage.models.events import UsageEvent
from usage.models.fields import exact_usd
from usage.models.periods import BillingPeriod
from usage.models.quarantine import QuarantinedEvent
from usage.models.rating_jobs import RatingJob
from usage.models.reconciliation import UpstreamCharge, UpstreamDay, UpstreamStatement
from usage.models.rollups import UsageHour, UsageRollup
from usage.models.withdrawals import WithdrawnEvent

__all__ = [
    "ActivityEstimate",
    "BillingPeriod",
    "QuarantinedEvent",
    "RatingJob",
    "UpstreamCharge",
    "UpstreamDay",
    "UpstreamStatement",
    "UsageAlias",
    "UsageApp",
    "UsageArchive",
    "UsageEvent",
    "UsageHour",
    "UsageRollup",
    "WithdrawnEvent",
    "exact_usd",
]
