"""What operators decide about what is offered: the provider listing, where routers lead, and whom a model is for."""

from __future__ import annotations

from collections.abc import Sequence

from babel import Locale
from django.db import transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from catalog.models import Model, Price, Provider, RouterTarget
from catalog.selectors import find_model
from catalog.services.locking import hold_catalog

#: Alpha-2 codes that the CLDR knows beside countries: a union, organizations, places nobody can run a computer in.
_NO_COUNTRIES = frozenset({"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"})


@transaction.atomic
def set_provider_listing(
    *,
    model: Model,
    is_listed: bool,
    actor: str,
    is_ready: bool = False,
    quantization: str = Model.Quantization.UNKNOWN,
    datacenters: Sequence[str] = (),
    reason: str = "",
) -> Model:
    """Put a model into the listing that marketplaces read (`/models?format=openrouter`), or take it out.

    `datacenters` are ISO 3166-1 alpha-2 codes; a model that is ready names at least one. Refused for a router, which
    serves nothing itself.
    """
    if quantization not in Model.Quantization.values:
        raise InvalidInput(f"quantization is one of {', '.join(Model.Quantization.values)}", field="quantization")
    countries = set(Locale("en").territories) - _NO_COUNTRIES
    unknown = [code for code in datacenters if len(code) != 2 or code not in countries]
    if unknown:
        raise InvalidInput(f"not the code of a country: {unknown[0]!r} (such as KR, JP)", field="datacenters")
    if len(set(datacenters)) != len(datacenters):
        raise InvalidInput("a country is named once", field="datacenters")
    if is_ready and not (is_listed and datacenters):
        raise InvalidInput("a ready model is listed and names the countries that it runs in", field="is_ready")
    hold_catalog()
    locked = Model.objects.select_for_update().get(pk=model.pk)
    if is_listed and _is_router(locked):
        raise InvalidInput(f"{locked.model_id} passes requests on and serves none itself", field="model")
    after = {
        "is_provider_listed": is_listed,
        "is_ready": is_ready,
        "quantization": str(quantization),
        "datacenters": list(datacenters),
    }
    before = {name: getattr(locked, name) for name in after}
    if after != before:
        for name, value in after.items():
            setattr(locked, name, value)
        locked.save(update_fields=list(after))
        record_audit(actor=actor, action="set_provider_listing", subject=locked, reason=reason, data=after)
    return locked


@transaction.atomic
def set_router_targets(
    *, router: Model, targets: Sequence[Model], actor: str, reason: str = ""
) -> tuple[RouterTarget, ...]:
    """The models that a router may pass a request to, in order, in place of those it had; an empty list forgets them.

    Refused: the router itself, another router (its prices are no prices of one model), a model twice.
    """
    hold_catalog()
    pks = [target.pk for target in targets]
    if len(set(pks)) != len(pks):
        raise InvalidInput("a router leads to a model once", field="targets")
    for target in targets:
        if target.pk == router.pk or _is_router(target):
            raise InvalidInput(f"{target.model_id} is a router; a router leads to models", field="targets")
    if RouterTarget.objects.filter(target=router).exists() and targets:
        raise InvalidInput(f"other routers lead to {router.model_id}; it can't be one", field="router")
    known = list(router.router_targets.order_by("position"))
    if [row.target_id for row in known] == pks:
        return tuple(known)
    router.router_targets.all().delete()
    rows = RouterTarget.objects.bulk_create(
        RouterTarget(router=router, target=target, position=position) for position, target in enumerate(targets)
    )
    data = {"targets": [target.model_id for target in targets]}
    record_audit(actor=actor, action="set_router_targets", subject=router, reason=reason, data=data)
    return tuple(rows)


@transaction.atomic
def set_customer_models(
    *,
    customer: Customer,
    enabled_providers: Sequence[str] | None,
    allowed_models: Sequence[str] | None,
    actor: str,
    reason: str = "",
) -> Customer:
    """Which providers' models, and which models, a customer may call; None sets no limit, an empty list allows nothing.

    Providers are named by slug, models by any of their names; kept are the models' ids. Refused: a name that nobody has.
    """
    providers = None if enabled_providers is None else sorted(set(enabled_providers))
    if providers:
        known = set(Provider.objects.filter(slug__in=providers).values_list("slug", flat=True))
        for slug in providers:
            if slug not in known:
                raise InvalidInput(f"there is no provider {slug[:100]!r}", field="enabled_providers")
    ids = None if allowed_models is None else sorted({_named_model(name).model_id for name in allowed_models})
    locked = Customer.objects.select_for_update().get(pk=customer.pk)
    if (locked.enabled_providers, locked.allowed_models) != (providers, ids):
        locked.enabled_providers, locked.allowed_models = providers, ids
        locked.save(update_fields=["enabled_providers", "allowed_models"])
        data = {"enabled_providers": providers, "allowed_models": ids}
        record_audit(actor=actor, action="set_customer_models", subject=locked, reason=reason, data=data)
    return locked


def _named_model(name: str) -> Model:
    model = find_model(name)
    if model is None:
        raise InvalidInput(f"there is no model {name[:100]!r}", field="allowed_models")
    return model


def _is_router(model: Model) -> bool:
    """Whether a model leads to others, or its price says that it does."""
    variable = model.prices.filter(kind=Price.Kind.VARIABLE, effective_to__isnull=True)
    return model.router_targets.exists() or variable.exists()
