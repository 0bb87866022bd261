"""The catalog for machines. Included under `/v1/` and `/api/v1/`; it answers there for every address, so it comes last."""

from django.urls import path, re_path

from catalog.api import views

urlpatterns = [
    re_path(r"^models/?$", views.models),
    path("models/user", views.models_for_user),
    path("models/count", views.count),
    re_path(r"^models/(?P<name>.+)/endpoints$", views.endpoints),
    path("models/<path:name>", views.model),
    path("model/<path:name>", views.model, {"wrapped": True}),
    path("providers", views.providers),
    path("", views.nothing),
    path("<path:path>", views.nothing),
]
