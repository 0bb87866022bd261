"""Which provider the settings name."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from billing.adapters.tax_provider import TaxInvoiceProvider
from billing.adapters.tax_sandbox import SandboxProvider
from billing.errors import TaxProviderMisconfigured

_PROVIDERS: dict[str, Callable[[], TaxInvoiceProvider]] = {"sandbox": SandboxProvider.from_settings}


def tax_provider() -> TaxInvoiceProvider:
    """The provider that TAX_PROVIDER names. Raises TaxProviderMisconfigured for one that does not exist."""
    try:
        make = _PROVIDERS[settings.TAX_PROVIDER]
    except KeyError:
        known = ", ".join(sorted(_PROVIDERS))
        raise TaxProviderMisconfigured(
            f"TAX_PROVIDER is {settings.TAX_PROVIDER!r}; known providers: {known}."
        ) from None
    return make()
