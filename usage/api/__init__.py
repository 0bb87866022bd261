"""The REST API of metering: events are handed in, read and exported here."""

from usage.api.apps import UsageApps
from usage.api.export import UsageEventsExport
from usage.api.ingest import UsageEvents

__all__ = ["UsageApps", "UsageEvents", "UsageEventsExport"]
