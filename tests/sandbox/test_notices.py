"""The sandbox tells an address of what was written, in the form of each EHR."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from .r4_rig import Server
from .rig import NOON, Clinic

SECRET = "between us"
SPAN = {"start": "2026-11-24T17:00:00+00:00", "end": "2026-11-24T17:30:00+00:00"}


class Listener:
    """Keeps (headers, body) of each POST, and answers with ``status``."""

    def __init__(self) -> None:
        self._heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.status = 202
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener._heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(listener.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notices"

    def heard(self) -> tuple[dict[str, str], bytes]:
        return self._heard.get(timeout=10)

    def is_quiet(self) -> bool:
        try:
            self._heard.get(timeout=0.3)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.server.shutdown()
    found.server.server_close()


def sign(signed: bytes) -> str:
    return hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def told(listener: Listener) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(listener.heard()[1])
    return found


def test_canvas_tells_by_a_plugin_of_its_own(clinic: Clinic, listener: Listener) -> None:
    clinic.book()
    assert clinic.put("/_control/notices", {"url": listener.url, "secret": SECRET}).status_code == 200
    key = clinic.book(start="2026-11-25T17:00:00Z", end="2026-11-25T17:40:00Z")
    headers, body = listener.heard()
    at = headers["x-timestamp"]
    assert at == str(int(NOON.timestamp()))
    assert headers["x-signature"] == f"sha256={sign(f'{at}.'.encode() + body)}"
    found = json.loads(body)
    assert (found["event_type"], found["appointment_id"], found["patient_id"]) == (
        "APPOINTMENT_CREATED",
        key,
        clinic.patient("Delgado"),
    )
    assert datetime.fromisoformat(found["occurred_at"]) == NOON
    new = clinic.http.post(f"/_control/staff/reschedule/{key}", json=SPAN).json()["id"]
    assert [(each["event_type"], each["appointment_id"]) for each in (told(listener), told(listener))] == [
        ("APPOINTMENT_CANCELED", key),
        ("APPOINTMENT_CREATED", new),
    ]
    # The last answer is noted after it was heard here.
    listener.is_quiet()
    sent = clinic.get("/_control/notices").json()["sent"]
    assert [(each["id"], each["status"]) for each in sent] == [(key, 202), (key, 202), (new, 202)]


def test_it_ends_when_told_to_and_with_a_reset(clinic: Clinic, listener: Listener) -> None:
    for end in (
        lambda: clinic.http.delete("/_control/notices"),
        lambda: clinic.http.post("/_control/reset"),
    ):
        clinic.put("/_control/notices", {"url": listener.url, "secret": SECRET})
        clinic.book()
        listener.heard()
        assert end().status_code == 200
        clinic.book()
        assert listener.is_quiet()
        assert clinic.get("/_control/notices").json() == {"url": "", "sent": []}


def test_an_address_that_makes_no_sense_is_refused(clinic: Clinic) -> None:
    for wrong in ({"url": "file:///etc/passwd", "secret": SECRET}, {"url": "http://127.0.0.1:1/"}, {}):
        assert clinic.put("/_control/notices", wrong).status_code == 400


def test_a_listener_that_is_away_costs_the_clinic_nothing(clinic: Clinic, listener: Listener) -> None:
    listener.status = 503
    clinic.put("/_control/notices", {"url": listener.url, "secret": SECRET})
    clinic.book()
    listener.heard()
    clinic.put("/_control/notices", {"url": "http://127.0.0.1:1/", "secret": SECRET})
    assert clinic.book()


def test_medplum_sends_the_resource_and_signs_it_alone(medplum: Server, listener: Listener) -> None:
    medplum.http.put(f"{medplum.url}/_control/notices", json={"url": listener.url, "secret": SECRET})
    slot = medplum.free_slots("Okonkwo", start="ge2026-11-24")[0]
    made = medplum.create("Appointment", **medplum.visit(slot))
    headers, body = listener.heard()
    assert (headers["x-medplum-interaction"], headers["x-signature"]) == ("create", sign(body))
    assert json.loads(body) == made
    medplum.call("PUT", f"Slot/{slot['id']}", {**slot, "status": "busy"})
    headers, body = listener.heard()
    found = json.loads(body)
    assert (headers["x-medplum-interaction"], found["resourceType"], found["status"]) == (
        "update",
        "Slot",
        "busy",
    )
    medplum.call("DELETE", f"Appointment/{made['id']}")
    headers, body = listener.heard()
    assert (headers["x-medplum-interaction"], headers["x-medplum-deleted-resource"], body) == (
        "delete",
        f"Appointment/{made['id']}",
        b"{}",
    )


def test_plain_r4_sends_the_resource_with_the_header_it_was_given(plain: Server, listener: Listener) -> None:
    plain.http.put(f"{plain.url}/_control/notices", json={"url": listener.url, "secret": SECRET})
    slot = plain.free_slots("Okonkwo", start="ge2026-11-24")[0]
    made = plain.create("Appointment", **plain.visit(slot))
    headers, body = listener.heard()
    assert (headers["authorization"], json.loads(body)) == (f"Bearer {SECRET}", made)
    plain.call("DELETE", f"Appointment/{made['id']}")
    assert listener.is_quiet()
