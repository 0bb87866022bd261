"""Ready-made first calls of a model, for the tabs of its page. What goes into them is quoted for the language it stands in.

An id or address may hold any printable character. JSON's strings are also Python's and JavaScript's; the shell's are made
by the rule of `shlex`.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program in one language: what its tab is called, and its text."""

    key: str
    label: str
    text: str


def snippets(*, model_id: str, base_url: str, greeting: str) -> tuple[Snippet, ...]:
    """One chat call of the model in Python, Node and cURL; `base_url` ends in `/v1`, the key comes from the environment."""
    model, base, words = (json.dumps(text, ensure_ascii=False) for text in (model_id, base_url, greeting))
    python = f"""\
import os

from openai import OpenAI

client = OpenAI(
    api_key=os.environ["JEONGSAN_API_KEY"],
    base_url={base},
)

response = client.chat.completions.create(
    model={model},
    messages=[{{"role": "user", "content": {words}}}],
)
print(response.choices[0].message.content)
"""
    node = f"""\
import OpenAI from "openai";

const client = new OpenAI({{
  apiKey: process.env.JEONGSAN_API_KEY,
  baseURL: {base},
}});

const response = await client.chat.completions.create({{
  model: {model},
  messages: [{{ role: "user", content: {words} }}],
}});
console.log(response.choices[0].message.content);
"""
    body = f"""{{
  "model": {model},
  "messages": [{{"role": "user", "content": {words}}}]
}}"""
    curl = f"""\
curl {shlex.quote(base_url + "/chat/completions")} \\
  -H "Authorization: Bearer $JEONGSAN_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d {shlex.quote(body)}
"""
    return (Snippet("python", "Python", python), Snippet("node", "Node.js", node), Snippet("curl", "cURL", curl))
