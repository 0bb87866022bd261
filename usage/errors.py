"""Refusals of metering."""

from django.utils.translation import gettext_lazy

from accounts.errors import Conflict, DomainError, InvalidInput, NotFound, NotReady


class InvalidJson(InvalidInput):
    """The document as a whole is not JSON; nothing of it was stored."""

    code = "invalid_json"


class InvalidGzip(InvalidInput):
    """The body is said to be gzip and is not, or ends too early; nothing of it was stored."""

    code = "invalid_gzip"


class PayloadTooLarge(DomainError):
    """More bytes or more events than one request may carry; nothing of it was stored."""

    code = "payload_too_large"
    http_status = 413


class UnsupportedMedia(DomainError):
    """A content type, character set or encoding that is not read here."""

    code = "unsupported_media_type"
    http_status = 415


class UnreadableFile(InvalidInput):
    """A file that is missing, may not be read or breaks off."""

    code = "unreadable_file"
    title = gettext_lazy("The file can not be read")


class UnknownEvent(NotFound):
    """No quarantined event of that customer has this id."""

    code = "unknown_event"
    title = gettext_lazy("There is no such event")


class AlreadyResolved(Conflict):
    """The quarantined event was priced or excluded before."""

    code = "already_resolved"
    title = gettext_lazy("This event was decided before")


class MonthClosed(Conflict):
    """The event's billing month is closed; `data` has the month and the number of the invoice that carries it, or null."""

    code = "month_closed"
    title = gettext_lazy("The month is closed")


class InvalidReplacement(InvalidInput):
    """The event that should stand in another's place can't be taken."""

    code = "invalid_replacement"
    title = gettext_lazy("This event can not take its place")


class ReasonMissing(InvalidInput):
    """A decision by hand needs a reason."""

    code = "reason_missing"


class MonthNotArchivable(NotReady):
    """The month can't be archived, or not yet."""

    code = "month_not_archivable"


class ArchiveBusy(NotReady):
    """Another process is at the same archive, or the event table is never free."""

    code = "archive_busy"


class ArchiveDamaged(Conflict):
    """Files of an archive are missing, or not what was written."""

    code = "archive_damaged"


class ArchiveMismatch(Conflict):
    """The event table has changed so that archived events don't fit any more."""

    code = "archive_mismatch"


class UnknownArchive(NotFound):
    """No month is archived under this manifest."""

    code = "unknown_archive"


class EventsArchived(DomainError):
    """The events that are asked for stand in files; their sums are still here. `data` names the months."""

    code = "events_archived"
    title = gettext_lazy("The events are archived")
    http_status = 410
