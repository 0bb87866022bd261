"""Whether lines say of their terms what the documents say that were issued."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

# Lines from before lines had terms name none; theirs are the invoice's.
_TERMS = """
SELECT i.number, l.position,
       (coalesce(said.line ->> 'margin', i.document ->> 'margin')::numeric, coalesce(said.line ->> 'basis', 'catalog'),
        (said.line ->> 'basis_usd')::numeric) IS DISTINCT FROM (l.margin, l.basis::text, l.basis_usd)
FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
CROSS JOIN LATERAL (SELECT i.document -> 'lines' -> (l.position - 1) AS line) AS said
WHERE i.status <> 'draft' AND l.margin IS NOT NULL
ORDER BY 1, 2
"""


def lines_sell_on_their_terms() -> Iterator[str | None]:
    """Each usage line has the margin and the basis that its document gives it."""
    with connection.cursor() as cursor:
        cursor.execute(_TERMS)
        for number, position, differs in cursor:
            yield f"{number}: line {position} has other terms than the document" if differs else None
