"""The REST API of metering: events are handed in here."""

from usage.api.ingest import UsageEvents

__all__ = ["UsageEvents"]
