"""Tax-invoice providers for tests: the sandbox, watched, and made to fail at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable

from billing.adapters.tax_document import TaxDocument
from billing.adapters.tax_provider import Health, Issued, Snapshot
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from tests.billing.factories import NOW


def nothing() -> None:
    """Let the call go on."""


class Watched:
    """The sandbox with its calls written down; `before` and `after` run around its issuing and may raise."""

    def __init__(
        self,
        behaviour: Behaviour = Behaviour.ACCEPT,
        *,
        before: Callable[[], None] = nothing,
        after: Callable[[], None] = nothing,
        before_lookup: Callable[[], None] = nothing,
    ) -> None:
        self.calls: list[str] = []
        self._sandbox = SandboxProvider(behaviour, clock=lambda: NOW)
        self._before, self._after, self._before_lookup = before, after, before_lookup

    def issue(self, doc: TaxDocument, *, key: str) -> Issued:
        self.calls.append("issue")
        self._before()
        issued = self._sandbox.issue(doc, key=key)
        self._after()
        return issued

    def issue_amendment(self, doc: TaxDocument, *, key: str, original_approval_no: str) -> Issued:
        self.calls.append("issue_amendment")
        self._before()
        issued = self._sandbox.issue_amendment(doc, key=key, original_approval_no=original_approval_no)
        self._after()
        return issued

    def lookup(self, key: str) -> Snapshot | None:
        self.calls.append("lookup")
        self._before_lookup()
        return self._sandbox.lookup(key)

    def preflight(self) -> Health:
        return self._sandbox.preflight()


def raising(error: BaseException) -> Callable[[], None]:
    """A hook that raises."""

    def hook() -> None:
        raise error

    return hook
