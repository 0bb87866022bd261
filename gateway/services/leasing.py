"""Who has a call at the moment: its gateway says so now and then, and the sweep takes what nobody speaks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import orjson
from django.db import connection

from gateway.calls import Answering
from gateway.models import GatewayCall
from gateway.services.admitting import LEASE
from gateway.services.metering import is_name

_NOTE = """
UPDATE gateway_call AS call SET
    answering_at = coalesce(call.answering_at, %s), upstream_id = noted.upstream_id,
    upstream_generation_id = coalesce(noted.upstream_generation_id, call.upstream_generation_id)
FROM jsonb_to_recordset(%s::jsonb) AS noted (call_id text, upstream_id bigint, upstream_generation_id text)
WHERE call.call_id = noted.call_id AND call.status = 'open'
"""


def note_answering(answering: Sequence[Answering], *, now: datetime) -> None:
    """Keep that these calls' answers have begun and the ids that upstreams gave them, so that a crash loses neither."""
    rows = [
        {
            "call_id": one.call_id,
            "upstream_id": one.upstream_id,
            "upstream_generation_id": one.upstream_generation_id if is_name(one.upstream_generation_id) else None,
        }
        for one in {one.call_id: one for one in answering}.values()
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, [now, orjson.dumps(rows).decode()])


def extend_leases(*, call_ids: Collection[str], instance: str, now: datetime) -> int:
    """Keep these open calls of a gateway process for another `LEASE`; returns how many. Say it well before the last ends.

    Only what the process really has under way: a call whose admission was committed and never heard of (the connection
    broke at that moment) carries its name too, and would keep its hold for as long as the process lives.
    """
    return GatewayCall.objects.filter(status=GatewayCall.Status.OPEN, instance=instance, call_id__in=call_ids).update(
        lease_until=now + LEASE
    )
