"""Which upstream and key a call is tried with, in which order; what failed lately comes last.

Health is this process's own view, kept in memory: it is a matter of seconds, and every process sees failures soon enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: Failures in a row after which an upstream is passed over, and for how long.
FAILURES_UNTIL_PASSED_OVER = 3
PASSED_OVER_SECONDS = 15.0
#: A key that was refused: for good reason (401, 402, 403), or for now (429 without Retry-After).
REFUSED_SECONDS = 60.0
LIMITED_SECONDS = 5.0
MAX_LIMITED_SECONDS = 60.0
MAX_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream with one of its keys; times in seconds. `base_url` has no slash at its end."""

    upstream_id: int
    key_id: int
    name: str
    base_url: str
    dialect: str
    secret: str = field(repr=False)
    connect_seconds: float = 5.0
    first_byte_seconds: float = 120.0
    idle_seconds: float = 60.0


@dataclass(slots=True)
class _Health:
    failures: int = 0
    passed_over_until: float = 0.0


class Pool:
    """The targets in the order of their priority, and what happened to them. Times are of a monotonic clock."""

    def __init__(self) -> None:
        self.targets: tuple[Target, ...] = ()
        self._upstreams: dict[int, _Health] = {}
        self._keys: dict[int, float] = {}

    def replace(self, targets: Sequence[Target]) -> None:
        """Take the targets as they are now, first choice first. Those that stay keep their health."""
        self.targets = tuple(targets)
        upstreams, keys = {target.upstream_id for target in targets}, {target.key_id for target in targets}
        self._upstreams = {number: health for number, health in self._upstreams.items() if number in upstreams}
        self._keys = {number: until for number, until in self._keys.items() if number in keys}

    def plan(self, *, now: float) -> list[Target]:
        """Whom to ask, one after the other. What is passed over comes last instead of never: it may be all there is."""
        if not self._upstreams and not self._keys:
            return list(self.targets[:MAX_ATTEMPTS])
        return sorted(self.targets, key=lambda target: self._waits(target, now))[:MAX_ATTEMPTS]

    def note_answer(self, target: Target) -> None:
        """It answers: whatever was wrong with it is over."""
        if self._upstreams or self._keys:
            self._upstreams.pop(target.upstream_id, None)
            self._keys.pop(target.key_id, None)

    def note_failure(self, target: Target, *, now: float) -> None:
        """The upstream could not be reached, failed, or did not answer in time."""
        health = self._upstreams.setdefault(target.upstream_id, _Health())
        health.failures += 1
        if health.failures >= FAILURES_UNTIL_PASSED_OVER:
            health.passed_over_until = now + PASSED_OVER_SECONDS

    def note_refused(self, target: Target, *, status: int, retry_after: float | None, now: float) -> None:
        """The key was refused: 429 for a while, 401, 402 and 403 until somebody sees to it."""
        seconds = REFUSED_SECONDS
        if status == 429:
            seconds = LIMITED_SECONDS if retry_after is None else min(retry_after, MAX_LIMITED_SECONDS)
        self._keys[target.key_id] = now + seconds

    def _waits(self, target: Target, now: float) -> float:
        """Until when it is passed over; 0 when it is not. Sorting is stable, so that priority decides among equals."""
        health = self._upstreams.get(target.upstream_id)
        until = max(health.passed_over_until if health else 0.0, self._keys.get(target.key_id, 0.0))
        return until if until > now else 0.0
