"""docker-compose.yml and Dockerfile name programs, options and settings that exist; no engine is needed to see it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig import programs
from tests.rig.processes import ROOT, clean_environment, free_port, running
from tests.rig.redis import Redis

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN$|_KEY")
# The EHR wants one of two; the settings stop the start without it (tests/test_settings.py).
OPTIONAL_SECRETS = {
    "METRICS_TOKEN",
    "EMAIL_HOST_PASSWORD",
    "SMS_AUTH_TOKEN",
    "EHR_CLIENT_SECRET",
    "EHR_PRIVATE_KEY",
    "EHR_KEY_ID",
    "EHR_NOTICE_SECRET",
}

CLINIC = {
    "CLINIC_NAME": "Juniper Health",
    "CLINIC_PHONE": "(510) 555-0142",
    "PORTAL_URL": "https://book.clinic.example",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "POSTGRES_PASSWORD": "postgresPassword1",
    "EHR_BASE_URL": "https://fhir.ehr.example",
    "EHR_TOKEN_URL": "https://ehr.example/auth/token/",
    "EHR_CLIENT_ID": "portal",
    "EHR_CLIENT_SECRET": "portal-secret",
    "VIDEO_BASE_URL": "https://meet.clinic.example/room",
    "DEFAULT_FROM_EMAIL": "visits@clinic.example",
    "EMAIL_HOST": "smtp.clinic.example",
}


def filled_in(text: str, env: dict[str, str]) -> str:
    """``text`` with Compose's ${NAME:-default} and ${NAME:?sentence} replaced as Compose does it."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if env.get(name):
            return env[name]
        assert kind == ":-", f"{name} is not set: {rest}"
        return rest

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def production_environment(**extra: str) -> dict[str, str]:
    given = COMPOSE["x-portal"]["environment"]
    return clean_environment(**{name: filled_in(text, CLINIC | extra) for name, text in given.items()})


def ask_for_help(words: list[str]) -> str:
    if words[0] == "celery":
        words = ["-m", *words]
    elif words[0] == "python":
        words = words[1:]
    env = clean_environment(PORTAL_MODE="test", VAR_DIR=os.environ["VAR_DIR"], COLUMNS="200")
    done = subprocess.run(
        [sys.executable, *words, "--help"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def commands() -> list[tuple[str, str]]:
    """Everything our image is asked to run, health checks included."""
    found = [(name, SERVICES[name]["command"]) for name in OURS]
    for name in OURS:
        kind, *words = SERVICES[name].get("healthcheck", {}).get("test", ["NONE"])
        if kind == "CMD-SHELL" and words[0].startswith("celery"):
            found.append((f"{name} health", words[0]))
        elif kind == "CMD":
            found.append((f"{name} health", shlex.join(words)))
    return found


@pytest.mark.parametrize(("service", "command"), commands())
def test_programs_and_their_options_exist(service: str, command: str) -> None:
    words = shlex.split(command)
    match words:
        case ["python", "-m", "granian", *_, target]:
            module, name = target.split(":")
            assert callable(getattr(import_module(module), name))
            known = ask_for_help(words[:3])
        case ["python", "-m", "booking.sandbox", *_]:
            known = ask_for_help(words[:3])
        case ["python", "manage.py", _, *_]:
            known = ask_for_help(words[:3])
        case ["celery", "-A", app, "inspect", "ping", *_]:
            assert import_module(f"{app}.celery").app.main == app
            known = ask_for_help(["celery", "-A", app, "inspect"])
        case ["celery", "-A", app, _, *_]:
            assert import_module(f"{app}.celery").app.main == app
            known = ask_for_help(words[:4])
        case ["python", "-m", "scripts.healthcheck", *_]:
            assert (ROOT / "scripts" / "healthcheck.py").exists()
            known = ""
        case _:
            pytest.fail(f"{service} runs something unknown: {command}")
    known_options = set(re.findall(r"--[a-z][a-z0-9-]*", known))
    assert {word for word in words if word.startswith("--")} <= known_options


def test_figures_of_all_processes_lie_in_one_folder() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (folder,) = re.findall(r"^ENV PROMETHEUS_MULTIPROC_DIR=(\S+)$", dockerfile, re.MULTILINE)
    (install,) = re.findall(r"install --directory --owner=portal (.+)$", dockerfile, re.MULTILINE)
    assert folder in install.split()
    assert {name for name in OURS if f"metrics:{folder}" in SERVICES[name].get("volumes", [])} == set(
        OURS
    ) - {"sandbox"}
    user = re.search(r"useradd --system --uid (\d+)", dockerfile)
    assert user
    assert f"uid={user[1]}," in COMPOSE["volumes"]["metrics"]["driver_opts"]["o"]


def test_settings_of_the_readme_reach_the_portal_from_the_env_file() -> None:
    """Those that compose names are checked by it; the others come as they stand in the file."""
    named = set(COMPOSE["x-portal"]["environment"])
    readme = (ROOT / "README.md").read_text()
    settings = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", readme, re.MULTILINE))
    assert len(settings - named) > 10
    for name in OURS:
        if name != "sandbox":
            assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


def test_redis_starts_with_its_options(tmp_path: Path) -> None:
    _, *options = shlex.split(SERVICES["redis"]["command"])
    port = free_port()
    program = programs.require(programs.redis_program(), "redis-server")
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path)]
    with running("Redis", [program, *options, *where], log=tmp_path / "log") as child:
        child.wait_until(Redis(port, child).answers)
        with Redis(port, child).connect() as connection:
            assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert connection.config_get("appendonly") == {"appendonly": "yes"}


def test_secrets_come_from_outside_and_have_no_default() -> None:
    for service in SERVICES.values():
        for name, text in service.get("environment", {}).items():
            if not SECRET.search(name) or name in OPTIONAL_SECRETS:
                continue
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", text), f"{name} must be required"
    whole_file = (ROOT / "docker-compose.yml").read_text()
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", whole_file):
        assert not SECRET.search(name) or default == "", f"{name} has a default"


def test_only_web_and_the_mail_catcher_are_reachable_and_only_from_the_machine_itself() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"web", "mail"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any("container_name" in service for service in SERVICES.values())


def test_every_service_that_stays_up_is_watched() -> None:
    one_shot = {"migrate", "seed"}
    own_check = {"mail"}
    assert {
        name for name, service in SERVICES.items() if "healthcheck" not in service
    } == one_shot | own_check


@pytest.mark.parametrize(
    "missing",
    [name for name, text in COMPOSE["x-portal"]["environment"].items() if ":?" in text and name in CLINIC],
)
def test_a_missing_setting_is_asked_for_in_words(missing: str) -> None:
    text = COMPOSE["x-portal"]["environment"][missing]
    with pytest.raises(AssertionError, match=f"{missing} is not set: Set {missing} to "):
        filled_in(text, {})


def test_production_settings_accept_what_compose_gives(tmp_path: Path) -> None:
    env = production_environment() | {"VAR_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_the_image_can_collect_its_static_files(tmp_path: Path) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^RUN (PORTAL_MODE=production .*)$", dockerfile, re.MULTILINE)
    *settings, python, manage, command, option = line.split()
    assert (python, manage) == ("python", "manage.py")
    env = clean_environment(**dict(setting.split("=", 1) for setting in settings), STATIC_ROOT=str(tmp_path))
    done = subprocess.run(
        [sys.executable, manage, command, option],
        cwd=ROOT,
        env=env | {"VAR_DIR": os.environ["VAR_DIR"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "staticfiles.json").exists()
