"""The catalog for machines. Included under `/v1/` and `/api/v1/`; it answers there for every address, so it comes last."""

from django.urls import path, re_path

from catalog.api import views

urlpatterns = [
    re_path(r"^models/?\Z", views.models),
    path("models/user", views.models_for_user),
    path("models/count", views.count),
    re_path(r"^models/(?P<name>.+)/endpoints\Z", views.endpoints),
    path("models/<path:name>", views.model),
    path("model/<path:name>", views.model, {"wrapped": True}),
    path("providers", views.providers),
    # Whatever else, line breaks included.
    re_path(r"^(?P<path>[\s\S]*)\Z", views.nothing),
]
