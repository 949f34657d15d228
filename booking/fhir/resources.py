"""R4 as it comes off the wire, shared by all dialects: tolerant readers, pure functions on dicts.

A reader takes any JSON at all and gives an empty value, or None, for what it cannot make sense of.
"""

from __future__ import annotations

import calendar
import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from booking.scheduling.errors import EhrRejected
from booking.scheduling.terms import AppointmentRecord, Slot

Json = dict[str, Any]

# The systems of our identifiers in the EHR. Bookings and patients are found again by them as they were
# written, so they must never change.
BOOKING_SYSTEM = "urn:self-scheduling-portal:booking"
PATIENT_SYSTEM = "urn:self-scheduling-portal:patient"

# Statuses of an Appointment that takes nobody's time any more.
CANCELLED = frozenset({"cancelled", "entered-in-error"})
REPLACES = "previously rescheduled appointment"
REPLACED_BY = "rescheduled replacement appointment"

ZONE_URL = "http://hl7.org/fhir/StructureDefinition/tz-code"

REFERENCE = re.compile(
    r"(?:^|/)([A-Z][A-Za-z]{1,63})/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?$"
)
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)", re.ASCII
)
_LONGEST_INSTANT = 40
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T.*)?)?)?", re.ASCII)
# What no text column or log line takes: control characters, NUL among them, and halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


def text(value: object) -> str:
    """One clean line, or empty when the value is no string."""
    return " ".join(_UNPRINTABLE.sub(" ", value).split()) if isinstance(value, str) else ""


def mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Json]:
    """The objects in a list. One object on its own counts as a list of one, as some EHRs send it."""
    members = value if isinstance(value, list) else [value]
    return [member for member in members if isinstance(member, dict)]


def texts(value: object) -> list[str]:
    members = value if isinstance(value, list) else [value]
    return [line for line in map(text, members) if line]


def extensions(node: Mapping[str, Any], url: str) -> list[Json]:
    return [found for found in mappings(node.get("extension")) if found.get("url") == url]


def reference(value: object, resource_type: str) -> str:
    """``Type/id`` from a Reference, be it relative, absolute or versioned; empty for another type."""
    written = mapping(value).get("reference")
    found = _referred_to(written) if isinstance(written, str) else ("", "")
    return found[1] if found[0] == resource_type else ""


@lru_cache(maxsize=4096)
def _referred_to(written: str) -> tuple[str, str]:
    """The type, and ``Type/id``. A week of Slots names one Schedule over and over."""
    found = REFERENCE.search(text(written))
    return (found[1], f"{found[1]}/{found[2]}") if found else ("", "")


def own_reference(resource: Mapping[str, Any]) -> str:
    """The resource's own ``Type/id``; empty when it has no usable id."""
    found = REFERENCE.fullmatch(f"{text(resource.get('resourceType'))}/{text(resource.get('id'))}")
    return f"{found[1]}/{found[2]}" if found else ""


def instant(value: object) -> datetime | None:
    """An instant in UTC; None for a time that does not exist, or has no offset and so names no moment."""
    return _instant(value) if isinstance(value, str) and len(value) <= _LONGEST_INSTANT else None


@lru_cache(maxsize=16_384)
def _instant(value: str) -> datetime | None:
    """Slots of many schedules begin and end at the same few moments, and each is looked at several times."""
    found = _INSTANT.fullmatch(value)
    if not found:
        return None
    day, minutes, seconds, fraction, offset = found.groups()
    try:
        read = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}{fraction or ''}{offset}")
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def days(value: object) -> tuple[date, date] | None:
    """The first and last day that a FHIR date or dateTime covers: a whole year for ``2027``."""
    found = _DAY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        assert year is not None
        first = date(year, month or 1, day or 1)
        last = date(year, month or 12, day or calendar.monthrange(year, month or 12)[1])
    except (ValueError, calendar.IllegalMonthError):
        return None
    return first, last


def period(value: object) -> tuple[date | None, date | None] | None:
    """The first and last day of a Period, None for an end that is not given.

    None for the whole when an end is given and cannot be read: an unreadable end must not become an open one.
    """
    if value is None:
        return None, None
    if not isinstance(value, dict):
        return None
    start, end = days(value.get("start")), days(value.get("end"))
    if (value.get("start") is not None and start is None) or (value.get("end") is not None and end is None):
        return None
    return (start[0] if start else None), (end[1] if end else None)


def https_url(value: object) -> str:
    """An https address with a host and no user name; empty for anything else, such as ``javascript:``."""
    url = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if is_good and url.isascii() and not re.search(r"[\s\x00-\x1f\x7f\\\"<>]", url) else ""


