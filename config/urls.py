"""Every address of the site, edge by edge."""

from django.contrib import admin
from django.urls import include, path

import billing.urls
import gateway.urls
import usage.urls
from config import api, health
from portal.views.sessions import stop_guessing

openrouter_patterns = [
    *gateway.urls.openrouter_patterns,
    *billing.urls.openrouter_patterns,
    *usage.urls.openrouter_patterns,
]
urlpatterns = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("admin/login/", stop_guessing(admin.site.login)),
    path("admin/", admin.site.urls),
    path("billing/v1/", include("billing.urls")),
    path("billing/v1/<path:rest>", api.UnknownAddress.as_view()),
    path("v1/", include(openrouter_patterns)),
    path("api/v1/", include(openrouter_patterns)),
    path("v1/", include("catalog.urls")),
    path("api/v1/", include("catalog.urls")),
    path("", include("portal.urls")),
]
