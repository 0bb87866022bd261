"""Reads settings from the environment and fails loudly: a wrong value is never replaced by a default."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent

# libpq options that may follow `?` in DATABASE_URL; anything else is a typing error that must not pass silently.
_LIBPQ_OPTIONS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "options",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    }
)


class SettingError(ValueError):
    """An environment variable is missing or cannot be used; the message names it and says what is expected."""


def env_text(name: str, default: str | None = None) -> str:
    """The variable's value; an empty value counts as not set. Without a default a missing variable is an error."""
    value = os.environ.get(name, "")
    if value:
        return value
    if default is None:
        raise SettingError(f"Set {name}: it has no default.")
    return default


def env_bool(name: str, default: bool) -> bool:
    """True for 1/true/yes/on, False for 0/false/no/off, in any case."""
    value = env_text(name, "on" if default else "off").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise SettingError(f"{name} must be one of 1, true, yes, on, 0, false, no, off.")


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    """A whole number in ASCII digits, at least `minimum`."""
    value = env_text(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) <= 18 and int(value) >= minimum):
        raise SettingError(f"{name} must be a whole number of at least {minimum}, not {value!r}.")
    return int(value)


def env_origin(name: str, default: str = "") -> str:
    """An http(s) address that others are appended to, without a slash at its end; empty where there is none."""
    value = env_text(name, default)
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or "@" in parts.netloc or parts.query or parts.fragment or not value.isascii() or " " in value:
        raise SettingError(f"{name} must be an address such as https://api.example.com, not {value!r}.")
    return value.rstrip("/")


def env_secret(name: str, default: str = "") -> str:
    """A secret from NAME, or from the file that NAME_FILE names (as container platforms mount them); never both."""
    path = os.environ.get(f"{name}_FILE", "")
    if not path:
        return env_text(name, default)
    if os.environ.get(name):
        raise SettingError(f"Set {name} or {name}_FILE, not both.")
    try:
        value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name}_FILE names {path}, which cannot be read: {error}.") from error
    if not value:
        raise SettingError(f"{name}_FILE names {path}, which is empty.")
    return value


def var_dir() -> Path:
    """Where data lives: JEONGSAN_VAR (relative to the current directory) or `var/` beside manage.py; absolute."""
    return Path(os.environ.get("JEONGSAN_VAR") or REPOSITORY / "var").expanduser().resolve()


def database_url() -> str | None:
    """DATABASE_URL (or the content of DATABASE_URL_FILE); None means the embedded server."""
    return env_secret("DATABASE_URL") or None


def parse_database_url(url: str) -> dict[str, Any]:
    """One entry of Django's DATABASES from postgresql://user:password@host:port/name.

    A socket directory is given as postgresql://user@/name?host=/socket/dir. Errors never repeat the password.
    """
    form = "postgresql://user:password@host:port/name"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if host.startswith("%2f"):
            host = parts.netloc.rpartition("@")[2].split(":")[0]  # a path keeps its case, which hostname folds
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise SettingError(f"DATABASE_URL cannot be read; write {form}.") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise SettingError(f"DATABASE_URL must begin with postgresql://; write {form}.")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise SettingError(f"DATABASE_URL names no database; write {form}.")
    host = options.pop("host", unquote(host))
    unknown = sorted(set(options) - _LIBPQ_OPTIONS)
    if unknown:
        raise SettingError(f"DATABASE_URL has an unknown option: {unknown[0]}.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "OPTIONS": options,
    }


def generated_secret(name: str) -> str:
    """A random secret kept in var/secrets/<name> (0600), made on first use.

    For the embedded default only. Processes that ask at the same moment get the same value: the file appears whole.
    """
    path = var_dir() / "secrets" / name
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_secret_once(path)
        value = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{path} cannot be made or read ({error}): set JEONGSAN_VAR to a directory that can."
        ) from error
    if len(value) < 32:
        raise SettingError(f"{path} is damaged: it should hold a long random text. Restore it from a backup.")
    return value


def _write_secret_once(path: Path) -> None:
    lock = os.open(path.parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        os.close(lock)
