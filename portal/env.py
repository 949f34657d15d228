"""Reading settings from the environment. Nonsense stops the start with a sentence that says what to set."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_UNSET = object()


def _read(name: str) -> str | None:
    """The value of NAME, or what the file named by NAME_FILE holds. Blank counts as unset."""
    file_name = os.environ.get(f"{name}_FILE")
    if file_name:
        try:
            return Path(file_name).read_text(encoding="utf-8").strip() or None
        except OSError as error:
            raise ImproperlyConfigured(
                f"{name}_FILE names {file_name}, which cannot be read: {error.strerror}."
            ) from error
    return os.environ.get(name, "").strip() or None


def text(name: str, default: object = _UNSET, *, help: str = "") -> str:
    value = _read(name)
    if value is not None:
        return value
    if default is _UNSET:
        raise ImproperlyConfigured(f"Set {name}. {help}".strip())
    return str(default)


def boolean(name: str, default: bool) -> bool:
    value = _read(name)
    if value is None:
        return default
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ImproperlyConfigured(f"{name} is “{value}”. Set it to True or False.")


def number(name: str, default: float, *, least: float, most: float) -> float:
    value = _read(name)
    if value is None:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        raise ImproperlyConfigured(f"{name} is “{value}”. Set it to a number from {least:g} to {most:g}.")
    return found


def integer(name: str, default: int, *, least: int, most: int) -> int:
    found = number(name, default, least=least, most=most)
    if found != int(found):
        raise ImproperlyConfigured(f"{name} is “{found:g}”. Set it to a whole number from {least} to {most}.")
    return int(found)


def words(name: str, default: list[str] | None = None, *, help: str = "") -> list[str]:
    value = _read(name)
    if value is not None:
        return [part.strip() for part in value.split(",") if part.strip()]
    if default is None:
        raise ImproperlyConfigured(f"Set {name}. {help}".strip())
    return default


def one_of(name: str, choices: tuple[str, ...], default: str) -> str:
    value = _read(name) or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is “{value}”. Set it to one of: {', '.join(choices)}.")
    return value


def web_address(name: str, default: object = _UNSET, *, help: str = "", https_only: bool = False) -> str:
    """An address without user information, query or fragment, and without a slash at its end."""
    value = text(name, default, help=help)
    if value == "" and default == "":
        return ""
    parts = urlsplit(value)
    schemes = ("https",) if https_only else ("https", "http")
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.query or parts.fragment:
        kind = "an https:// address" if https_only else "an http:// or https:// address"
        # What was given may hold a password, so it is not repeated.
        raise ImproperlyConfigured(
            f"{name} is not {kind} without user name, password, ? or #. Give one such as https://clinic.example."
        )
    return value.rstrip("/") if parts.path in ("", "/") else value


def database(name: str, default: object = _UNSET) -> dict[str, object]:
    value = text(
        name,
        default,
        help="Give the database as postgres://user:password@host:5432/name (or sqlite:////path/to/file to try it out).",
    )
    parts = urlsplit(value)
    if parts.scheme == "sqlite" and len(parts.path) > 1:
        path = Path(unquote(parts.path[1:] if parts.path.startswith("//") else parts.path))
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(path),
            # Writers queue instead of failing: without these, 58 of 800 concurrent writes met "database is locked".
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
            # A file, so that the threads of a test share it as the threads of a server do.
            "TEST": {"NAME": str(path.with_suffix(".test.sqlite3"))},
        }
    if parts.scheme in ("postgres", "postgresql") and parts.path.strip("/"):
        return {
            "ENGINE": "portal.postgresql",
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5},
        }
    shown = f"{parts.scheme}://…" if parts.scheme else "not an address"
    raise ImproperlyConfigured(
        f"{name} is {shown}. Give the database as postgres://user:password@host:5432/name or sqlite:////path/to/file."
    )
