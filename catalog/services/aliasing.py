"""Other names of models."""

from __future__ import annotations

from django.db import transaction

from accounts.errors import Conflict, InvalidInput
from accounts.services import record_audit
from catalog.listing import MAX_ID_LENGTH
from catalog.models import Model, ModelAlias
from catalog.selectors import find_model, response_name
from catalog.services.locking import hold_catalog


@transaction.atomic
def add_alias(*, alias: str, model: Model, actor: str) -> ModelAlias:
    """Let a model also be called `alias`; giving the same alias again changes nothing.

    Refused: a name that ids or canonical slugs already have (they are looked up first, so it would never be reached) and
    an alias of another model.
    """
    if not 1 <= len(alias) <= MAX_ID_LENGTH or not alias.isprintable() or " " in alias:
        raise InvalidInput(f"an alias has 1 to {MAX_ID_LENGTH} printable characters and no spaces", field="alias")
    hold_catalog()
    existing = ModelAlias.objects.filter(alias=alias).select_related("model").first()
    if existing is not None:
        if existing.model_id != model.pk:
            raise Conflict(f"{alias!r} is already an alias of {existing.model.model_id}", field="alias")
        return existing
    named = find_model(alias)
    # Found by leaving off its variant is no obstacle: an alias is looked up before that.
    if named is not None and alias in {named.model_id, response_name(named)}:
        raise Conflict(f"{alias!r} already names {named.model_id}", field="alias")
    added = ModelAlias.objects.create(alias=alias, model=model, created_by=actor)
    record_audit(actor=actor, action="add_alias", subject=added, data={"alias": alias, "model": model.model_id})
    return added
