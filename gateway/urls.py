"""Addresses of the gateway that Django answers, under /v1/ and /api/v1/; calls are answered before it."""

from django.urls import path

from gateway.api import generation

openrouter_patterns = [path("generation", generation)]
