"""A hundred people press the last button at the same instant: for one time, or for times that overlap."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any

import httpx

from .checker import ehr_visits, overlaps
from .people import BOOKED, FAILED, TAKEN, LightVisitor, read
from .scene import Scene
from .scene import scene as start_scene

# The portal has no guard left when these are gone as well (tests/journeys/unlocked.py takes out the others).
CONSTRAINTS = (
    "ALTER TABLE booking_booking DROP CONSTRAINT booking_no_overlapping_claims",
    "DROP INDEX booking_one_claim_per_start",
)
# A hundred at once on two cores are no failing EHR.
PATIENT_EHR = {
    "EHR_CONNECT_SECONDS": "20",
    "EHR_READ_SECONDS": "40",
    "EHR_TOTAL_SECONDS": "60",
    "EHR_PAGE_SECONDS": "30",
    "EHR_REST_SECONDS": "60",
}
SAME = (("refill", 0),)
# Four lengths, six starts of which each overlaps the next.
REASONS = ("refill", "test-results", "diabetes", "anxiety")
OVERLAPPING = tuple((reason, 15 * step) for step in range(6) for reason in REASONS)

# Runs inside the portal: for each round a clinician and an hour of their own, and people whose hold on a time there has
# run out, so that each press takes it anew.
_SCRIPT = """
import json
from datetime import date, timedelta
from importlib import import_module
from django.conf import settings
from django.utils import timezone
from booking.models import Booking, PatientRecord, ScheduleRecord, VisitReasonRecord
from booking.scheduling.lifecycle import BookingState
first, rounds, racers, choices = PARAMETERS
store, now, made = import_module(settings.SESSION_ENGINE).SessionStore, timezone.now(), []
reasons = {each.code: each for each in VisitReasonRecord.objects.all()}
schedules = list(ScheduleRecord.objects.order_by("pk").select_related("clinician"))
day = (now + timedelta(days=4)).replace(hour=16, minute=0, second=0, microsecond=0)
for number in range(first, first + rounds):
    schedule = schedules[number % len(schedules)]
    begins = day + timedelta(hours=3 * (number // len(schedules) % 4), days=number // len(schedules) // 4)
    people = []
    for n in range(racers):
        code, offset = choices[n % len(choices)]
        reason, starts_at = reasons[code], begins + timedelta(minutes=offset)
        contact = f"race{number}x{n}@example.com"
        patient = PatientRecord.objects.create(given_name="Race", family_name=f"Number{number}x{n}",
            birth_date=date(1980, 1, 1), sex="female", email=contact)
        key, ended = f"race-{number}-{n}", now - timedelta(seconds=1)
        booking = Booking.objects.create(state=BookingState.EXPIRED, owner_key=key, clinician=schedule.clinician,
            schedule=schedule, reason=reason, modality="video", specialty="family", patient_kind="established", jurisdiction="CA",
            zone="America/Los_Angeles", starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=reason.default_minutes), hold_expires_at=ended,
            hold_full_expires_at=ended, patient=patient, contact_channel="email", contact_value=contact,
            contact_verified_at=now)
        session = store()
        session["owner_key"] = key
        session["draft"] = {"reason": code, "is_screened": True, "jurisdiction": "CA", "zone": "America/Los_Angeles",
            "specialty": "family", "patient_kind": "established", "booking_id": str(booking.pk), "patient_id": str(patient.pk),
            "contact": {"channel": "email", "value": contact, "verified_at": now.isoformat()}}
        session.save()
        people.append(session.session_key)
    made.append([schedule.clinician.ehr_ref, begins.isoformat(), people])
print("MADE", json.dumps(made))
"""


@dataclass
class Races:
    """``winners``: Appointments made in each round. ``pages``: what the racers were told, all rounds together."""

    winners: list[int] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    pages: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    deadlocks: int = 0

    def figures(self) -> dict[str, Any]:
        return {
            "rounds": len(self.winners),
            "Appointments a round, least": min(self.winners, default=0),
            "Appointments a round, most": max(self.winners, default=0),
            "overlapping": len(self.overlapping),
            "told booked": self.pages[BOOKED],
            "told taken": self.pages[TAKEN],
            "any other page": self.pages.total() - self.pages[BOOKED] - self.pages[TAKEN],
            "5xx or no answer": self.pages[FAILED],
            "deadlocks": self.deadlocks,
            "slowest page s": round(self.slowest, 1),
        }


@contextmanager
def racing_scene(*, guarded: bool = True) -> Iterator[Scene]:
    application = "portal.wsgi:application" if guarded else "tests.journeys.unlocked:application"
    with start_scene(env=PATIENT_EHR, application=application) as scene:
        if not guarded:
            for statement in CONSTRAINTS:
                scene.postgres.server.execute(statement, "storm")
        yield scene


def race(
    scene: Scene, *, rounds: int, racers: int, choices: Iterable[tuple[str, int]] = SAME, first: int = 0
) -> Races:
    script = _SCRIPT.replace("PARAMETERS", repr((first, rounds, racers, tuple(choices))))
    said = scene.portal.manage("shell", "-c", script, seconds=600).stdout
    found = Races()
    for whom, _, sessions in json.loads(
        next(line for line in said.splitlines() if line.startswith("MADE"))[5:]
    ):
        before = {visit.id for visit in ehr_visits(scene.sandbox)}
        _one(scene, sessions, found)
        made = [visit for visit in ehr_visits(scene.sandbox) if visit.id not in before and visit.is_live]
        found.winners.append(len(made))
        assert {visit.practitioner for visit in made} <= {whom}
        found.overlapping += overlaps(made)
    found.deadlocks = int(
        scene.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0]
    )
    return found


def _one(scene: Scene, sessions: list[str], found: Races) -> None:
    visitors = [LightVisitor(scene.portal.url, session, seconds=120) for session in sessions]
    random.Random(5).shuffle(visitors)
    barrier = Barrier(len(visitors))

    def press(visitor: LightVisitor) -> tuple[str, float]:
        barrier.wait(120)
        began = time.monotonic()
        try:
            what, _ = read(visitor.press("Book this visit"))
        except httpx.TransportError:
            what = FAILED
        finally:
            visitor.close()
        return what, time.monotonic() - began

    with ThreadPoolExecutor(8) as few:
        list(few.map(lambda visitor: visitor.open("/book/review/"), visitors))
    with ThreadPoolExecutor(len(visitors)) as pool:
        for what, took in pool.map(press, visitors):
            found.pages[what] += 1
            found.slowest = max(found.slowest, took)
