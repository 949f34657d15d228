"""The address at which the EHR tells of changes, from outside."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from celery import current_app
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from kombu.exceptions import OperationalError

pytestmark = pytest.mark.django_db

URL = "/ehr/notices/"
SECRET = "a-secret-of-more-than-32-characters-0123456789"
BODY = json.dumps({"event_type": "APPOINTMENT_CREATED", "appointment_id": "4be5c594"}).encode()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[list[str]]:
    """The arguments of every task that was sent."""
    settings.EHR_NOTICE_SECRET = SECRET
    cache.clear()
    found: list[list[str]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, *, args, **more: found.append(args))
    return found


def post(body: bytes = BODY, **headers: str) -> Any:
    headers = headers or {"Authorization": f"Bearer {SECRET}"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(enforce_csrf_checks=True).post(URL, body, content_type="application/json", headers=given)


def sign(signed: bytes) -> str:
    return hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_without_a_secret_there_is_no_such_address(settings):
    settings.EHR_NOTICE_SECRET = ""
    assert (post().status_code, post(Authorization="Bearer ").status_code) == (404, 404)
    assert Client().get(URL).status_code == 404


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_it_is_posted_to_and_nothing_else(sent, method):
    response = getattr(Client(), method)(URL)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert sent == []


def test_each_way_to_show_the_secret_is_taken(sent):
    at = str(int(time.time()))
    ways = [
        {"Authorization": f"Bearer {SECRET}"},
        {"X-Timestamp": at, "X-Signature": f"sha256={sign(f'{at}.'.encode() + BODY)}"},
        {"X-Signature": sign(BODY)},
    ]
    for number, way in enumerate(ways, start=1):
        cache.clear()
        response = post(**way)
        assert (response.status_code, response.content) == (202, b"")
        assert sent == [["4be5c594"]] * number


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer guess"},
        {"X-Signature": sign(b"{}")},
        {"X-Timestamp": "1", "X-Signature": f"sha256={sign(b'1.' + BODY)}"},
        {"Cookie": f"session={SECRET}"},
    ],
)
def test_who_does_not_show_it_is_turned_away(sent, headers, caplog):
    response = post(**headers)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert sent == []
    assert SECRET not in caplog.text


@pytest.mark.parametrize("body", [b"[]", b"{", b"appointment_id=4be5c594", b"\xff"])
def test_rubbish_is_refused(sent, body):
    assert (post(body).status_code, sent) == (400, [])


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"event_type":"LAB_ORDER_CREATED"}', b'{"resourceType":"Patient","id":"p"}', b'{"resourceType":"Bundle"}'],
)  # fmt: skip
def test_what_concerns_us_not_is_taken_and_passed_over(sent, body):
    assert (post(body).status_code, sent) == (202, [])


def test_what_is_too_large_is_not_read(sent):
    assert post(b'{"appointment_id":"4be5c594","more":"' + b"x" * 300_000 + b'"}').status_code == 413
    assert sent == []


def test_a_queue_that_is_away_asks_for_it_again(sent, monkeypatch):
    def away(*args: object, **options: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", away)
    response = post()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")


def test_it_begins_no_session_and_may_not_be_kept(sent):
    response = post()
    assert not response.cookies
    assert response.headers["Cache-Control"] == "no-store"
    assert not Session.objects.exists()


def test_nothing_of_the_body_is_queued_or_logged(sent, caplog):
    caplog.set_level("DEBUG")
    body = {
        "resourceType": "Appointment",
        "id": "4be5c594",
        "description": "Noor Testperson has a rash",
        "participant": [{"actor": {"reference": "Patient/ee1c7803", "display": "Noor Testperson"}}],
    }
    assert post(json.dumps(body).encode()).status_code == 202
    assert sent == [["4be5c594"]]
    assert not {word for word in ("Noor", "rash", "ee1c7803") if word in caplog.text}
