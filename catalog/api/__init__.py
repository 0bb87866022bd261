"""The catalog for machines, at `/v1` and `/api/v1`: what OpenAI's and OpenRouter's clients read, in their shapes."""
