"""Settings from the environment: what is wrong is said, by name, and never repeated when it is secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config import env
from config.env import SettingError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THING", "THING_FILE", "DATABASE_URL", "DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.env_text("THING", "default") == "default"
    monkeypatch.setenv("THING", "")
    assert env.env_text("THING", "default") == "default"
    monkeypatch.setenv("THING", "value")
    assert env.env_text("THING", "default") == "value"
    monkeypatch.delenv("THING")
    with pytest.raises(SettingError, match=r"^Set THING: it has no default\.$"):
        env.env_text("THING")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("on", True), ("Yes", True), ("0", False), ("no", False), ("OFF", False)],
)
def test_bool(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("THING", text)
    assert env.env_bool("THING", not value) is value


def test_bool_default_and_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (env.env_bool("THING", True), env.env_bool("THING", False)) == (True, False)
    monkeypatch.setenv("THING", "ja")
    with pytest.raises(SettingError, match=r"^THING must be one of 1, true, yes, on, 0, false, no, off\.$"):
        env.env_bool("THING", True)


def test_int(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.env_int("THING", 25) == 25
    monkeypatch.setenv("THING", "2525")
    assert env.env_int("THING", 25) == 2525


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "1_000", "２５", " 25", "0x19", "9" * 5000])
def test_int_refusals(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("THING", text)
    with pytest.raises(SettingError, match=r"^THING must be a whole number of at least 1, not '"):
        env.env_int("THING", 25, minimum=1)


def test_secret_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    monkeypatch.setenv("THING_FILE", str(file))
    assert env.env_secret("THING") == "s3cret"
    monkeypatch.setenv("THING", "other")
    with pytest.raises(SettingError, match=r"^Set THING or THING_FILE, not both\.$"):
        env.env_secret("THING")
    monkeypatch.delenv("THING")
    file.write_text("\n")
    with pytest.raises(SettingError, match=r"^THING_FILE names .*/secret, which is empty\.$"):
        env.env_secret("THING")
    file.unlink()
    with pytest.raises(SettingError, match=r"^THING_FILE names .*/secret, which cannot be read: "):
        env.env_secret("THING")


def test_secret_default() -> None:
    assert (env.env_secret("THING"), env.env_secret("THING", "x")) == ("", "x")


def test_var_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JEONGSAN_VAR")
    assert env.var_dir() == env.REPOSITORY / "var"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JEONGSAN_VAR", "here/../there")
    assert env.var_dir() == tmp_path / "there"


def test_database_url() -> None:
    assert env.parse_database_url("postgresql://us%40er:p%2Fw%3A@db.example:6432/na%20me?sslmode=require") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "na me",
        "USER": "us@er",
        "PASSWORD": "p/w:",
        "HOST": "db.example",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres://u@/n?host=/run/my%20socket", "/run/my socket", ""),
        ("postgresql://u@[::1]:5433/n", "::1", "5433"),
        ("postgresql://u:p@%2Frun%2FPostgreSQL:5433/n", "/run/PostgreSQL", "5433"),
        ("postgresql:///n", "", ""),
    ],
)
def test_database_url_hosts(url: str, host: str, port: str) -> None:
    settings = env.parse_database_url(url)
    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == (host, port, "n")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:hidden@h/n", "DATABASE_URL must begin with postgresql://; write "),
        ("u:hidden@h/n", "DATABASE_URL must begin with postgresql://; write "),
        ("postgresql://u:hidden@h", "DATABASE_URL names no database; write "),
        ("postgresql://u:hidden@h/a/b", "DATABASE_URL names no database; write "),
        ("postgresql://u:hidden@h:five/n", "DATABASE_URL cannot be read; write "),
        ("postgresql://u:hidden@h:70000/n", "DATABASE_URL cannot be read; write "),
        ("postgresql://u:hidden@[::1/n", "DATABASE_URL cannot be read; write "),
        ("postgresql://u:hidden@h/n?sslmod=require", "DATABASE_URL has an unknown option: sslmod."),
    ],
)
def test_database_url_refusals(url: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        env.parse_database_url(url)
    assert str(caught.value).startswith(message)
    assert "hidden" not in str(caught.value)


def test_generated_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JEONGSAN_VAR", str(tmp_path))
    first = env.generated_secret("one")
    path = tmp_path / "secrets" / "one"
    assert len(first) == 64
    assert env.generated_secret("one") == first == path.read_text().strip()
    assert env.generated_secret("two") != first
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.write_text("short\n")
    with pytest.raises(SettingError, match=r"^.*/secrets/one is damaged: "):
        env.generated_secret("one")


def test_generated_secret_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JEONGSAN_VAR", "/sys/jeongsan")
    with pytest.raises(SettingError, match=r"^/sys/jeongsan/secrets/one cannot be made or read \(.*set JEONGSAN_VAR"):
        env.generated_secret("one")


def test_processes_at_the_same_moment_get_the_same_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JEONGSAN_VAR", str(tmp_path))
    code = "from config.env import generated_secret; print(generated_secret('one'))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=env.REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert answers == {env.generated_secret("one") + "\n"}
