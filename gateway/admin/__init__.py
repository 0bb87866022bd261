"""The operators' side of the gateway: whom calls are forwarded to, and the calls."""

from gateway.admin import calls, upstreams

__all__ = ["calls", "upstreams"]
