"""Notices from an EHR: who may give one, and what is read out of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from booking.fhir import Notice, is_authentic, read_notice
from booking.fhir.notices import Changed

from .r4_documents import NINE, appointment, slot

SECRET = "a-secret-of-more-than-32-characters-0123456789"
NOW = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
BODY = b'{"event_type":"APPOINTMENT_UPDATED","appointment_id":"4be5c594"}'
LOOK = Notice(appointment_refs=("Appointment/4be5c594",))


def sign(signed: bytes, secret: str = SECRET, kind: Any = hashlib.sha256) -> str:
    return hmac.new(secret.encode(), signed, kind).hexdigest()


def plugin(at: float = NOW, body: bytes = BODY, **more: Any) -> dict[str, str]:
    stamp = str(int(at))
    return {"x-timestamp": stamp, "x-signature": f"sha256={sign(f'{stamp}.'.encode() + body, **more)}"}


@pytest.mark.parametrize(
    ("headers", "is_theirs"),
    [
        ({}, False),
        ({"authorization": f"Bearer {SECRET}"}, True),
        ({"authorization": f"bearer  {SECRET}"}, True),
        ({"authorization": f"Bearer {SECRET}x"}, False),
        ({"authorization": f"Bearer {SECRET[:-1]}"}, False),
        ({"authorization": "Bearer"}, False),
        ({"authorization": "Bearer "}, False),
        ({"authorization": f"Basic {SECRET}"}, False),
        ({"authorization": SECRET}, False),
        ({"authorization": "Bearer \u00e4\u00f6\u00fc"}, False),
        (plugin(), True),
        (plugin(NOW - 300), True),
        (plugin(NOW + 300), True),
        (plugin(NOW - 301), False),
        (plugin(NOW + 301), False),
        (plugin() | {"x-timestamp": str(int(NOW) + 1)}, False),
        (plugin() | {"x-timestamp": ""}, False),
        (plugin() | {"x-timestamp": "soon"}, False),
        (plugin() | {"x-timestamp": "9" * 400}, False),
        (plugin() | {"x-timestamp": "\u0661" * 10}, False),
        (plugin(secret="another"), False),
        (plugin(body=b"{}"), False),
        (plugin(kind=hashlib.sha1), False),
        ({"x-signature": f"sha256={sign(BODY)}"}, False),
        ({"x-signature": sign(BODY)}, True),
        ({"x-signature": sign(BODY)[:-1]}, False),
        ({"x-signature": sign(BODY).upper()}, False),
        ({"x-signature": sign(BODY + b" ")}, False),
        ({"x-signature": sign(BODY, "another")}, False),
        ({"x-signature": ""}, False),
        ({"x-signature": "\u00e4"}, False),
        ({"authorization": "Bearer wrong", **plugin()}, True),
        ({"authorization": "Bearer wrong", "x-signature": "sha256=00", "x-timestamp": str(int(NOW))}, False),
    ],
)  # fmt: skip
def test_who_does_not_show_the_secret_is_not_the_ehr(headers, is_theirs):
    assert is_authentic(SECRET, BODY, headers, now=NOW) is is_theirs


def read(found: Any, **headers: str) -> Notice:
    return read_notice(
        json.dumps(found).encode(), {key.replace("_", "-"): value for key, value in headers.items()}
    )


def bundle(*entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "history", "entry": list(entries)}


def event(*refs: str) -> dict[str, Any]:
    parts = [{"name": "focus", "valueReference": {"reference": ref}} for ref in refs]
    return {"name": "notification-event", "part": [{"name": "event-number", "valueString": "2"}, *parts]}


STATUS = {
    "resourceType": "Parameters",
    "parameter": [{"name": "type", "valueCode": "event-notification"}, event("Appointment/a", "Patient/p")],
}
STATUS_R4B = {
    "resourceType": "SubscriptionStatus",
    "notificationEvent": [
        {
            "focus": {"reference": "https://ehr.example/fhir/Appointment/a"},
            "additionalContext": [{"reference": "Slot/s"}],
        }
    ],
}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (json.loads(BODY), LOOK),
        ({"appointment_id": "4be5c594", "patient_id": "ee1c", "event_type": 7}, LOOK),
        (appointment(id="4be5c594"), LOOK),
        ({"resourceType": "Appointment", "id": "4be5c594"}, LOOK),
        (slot("a", 0), Notice(schedules=(Changed("Schedule/ana", NINE),))),
        ({**slot("a", 0), "start": "nine"}, Notice(schedules=(Changed("Schedule/ana", None),))),
        (slot("a", 0, schedule={}), Notice()),
        (bundle({"resource": STATUS}), Notice(("Appointment/a",))),
        (bundle({"resource": STATUS_R4B}), Notice(("Appointment/a",))),
        (
            bundle({"resource": STATUS}, {"fullUrl": "https://ehr.example/fhir/Appointment/b", "request": {"method": "PUT"}}),
            Notice(("Appointment/a", "Appointment/b")),
        ),
        (bundle({"request": {"method": "DELETE", "url": "Appointment/b"}}), Notice(("Appointment/b",))),
        (
            bundle({"resource": STATUS}, {"resource": appointment(id="a")}, {"resource": slot("s", 30)}),
            Notice(("Appointment/a",), (Changed("Schedule/ana", datetime(2026, 12, 1, 17, 30, tzinfo=UTC)),)),
        ),
        (bundle({"resource": bundle({"resource": appointment(id="a")})}), Notice()),
        (bundle({"resource": {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "heartbeat"}]}}), Notice()),
        ({"resourceType": "Bundle"}, Notice()),
        ({"resourceType": "Bundle", "entry": [None, 7, [], {"resource": 7}, {"resource": {"resourceType": 7}}]}, Notice()),
        ({"resourceType": "Patient", "id": "p"}, Notice()),
        ({"resourceType": "Appointment"}, Notice()),
        ({"resourceType": "Appointment", "id": "../../Patient/p"}, Notice()),
        ({"resourceType": 7, "id": "a"}, Notice()),
        ({}, Notice()),
        ({"appointment_id": None}, Notice()),
        ({"appointment_id": ["a"]}, Notice()),
        ({"appointment_id": ""}, Notice()),
        ({"appointment_id": "a/b"}, Notice()),
        ({"appointment_id": "a?b=c"}, Notice()),
        ({"appointment_id": "x" * 65}, Notice()),
        ({"event_type": "LAB_ORDER_CREATED"}, Notice()),
    ],
)  # fmt: skip
def test_what_is_to_be_looked_at_again_is_all_that_is_read(found, wanted):
    assert read(found) == wanted


def test_medplum_names_what_was_deleted_in_a_header():
    assert read({}, x_medplum_deleted_resource="Appointment/4be5c594") == LOOK
    assert read({}, x_medplum_deleted_resource="Slot/s") == Notice()
    assert read({}, x_medplum_deleted_resource="Appointment/") == Notice()


def test_one_thing_named_often_is_one_thing_and_no_notice_names_very_many():
    assert read(bundle(*[{"fullUrl": "Appointment/a"}] * 50)) == Notice(("Appointment/a",))
    many = read(bundle(*({"fullUrl": f"Appointment/{number}"} for number in range(5_000))))
    assert many.appointment_refs == tuple(f"Appointment/{number}" for number in range(100))


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_a_rest_hook_without_payload_names_nothing(body):
    assert read_notice(body, {}) == Notice()


@pytest.mark.parametrize(
    "body",
    [b"[]", b"7", b'"Appointment"', b"null", b"{", b"appointment_id=7", b"\xff\xfe", b'{"a":' * 100_000, b"<html>", b'{"total":NaN}'],
)  # fmt: skip
def test_what_is_no_object_is_no_notice(body):
    with pytest.raises(ValueError, match="JSON object"):
        read_notice(body, {})
