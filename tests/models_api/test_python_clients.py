"""The official Python clients, unmodified, against a live server: only the base URL is ours."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openrouter import OpenRouter
from openrouter.components import ListEndpointsResponse, Model
from openrouter.errors import BadRequestResponseError, NotFoundResponseError, UnauthorizedResponseError
from openrouter.operations import ListModelsUserSecurity
from pytest_django.live_server_helper import LiveServer

from catalog.services import set_customer_models
from tests.models_api.catalogs import customer, sync_real
from tests.shared import shared_data

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def openai_client(live_server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=customer()[1], max_retries=0) as client:
        yield client


@pytest.fixture
def openrouter_client(live_server: LiveServer) -> Iterator[OpenRouter]:
    with OpenRouter(server_url=f"{live_server.url}/api/v1", retry_config=None) as client:
        yield client


def listed_ids(*, outputs: str = "text") -> list[str]:
    """Ids of the real listing, newest first."""
    rows = json.loads(shared_data("openrouter-models-2026-05-12.json").read_bytes())["data"]
    kept = [row for row in rows if outputs == "all" or outputs in row["architecture"]["output_modalities"]]
    return [row["id"] for row in sorted(kept, key=lambda row: (-row["created"], row["id"]))]


def test_openai_lists_and_retrieves(openai_client: openai.OpenAI) -> None:
    sync_real()

    page = openai_client.models.list()

    assert page.object == "list"
    assert [model.id for model in page] == listed_ids()
    assert {model.object for model in page.data} == {"model"}
    assert all(model.owned_by and model.created > 1_600_000_000 for model in page.data)
    one = openai_client.models.retrieve("openai/gpt-5-mini")
    assert (one.id, one.object, one.owned_by, one.created) == ("openai/gpt-5-mini", "model", "openai", 1754587407)
    assert openai_client.models.retrieve("auto").id == "openrouter/auto"
    assert openai_client.models.retrieve("openai/gpt-5-mini:nitro").id == "openai/gpt-5-mini:nitro"


def test_openai_understands_refusals(openai_client: openai.OpenAI) -> None:
    sync_real()

    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.models.retrieve("openai/gpt-5-minni")
    assert (missing.value.status_code, missing.value.type, missing.value.param) == (404, "not_found", "model")
    assert "Did you mean openai/gpt-5-mini" in missing.value.message
    with pytest.raises(openai.BadRequestError, match="output_modalities: 'smell' is not one of text"):
        openai_client.models.list(extra_query={"output_modalities": "smell"})
    stranger = openai_client.with_options(api_key="sk-jeongsan-" + "0" * 32)
    with pytest.raises(openai.AuthenticationError, match="can't be used"):
        stranger.models.list()


def test_openrouter_lists_every_model_with_every_field(openrouter_client: OpenRouter) -> None:
    sync_real()

    page = openrouter_client.models.list(output_modalities="all")

    assert page is not None
    models: list[Model] = page.result.data
    assert [model.id for model in models] == listed_ids(outputs="all")
    assert (page.result.total_count, page.result.links.next) == (356, None)
    by_id = {model.id: model for model in models}
    gpt = by_id["openai/gpt-5-mini"]
    assert (gpt.pricing.prompt, gpt.pricing.completion) == ("0.00000025", "0.000002")
    assert (gpt.pricing.web_search, gpt.pricing.input_cache_read) == ("0.01", "0.000000025")
    assert gpt.top_provider.max_completion_tokens == 128_000
    assert by_id["openrouter/auto"].pricing.prompt == "-1"
    assert page.next() is None


def test_openrouter_walks_through_pages(openrouter_client: OpenRouter) -> None:
    sync_real()

    walked, pages = [], 0
    page = openrouter_client.models.list(limit=100, sort="newest")
    while page is not None:
        walked += [model.id for model in page.result.data]
        page, pages = page.next(), pages + 1

    assert walked == listed_ids()
    assert pages == 4


def test_openrouter_filters_by_every_parameter_it_has(openrouter_client: OpenRouter) -> None:
    sync_real()

    def found(**query: object) -> list[str]:
        page = openrouter_client.models.list(**query)  # type: ignore[arg-type]
        assert page is not None
        return [model.id for model in page.result.data]

    assert found(q="gpt-5-mini") == ["openai/gpt-5-mini"]
    cheap = found(
        supported_parameters="tools,structured_outputs",
        input_modalities="text,image",
        output_modalities="text",
        context=100_000,
        min_price=0.1,
        max_price=0.25,
        min_output_price=0,
        max_output_price=2.0,
        min_age_days=1,
        max_age_days=100_000,
        model_authors="openai",
        providers="OpenAI",
        arch="GPT",
        sort="pricing-low-to-high",
    )
    assert cheap == [
        "openai/gpt-4.1-nano",
        "openai/gpt-4o-mini",
        "openai/gpt-4o-mini-2024-07-18",
        "openai/gpt-5.4-nano",
        "openai/gpt-5-mini",
        "openai/gpt-5.1-codex-mini",
    ]
    assert found(category="programming", zdr="true", region="eu", distillable="true", max_coding_index=100) == []
    assert found(sort="most-popular") == listed_ids()


def test_openrouter_reads_one_model_endpoints_providers_and_the_count(openrouter_client: OpenRouter) -> None:
    sync_real()

    one = openrouter_client.models.get(author="openai", slug="gpt-5-mini").data
    assert (one.id, one.canonical_slug) == ("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07")
    free = openrouter_client.models.get(author="z-ai", slug="glm-4.5-air:free").data
    assert (free.id, free.pricing.prompt, free.pricing.completion) == ("z-ai/glm-4.5-air:free", "0", "0")
    assert openrouter_client.models.get(author="~anthropic", slug="claude-haiku-latest").data.name == (
        "Anthropic Claude Haiku Latest"
    )
    served: ListEndpointsResponse = openrouter_client.endpoints.list(author="openai", slug="gpt-5-mini").data
    [endpoint] = served.endpoints
    assert (endpoint.provider_name, endpoint.tag, endpoint.context_length) == ("OpenAI", "openai", 400_000)
    assert endpoint.pricing.prompt == "0.00000025"
    assert endpoint.supports_tool_choice.required is True
    assert openrouter_client.endpoints.list(author="openrouter", slug="auto").data.endpoints == []
    providers = {provider.slug: provider.name for provider in openrouter_client.providers.list().data}
    assert providers["openai"] == "OpenAI"
    assert len(providers) > 50
    assert openrouter_client.models.count(output_modalities="all").data.count == 356
    assert openrouter_client.models.count().data.count == len(listed_ids())


def test_openrouter_lists_what_a_customer_may_call(openrouter_client: OpenRouter) -> None:
    sync_real()
    row, secret = customer()
    set_customer_models(
        customer=row, enabled_providers=["openai"], allowed_models=["openai/gpt-5-mini", "z-ai/glm-4.6"], actor="tests"
    )

    page = openrouter_client.models.list_for_user(security=ListModelsUserSecurity(bearer=secret))

    assert page is not None
    assert [model.id for model in page.result.data] == ["openai/gpt-5-mini"]


def test_openrouter_understands_refusals(openrouter_client: OpenRouter) -> None:
    sync_real()

    with pytest.raises(NotFoundResponseError) as missing:
        openrouter_client.models.get(author="openai", slug="gpt-5-minni")
    assert missing.value.data.error.code == 404
    assert "Did you mean openai/gpt-5-mini" in missing.value.data.error.message
    with pytest.raises(BadRequestResponseError) as wrong:
        openrouter_client.models.list(limit=-1)
    assert wrong.value.data.error.message == "limit: '-1' is not a whole number from 1 to 1000."
    with pytest.raises(UnauthorizedResponseError) as nobody:
        openrouter_client.models.list_for_user(security=ListModelsUserSecurity(bearer="sk-or-v1-nobody"))
    assert nobody.value.data.error.code == 401
