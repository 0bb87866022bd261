"""The test's own database, as other processes are told of it."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django.db import connection


def database_url() -> str:
    """DATABASE_URL of the database that this test uses, on whatever server it is."""
    settings = connection.settings_dict
    user = quote(settings["USER"], safe="")
    secret = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    options = urlencode({"host": settings["HOST"], **settings["OPTIONS"]})
    return f"postgresql://{user}{secret}@{port}/{settings['NAME']}?{options}"
