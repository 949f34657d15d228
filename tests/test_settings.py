"""Production starts only on settings that make sense, and otherwise says what to set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.rig.processes import ROOT, clean_environment

PRODUCTION = {
    "PORTAL_MODE": "production",
    "CLINIC_NAME": "Example Clinic",
    "CLINIC_PHONE": "(510) 555-0100",
    "PORTAL_URL": "https://book.clinic.example",
    "SECRET_KEY": "fJx0Qm3vT7zRkL9sWpYd2HcNbUgEa6Vi8oXtC1hKr5SuMlDqGwZj4ByAnPeF",
    "DATABASE_URL": "postgres://portal:pw@127.0.0.1:5432/portal",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "EHR_BASE_URL": "https://fumage-example.canvasmedical.com",
    "EHR_TOKEN_URL": "https://example.canvasmedical.com/auth/token/",
    "EHR_CLIENT_ID": "portal",
    "EHR_CLIENT_SECRET": "very-secret-client",
    "VIDEO_BASE_URL": "https://meet.clinic.example/room",
    "EMAIL_HOST": "smtp.clinic.example",
    "DEFAULT_FROM_EMAIL": "Example Clinic <visits@clinic.example>",
}


def run(*args: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in (PRODUCTION | changes).items() if value is not None}
    return subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=clean_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_production_settings_pass_the_deployment_check() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (0 silenced).\n"), (
        done.stderr
    )


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "PORTAL_MODE"])
def test_missing_setting_stops_the_start_with_its_name(name: str) -> None:
    done = run("manage.py", "check", **{name: None})
    assert done.returncode == 1
    assert done.stderr.startswith(f"The portal cannot start: Set {name}. ")


def test_signing_in_with_a_key_asks_for_the_key_and_not_for_a_secret() -> None:
    signed = {"EHR_AUTH_METHOD": "private_key_jwt", "EHR_CLIENT_SECRET": None}
    done = run("manage.py", "check", **signed)
    assert done.returncode == 1
    assert done.stderr.startswith("The portal cannot start: Set EHR_PRIVATE_KEY. ")
    done = run("manage.py", "check", **signed, EHR_PRIVATE_KEY="not a key")
    assert done.returncode == 1
    assert "private_key: is not a private key in PEM form" in done.stderr
    assert "not a key" not in done.stderr
    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert run("manage.py", "check", **signed, EHR_PRIVATE_KEY=key.decode()).returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EHR_AUTH_METHOD", "magic", "EHR_AUTH_METHOD is “magic”."),
        ("PORTAL_MODE", "prod", "PORTAL_MODE is “prod”. Set it to one of: production, demo, test."),
        ("SECRET_KEY", "short", "SECRET_KEY is too short or too plain. Use at least 50 random characters."),
        ("SECRET_KEY", "a" * 60, "SECRET_KEY is too short or too plain. Use at least 50 random characters."),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS holds “*”"),
        ("PORTAL_URL", "http://book.clinic.example", "PORTAL_URL is not an https:// address"),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL is mysql://…."),
        ("REDIS_URL", "localhost:6379", "REDIS_URL is not a redis:// address."),
        ("EHR_DIALECT", "epic", "EHR_DIALECT is “epic”. Set it to one of: canvas, medplum, r4."),
        ("EHR_BASE_URL", "http://plain.example", "The EHR's settings do not fit:"),
        ("EHR_READ_SECONDS", "soon", "EHR_READ_SECONDS is “soon”. Set it to a number from 0.1 to 60."),
        ("EHR_REST_SECONDS", "5", "EHR_REST_SECONDS is shorter than EHR_TOTAL_SECONDS."),
        (
            "EHR_NOTICE_SECRET",
            "guess me",
            "EHR_NOTICE_SECRET is too short or too plain. Use at least 32 random",
        ),
        (
            "EHR_NOTICE_SECRET",
            "ab" * 20,
            "EHR_NOTICE_SECRET is too short or too plain. Use at least 32 random",
        ),
        ("EMAIL_PORT", "25.5", "EMAIL_PORT is “25.5”. Set it to a whole number from 1 to 65535."),
        ("EMAIL_USE_TLS", "yes please", "EMAIL_USE_TLS is “yes please”. Set it to True or False."),
        ("SMS_FROM", "+15105550100", "Text messages are half set up."),
    ],
)
def test_nonsense_stops_the_start_with_a_sentence(name: str, value: str, said: str) -> None:
    done = run("manage.py", "check", **{name: value})
    assert done.returncode == 1
    assert said in done.stderr


def test_web_server_and_worker_do_not_start_on_nonsense_either() -> None:
    for program in (["-c", "import portal.wsgi"], ["-m", "celery", "-A", "portal", "report"]):
        done = run(*program, EHR_REST_SECONDS="5")
        assert done.returncode != 0
        assert "EHR_REST_SECONDS is shorter than EHR_TOTAL_SECONDS." in done.stderr


def test_a_secret_in_an_address_is_never_repeated() -> None:
    done = run("manage.py", "check", EHR_BASE_URL="https://user:hunter2@ehr.example")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr + done.stdout


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PRODUCTION["EHR_CLIENT_SECRET"] + "\n")
    code = "import django; django.setup(); from booking import ehr; print(ehr.configured().client_secret)"
    changes = {
        "EHR_CLIENT_SECRET": None,
        "EHR_CLIENT_SECRET_FILE": str(secret),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    done = run("-c", code, **changes)
    assert done.stdout == "very-secret-client\n", done.stderr


def test_a_secret_file_that_is_missing_is_named() -> None:
    done = run("manage.py", "check", EHR_CLIENT_SECRET_FILE="/nowhere/secret")
    assert done.returncode == 1
    assert "EHR_CLIENT_SECRET_FILE names /nowhere/secret, which cannot be read" in done.stderr


def test_time_zones_are_those_of_the_pinned_package() -> None:
    code = (
        "import django; django.setup(); from datetime import *; from booking.scheduling.clock import zone;"
        "print(datetime(2026, 12, 1, 9, tzinfo=zone('America/Vancouver')).astimezone(UTC).isoformat())"
    )
    done = run("-c", code, DJANGO_SETTINGS_MODULE="portal.settings")
    assert done.stdout == "2026-12-01T16:00:00+00:00\n", done.stderr
