"""Which app an event belongs to: the row of its customer, referer and title.

Both are a client's free text, so a customer has at most `MAX_APPS` of them; every further one counts as `OTHERS`.
Which row an app has never changes once a transaction that used it has committed: this process remembers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from django.db import connection, transaction

from usage.models.apps import MAX_APPS, OTHERS

#: (customer id, referer, title), as an event names them.
AppName = tuple[int, str, str]

#: First key of the two-part advisory locks that mean "new apps of customer <second key>".
_CUSTOMER_APPS = 2
#: The texts of 10,000 apps at their longest are some 25 MB.
_MAX_REMEMBERED = 10_000
_known: dict[AppName, int] = {}

_FIND = """
SELECT asked.customer_id, asked.referer, asked.title,
       CASE WHEN app.id IS NOT NULL THEN app.id
            WHEN (SELECT count(*) FROM usage_usageapp AS one WHERE one.customer_id = asked.customer_id) >= %s THEN rest.id
       END
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS asked (customer_id, referer, title)
LEFT JOIN usage_usageapp AS app
  ON app.customer_id = asked.customer_id AND app.referer = asked.referer AND app.title = asked.title
LEFT JOIN usage_usageapp AS rest
  ON rest.customer_id = asked.customer_id AND rest.referer = '' AND rest.title = %s
"""
_LOCK = "SELECT pg_advisory_xact_lock(%s, id::int) FROM unnest(%s::bigint[]) AS id"
_ADD = """
WITH asked AS (
    SELECT customer_id, referer, title, row_number() OVER (PARTITION BY customer_id ORDER BY place) AS place
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) WITH ORDINALITY AS asked (customer_id, referer, title, place)
    WHERE NOT EXISTS (SELECT FROM usage_usageapp AS one WHERE one.customer_id = asked.customer_id
                      AND one.referer = asked.referer AND one.title = asked.title)
), kept AS (
    SELECT customer_id, count(*) AS apps FROM usage_usageapp
    WHERE customer_id IN (SELECT customer_id FROM asked) GROUP BY customer_id
)
INSERT INTO usage_usageapp (customer_id, referer, title)
SELECT customer_id, referer, title FROM asked LEFT JOIN kept USING (customer_id) WHERE place + coalesce(apps, 0) <= %s
UNION
SELECT customer_id, '', %s FROM asked LEFT JOIN kept USING (customer_id) WHERE place + coalesce(apps, 0) > %s
ON CONFLICT DO NOTHING
"""


def app_ids(names: Iterable[AppName]) -> Mapping[AppName, int]:
    """The rows of these apps, made where they are new; 0 where neither referer nor title has text.

    Asks the database nothing about apps it knows. An app may be there before its first event is.
    """
    found: dict[AppName, int] = {}
    missing: list[AppName] = []
    for name in dict.fromkeys(names):
        app_id = _known.get(name) if name[1] or name[2] else 0
        if app_id is None:
            missing.append(name)
        else:
            found[name] = app_id
    if missing:
        with transaction.atomic():
            looked_up = _find(missing)
            new = [name for name in missing if name not in looked_up]
            if new:
                _add(new)
                looked_up |= _find(new)
            # Not before: rows of a transaction that is rolled back do not exist.
            transaction.on_commit(partial(_remember, looked_up))
        found |= looked_up
    return found


def _find(names: list[AppName]) -> dict[AppName, int]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [MAX_APPS, *map(list, zip(*names, strict=True)), OTHERS])
        return {(row[0], row[1], row[2]): row[3] for row in cursor.fetchall() if row[3] is not None}


def _add(names: list[AppName]) -> None:
    columns = list(map(list, zip(*names, strict=True)))
    with connection.cursor() as cursor:
        # One transaction at a time decides what still fits; ascending, so that none waits in a circle.
        cursor.execute(_LOCK, [_CUSTOMER_APPS, sorted({name[0] for name in names})])
        cursor.execute(_ADD, [*columns, MAX_APPS, OTHERS, MAX_APPS])


def _remember(found: Mapping[AppName, int]) -> None:
    if len(_known) + len(found) > _MAX_REMEMBERED:
        _known.clear()
    _known.update(found)
