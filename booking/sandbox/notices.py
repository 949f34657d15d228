"""Tells an address of what was written to Appointments and Slots, in the form of the EHR whose manners these are.

Off until the control address names where to and with what secret. Sent once, in the order of the write log, soon after
each commit; nothing is sent again.
"""

import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import write_log
from .seed import JsonObject
from .store import Store

_SECONDS = 5
_TOLD_OF = frozenset({"Appointment", "Slot"})
_INTERACTIONS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Form = Callable[[Entry, str, float], Message | None]
"""What is sent of one entry of the write log, with a secret, at an instant in epoch seconds; None for nothing."""


def canvas_plugin(entry: Entry, secret: str, now: float) -> Message | None:
    """As a plugin of the clinic's own sends it: signed with its time, and naming the appointment alone."""
    if entry["type"] != "Appointment":
        return None
    resource = entry["resource"]
    is_new, is_cancelled = entry["method"] == "POST", resource.get("status") == "cancelled"
    patients = [each.get("actor", {}).get("reference", "") for each in resource.get("participant", ())]
    event = "CREATED" if is_new else "CANCELED" if is_cancelled else "UPDATED"
    body = json.dumps(
        {
            "event_id": str(uuid.uuid4()),
            "event_type": f"APPOINTMENT_{event}",
            "appointment_id": entry["id"],
            "patient_id": next((ref[8:] for ref in patients if ref.startswith("Patient/")), None),
            "occurred_at": entry["at"],
        }
    ).encode()
    at = str(int(now))
    return Message(
        body,
        {"X-Timestamp": at, "X-Signature": f"sha256={_signature(secret, f'{at}.'.encode() + body)}"},
    )


def medplum_rest_hook(entry: Entry, secret: str, now: float) -> Message | None:
    """The resource, signed without a time; of what was deleted, its name in a header."""
    interaction = _INTERACTIONS[entry["method"]]
    headers = {"X-Medplum-Subscription": "sandbox", "X-Medplum-Interaction": interaction}
    body = json.dumps({} if interaction == "delete" else entry["resource"]).encode()
    if interaction == "delete":
        headers["X-Medplum-Deleted-Resource"] = f"{entry['type']}/{entry['id']}"
    return Message(body, {**headers, "X-Signature": _signature(secret, body)})


def r4_rest_hook(entry: Entry, secret: str, now: float) -> Message | None:
    """The resource, with a header that the subscription names; R4 tells of no deletes."""
    if entry["method"] == "DELETE":
        return None
    return Message(json.dumps(entry["resource"]).encode(), {"Authorization": f"Bearer {secret}"})


def _signature(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Notices:
    """``now`` gives epoch seconds. ``sent`` says of each notice what it was about and how it was answered."""

    def __init__(self, store: Store, form: Form, now: Callable[[], float]) -> None:
        self._store = store
        self._form = form
        self._now = now
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self._url = ""
        self.sent: list[JsonObject] = []
        store.on_commit.append(self._woken.set)

    def send_to(self, url: str, secret: str) -> None:
        """From the next write on."""
        if not url.startswith(("http://", "https://")) or not secret:
            raise ValueError("url is an http address and secret a text.")
        self.stop()
        entries = write_log.entries(self._store, 0)
        after = entries[-1]["seq"] if entries else 0
        with self._lock:
            self._url, self._number = url, self._number + 1
            number = self._number
        threading.Thread(
            target=self._run, args=(number, url, secret, after), daemon=True, name="notices"
        ).start()

    def stop(self) -> None:
        with self._lock:
            self._url, self._number = "", self._number + 1
            self.sent = []
        self._woken.set()

    def as_dict(self) -> JsonObject:
        return {"url": self._url, "sent": list(self.sent)}

    def _run(self, number: int, url: str, secret: str, after: int) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            self._woken.wait()
            self._woken.clear()
            if number != self._number:
                # Whoever came after this one is to wake as well.
                self._woken.set()
                return
            for entry in write_log.entries(self._store, after):
                after = entry["seq"]
                message = self._form(entry, secret, self._now()) if entry["type"] in _TOLD_OF else None
                if message is not None and number == self._number:
                    self.sent.append(
                        {"type": entry["type"], "id": entry["id"], "status": _post(opener, url, message)}
                    )


def _post(opener: urllib.request.OpenerDirector, url: str, message: Message) -> int:
    """The answer's status; 0 where none came."""
    headers = {"Content-Type": "application/fhir+json", **message.headers}
    request = urllib.request.Request(url, data=message.body, headers=headers, method="POST")  # noqa: S310
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0
