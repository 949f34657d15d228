"""What an EHR posts when something of its changed: whether it is from the EHR, and what to look at again.

Three forms are known: a Canvas plugin's JSON, the resource itself (a rest-hook of R4 or Medplum), and a Bundle of the
subscription notifications that R4 took over from R5. Whatever else they say is passed over: the EHR is asked anew.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import resources
from .outcomes import parse_object

WINDOW_SECONDS = 300
MOST_NAMED = 100

_AT = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Changed:
    """A Schedule on whose Slots something changed; ``starts_at`` None where the notice does not say when."""

    schedule_ref: str
    starts_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    appointment_refs: tuple[str, ...] = ()
    schedules: tuple[Changed, ...] = ()


def is_authentic(secret: str, body: bytes, headers: Mapping[str, str], *, now: float) -> bool:
    """Whether a notice shows that its sender knows the secret: as a bearer token; by a signature of
    ``timestamp.body`` (hex HMAC-SHA256, ``sha256=`` before it) that is at most five minutes old; or by one of the body
    alone, as Medplum signs, which says no time. ``headers`` have lower-case names; ``now`` is in epoch seconds."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.casefold() == "bearer" and _is_same(token.strip(), secret):
        return True
    signature, at = headers.get("x-signature", "").strip(), headers.get("x-timestamp", "").strip()
    if signature.startswith("sha256="):
        if not _AT.fullmatch(at) or abs(now - int(at)) > WINDOW_SECONDS:
            return False
        return _is_same(signature, f"sha256={_signature(secret, at.encode() + b'.' + body)}")
    return bool(signature) and _is_same(signature, _signature(secret, body))


def _signature(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def read_notice(body: bytes, headers: Mapping[str, str]) -> Notice:
    """What is to be looked at again; nothing for what concerns nothing of ours. Raises ``ValueError`` for a body that is
    no JSON object. An empty one is a rest-hook without payload, which names nothing."""
    if not body.strip():
        return Notice()
    found = parse_object(body)
    if found is None:
        raise ValueError("a notice is a JSON object")
    appointments: dict[str, None] = {}
    schedules: dict[Changed, None] = {}
    # Medplum sends no more than {} for what was deleted, and names it in a header.
    named = [headers.get("x-medplum-deleted-resource", ""), *_named(found)]
    for reference in named:
        if ref := resources.reference({"reference": reference}, "Appointment"):
            appointments[ref] = None
    for slot in _slots(found):
        if ref := resources.reference(slot.get("schedule"), "Schedule"):
            schedules[Changed(ref, resources.instant(slot.get("start")))] = None
    return Notice(tuple(appointments)[:MOST_NAMED], tuple(schedules)[:MOST_NAMED])


def _named(found: Mapping[str, Any]) -> Iterator[str]:
    """References, or addresses that end in one, of what a notice is about."""
    kind = found.get("resourceType")
    if kind is None:
        yield f"Appointment/{resources.text(found.get('appointment_id'))}"
    elif kind == "Appointment":
        yield resources.own_reference(found)
    elif kind == "Bundle":
        for entry in resources.mappings(found.get("entry")):
            yield resources.text(entry.get("fullUrl"))
            yield resources.text(resources.mapping(entry.get("request")).get("url"))
            resource = resources.mapping(entry.get("resource"))
            if resource.get("resourceType") not in (None, "Bundle"):
                yield from _named(resource)
    elif kind == "SubscriptionStatus":
        for event in resources.mappings(found.get("notificationEvent")):
            for node in [event.get("focus"), *resources.mappings(event.get("additionalContext"))]:
                yield resources.text(resources.mapping(node).get("reference"))
    elif kind == "Parameters":
        for parameter in resources.mappings(found.get("parameter")):
            if parameter.get("name") == "notification-event":
                for part in resources.mappings(parameter.get("part")):
                    yield resources.text(resources.mapping(part.get("valueReference")).get("reference"))


def _slots(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if found.get("resourceType") == "Slot":
        yield found
    elif found.get("resourceType") == "Bundle":
        for entry in resources.mappings(found.get("entry")):
            resource = resources.mapping(entry.get("resource"))
            if resource.get("resourceType") == "Slot":
                yield resource
