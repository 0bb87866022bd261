"""What the gateway keeps: whom it forwards to, and every call from its intent to its settlement. Never what was said."""

from gateway.models.calls import CallAttempt, GatewayCall
from gateway.models.meters import KeyMeter
from gateway.models.upstreams import Upstream, UpstreamKey

__all__ = ["CallAttempt", "GatewayCall", "KeyMeter", "Upstream", "UpstreamKey"]
