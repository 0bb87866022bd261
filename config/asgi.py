"""ASGI entry point: the edges by their addresses, Django for everything else."""

import logging
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
site = get_asgi_application()

# After Django is set up: the edges import models.
from config.edges import Dispatcher, Edge  # noqa: E402
from gateway.edge.app import ADDRESSES as CALLS  # noqa: E402
from gateway.edge.app import gateway_edge  # noqa: E402
from usage.api.intake import PATH as EVENTS  # noqa: E402
from usage.api.intake import ingest_edge  # noqa: E402

#: (method, path) -> edge. One edge may answer several addresses.
ROUTES: dict[tuple[str, str], Edge] = {**dict.fromkeys(CALLS, gateway_edge), ("POST", EVENTS): ingest_edge}

application = Dispatcher(ROUTES, site)


def path_only(record: logging.LogRecord) -> bool:
    """A line of uvicorn's access log without what stands behind the question mark: it may be anything."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, version, status = record.args
        record.args = (client, method, str(path).partition("?")[0], version, status)
    return True


logging.getLogger("uvicorn.access").addFilter(path_only)
