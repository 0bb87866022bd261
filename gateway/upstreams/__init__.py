"""The way to the upstreams: which of them is asked in which order, and one aiohttp client for all."""

from .client import Unreachable, UpstreamClient
from .pool import Pool, Target

__all__ = ["Pool", "Target", "Unreachable", "UpstreamClient"]