def digits(value: object) -> str:
    return re.sub(r"[^0-9]", "", value) if isinstance(value, str) else ""


def phone_number(value: object) -> str:
    """Digits to compare or send: ten for a North American number, however written, else all of them."""
    found = digits(value)
    return found[1:] if len(found) == 11 and found.startswith("1") else found


@dataclass(frozen=True, slots=True)
class Name:
    given: tuple[str, ...]
    family: str
    full: str
    suffix: str


def names(resource: Mapping[str, Any]) -> list[Name]:
    """The names that someone goes by today, the official one first; not former ones and not nicknames."""
    order = {"official": 0, "usual": 1}
    current = [
        node
        for node in mappings(resource.get("name"))
        if node.get("use") not in ("old", "maiden", "nickname", "anonymous", "temp")
    ]
    current.sort(key=lambda node: order.get(text(node.get("use")), 2))
    return [
        Name(
            given=tuple(texts(node.get("given"))),
            family=text(node.get("family")),
            full=text(node.get("text")),
            suffix=", ".join(texts(node.get("suffix"))),
        )
        for node in current
    ]


def has_identifier(resource: Mapping[str, Any], system: str, value: str) -> bool:
    return any(
        found.get("system") == system and found.get("value") == value
        for found in mappings(resource.get("identifier"))
    )


def entries(bundle: Mapping[str, Any], kind: str) -> tuple[list[Json], int]:
    """The bundle's resources, and how many entries could not be read at all. ``kind`` is for the error alone.

    An OperationOutcome among them is left out and not counted.
    """
    listed = bundle.get("entry")
    if bundle.get("resourceType") != "Bundle" or not isinstance(listed, list | None):
        raise EhrRejected(f"GET {kind}: the answer is not a Bundle")
    found: list[Json] = []
    unreadable = 0
    for entry in listed or []:
        resource = mapping(entry).get("resource")
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            unreadable += 1
        elif resource["resourceType"] != "OperationOutcome":
            found.append(resource)
    return found, unreadable


def next_link(bundle: Mapping[str, Any]) -> str:
    """The address of the next page; empty on the last page."""
    for link in mappings(bundle.get("link")):
        if link.get("relation") == "next":
            if not isinstance(link.get("url"), str) or not link["url"].strip():
                # To stop here would pass off half of a search as the whole of it.
                raise EhrRejected("the EHR's answer has a next link without an address")
            return str(link["url"]).strip()
    return ""


def slot(resource: Mapping[str, Any]) -> Slot | None:
    """A Slot whatever its status; None for one that cannot be read."""
    starts_at, ends_at = instant(resource.get("start")), instant(resource.get("end"))
    schedule_ref = reference(resource.get("schedule"), "Schedule")
    if not schedule_ref or starts_at is None or ends_at is None:
        return None
    return Slot(schedule_ref, starts_at, ends_at)


def appointment_record(resource: Mapping[str, Any]) -> AppointmentRecord | None:
    """What is read of an Appointment in any dialect.

    Canvas links the two Appointments of a visit that staff moved through supportingInformation, and tells them apart
    by the reference's display alone (its Appointment page); its samples differ in the case of the words.
    """
    ref, status = own_reference(resource), text(resource.get("status"))
    starts_at, ends_at = instant(resource.get("start")), instant(resource.get("end"))
    if not ref or not status or starts_at is None or ends_at is None:
        return None
    actors = [participant.get("actor") for participant in mappings(resource.get("participant"))]
    information = mappings(resource.get("supportingInformation"))
    links = {
        text(node.get("display")).casefold(): linked
        for node in information
        if (linked := reference(node, "Appointment"))
    }
    return AppointmentRecord(
        ref=ref,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        practitioner_ref=_first_reference(actors, "Practitioner"),
        patient_ref=_first_reference(actors, "Patient"),
        location_ref=_first_reference([*actors, *information], "Location"),
        booking_ids=booking_ids(resource),
        replaces_ref=links.get(REPLACES, ""),
        replaced_by_ref=links.get(REPLACED_BY, ""),
    )


def booking_ids(resource: Mapping[str, Any]) -> tuple[UUID, ...]:
    """The bookings of ours that a resource carries as identifiers."""
    found = []
    for node in mappings(resource.get("identifier")):
        if node.get("system") == BOOKING_SYSTEM:
            with contextlib.suppress(ValueError):
                found.append(UUID(text(node.get("value"))))
    return tuple(found)


def _first_reference(values: Iterable[object], resource_type: str) -> str:
    return next(filter(None, (reference(value, resource_type) for value in values)), "")
