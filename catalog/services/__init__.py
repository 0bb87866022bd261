"""Changes to what is sold and at which price."""

from catalog.services.aliasing import add_alias
from catalog.services.deciding import announce_price, approve_price_change, reject_price_change
from catalog.services.offering import set_customer_models, set_provider_listing, set_router_targets
from catalog.services.replaying import ReplayReport, replay_prices
from catalog.services.resolving import resolve_quarantined_price
from catalog.services.syncing import SyncReport, sync_catalog

__all__ = [
    "ReplayReport",
    "SyncReport",
    "add_alias",
    "announce_price",
    "approve_price_change",
    "reject_price_change",
    "replay_prices",
    "resolve_quarantined_price",
    "set_customer_models",
    "set_provider_listing",
    "set_router_targets",
    "sync_catalog",
]
