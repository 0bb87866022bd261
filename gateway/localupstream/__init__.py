"""An upstream on this machine: the routes and usage shapes of the real ones, made-up answers, faults on demand.

For development, tests, benchmarks and proofs. Nothing of it is random: what is answered follows from the request.

* `/api/v1/...` speaks as OpenRouter does: usage and cost always, in OpenRouter's shape, `X-Generation-Id`, canonical names
  in answers, comment lines in streams. `/v1/...` speaks as OpenAI and Anthropic do: their own usage shapes, no cost, in a
  chat stream only where `stream_options.include_usage` asks for it.
* Tokens: every 4 bytes (begun) of the request's texts are one prompt token, 8 more for the frame; token ids count one each;
  every 320 bytes (begun) of an audio file are one. An answer has 16 tokens and one for each prompt token modulo 17, at
  most the limit that was asked for; an image 272, an embedding none.
* Model: `openrouter/auto` is served by one of `SERVERS_OF_AUTO`, a fallback list by its second name, a variant by its
  model (`:free` by itself).
* Cost: the list price of the catalog file, exactly.
* A client that hangs up stops a stream: it is charged for the prompt and what was generated. What is not streamed is
  generated to its end and charged.
* `@upstream(name=value, ...)` anywhere in a request's body changes its answer: see `knobs`.
"""
