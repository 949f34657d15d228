"""Terms with usual values, so that a test names only what it is about.

The usual patient is in California, the usual clinician a family doctor licensed there who is free in Oakland.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from booking.scheduling.availability import Availability, Policy, find_offers
from booking.scheduling.clock import PARTS_OF_DAY, local_day, part_begins
from booking.scheduling.eligibility import Visit, weigh
from booking.scheduling.terms import (
    Claim,
    Clinician,
    Coding,
    License,
    Modality,
    Offer,
    Schedule,
    Slot,
    VisitReason,
)

PACIFIC, ARIZONA, CENTRAL, EASTERN = (
    "America/Los_Angeles",
    "America/Phoenix",
    "America/Chicago",
    "America/New_York",
)
VIDEO, IN_PERSON, PHONE = Modality.VIDEO, Modality.IN_PERSON, Modality.PHONE
ALL_TYPES = {each: Coding("http://snomed.info/sct", each.value) for each in Modality}


def utc(text: str) -> datetime:
    """ "2026-06-10 16:00" as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(id: int = 1, *, zone: str = PACIFIC, jurisdiction: str = "CA") -> Schedule:  # noqa: A002
    return Schedule(
        id=id,
        ref=f"Schedule/{id}",
        location_id=id,
        location_ref=f"Location/{id}",
        location_name=f"Place {id}",
        location_jurisdiction=jurisdiction,
        zone=zone,
    )


def clinician(id: int = 1, **more: Any) -> Clinician:  # noqa: A002
    usual: dict[str, Any] = {
        "ref": f"Practitioner/{id}",
        "name": f"Clinician {id}",
        "licenses": (License("CA", f"CA{id}"),),
        "specialties": frozenset({"family"}),
        "schedules": (schedule(id),),
    }
    return Clinician(id=id, **usual | more)


def reason(**more: Any) -> VisitReason:
    usual: dict[str, Any] = {
        "code": "back",
        "coding": Coding("INTERNAL", "BACK"),
        "label": "Back pain",
        "default_minutes": 30,
        "appointment_types": ALL_TYPES,
        "specialties": frozenset({"family"}),
    }
    return VisitReason(**usual | more)


def visit(**more: Any) -> Visit:
    usual: dict[str, Any] = {"reason": reason(), "jurisdiction": "CA", "zone": PACIFIC, "modality": VIDEO}
    return Visit(**usual | more)


def slot(starts_at: str | datetime, *, minutes: int = 30, at: Schedule | None = None) -> Slot:
    begins = utc(starts_at) if isinstance(starts_at, str) else starts_at
    return Slot((at or schedule()).ref, begins, begins + timedelta(minutes=minutes))


def claim(starts_at: str, *, minutes: int = 30, clinician_id: int = 1) -> Claim:
    begins = utc(starts_at)
    return Claim(clinician_id, begins, begins + timedelta(minutes=minutes))


def offered(
    slots: Iterable[Slot],
    *,
    now: str | datetime,
    people: Sequence[Clinician] | None = None,
    asked: Visit | None = None,
    policy: Policy | None = None,
    claims: Iterable[Claim] = (),
) -> Availability:
    """One whole run: who is eligible, then which of the slots they are offered."""
    asked = asked or visit()
    by_schedule: dict[str, list[Slot]] = {}
    for each in slots:
        by_schedule.setdefault(each.schedule_ref, []).append(each)
    return find_offers(
        weigh([clinician()] if people is None else people, asked).eligible,
        by_schedule,
        visit=asked,
        policy=policy or Policy(lead=timedelta(0)),
        claims=claims,
        now=utc(now) if isinstance(now, str) else now,
    )


def starts(found: Availability) -> list[datetime]:
    return [offer.starts_at for offer in found.offers]


def by_local_day(offers: Iterable[Offer], zone_name: str) -> dict[date, list[Offer]]:
    days: dict[date, list[Offer]] = {}
    for offer in offers:
        days.setdefault(local_day(offer.starts_at, zone_name), []).append(offer)
    return days


def part_of_day(at: datetime, zone_name: str) -> str:
    """The last part of its local day that has begun."""
    on = local_day(at, zone_name)
    return [part for part in PARTS_OF_DAY if part_begins(on, part, zone_name) <= at][-1]
