"""Visitors who stand before the last button, made in the portal's own database rather than clicked there one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Barrier

from tests.rig.portal import Portal

from .plain import Page, PlainVisitor
from .steps import settled

# Runs inside the portal. Each visitor has a session, details, a proved contact and a hold; with LAPSED they all held
# the same time one after another and every hold has run out.
_SCRIPT = """
import json
from datetime import date, timedelta
from importlib import import_module
from django.conf import settings
from django.utils import timezone
from booking.flows.find_times import find_times
from booking.models import Booking, PatientRecord, VisitReasonRecord, standing
from booking.scheduling.eligibility import Visit
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality
count, lapsed, skip = PARAMETERS
store = import_module(settings.SESSION_ENGINE).SessionStore
reason = VisitReasonRecord.objects.with_rules().get(code="refill")
visit = Visit(reason.to_term(), "CA", "America/Los_Angeles", Modality.VIDEO, "family")
now = timezone.now()
soon = now + timedelta(days=2)
blocks = [find_times(visit, block_number=number, now=now, stands=standing(), seconds=30) for number in (0, 1)]
offers = [o for times in blocks for o in times.offers if o.starts_at > soon]
unlike = {}
for offer in offers:  # times that do not overlap one another
    unlike.setdefault((offer.clinician.id, offer.starts_at.date(), offer.starts_at.hour), offer)
offers = list(unlike.values())[skip:]
made = []
for n in range(count):
    offer = offers[0 if lapsed else n]
    key = f"owner-{skip}-{n}-{now.timestamp()}"
    contact = f"ready{skip}-{n}@example.com"
    patient = PatientRecord.objects.create(
        given_name="Ready", family_name=f"Number{skip}x{n}", birth_date=date(1980, 1, 1), sex="female", email=contact)
    ends = now - timedelta(seconds=1) if lapsed else now + timedelta(minutes=30)
    booking = Booking.objects.create(
        state=BookingState.EXPIRED if lapsed else BookingState.HELD, owner_key=key, clinician_id=offer.clinician.id,
        schedule_id=offer.schedule.id, reason=reason, modality="video", specialty="family", jurisdiction="CA",
        zone="America/Los_Angeles", starts_at=offer.starts_at, ends_at=offer.ends_at, hold_expires_at=ends,
        hold_full_expires_at=ends, patient=patient, contact_channel="email", contact_value=contact,
        contact_verified_at=now)
    session = store()
    session["owner_key"] = key
    session["draft"] = {"reason": "refill", "is_screened": True, "jurisdiction": "CA", "zone": "America/Los_Angeles",
        "specialty": "family", "booking_id": str(booking.pk), "patient_id": str(patient.pk),
        "contact": {"channel": "email", "value": contact, "verified_at": now.isoformat()}}
    session.save()
    made.append([session.session_key, str(booking.pk), offer.clinician.ref, offer.starts_at.isoformat(), contact])
print("MADE", json.dumps(made))
"""


@dataclass(frozen=True)
class Ready:
    session: str
    booking_id: str
    practitioner: str
    starts_at: datetime
    contact: str


def make_ready(
    portal: Portal, count: int, *, lapsed: bool = False, skip: int = 0, env: Mapping[str, str] | None = None
) -> list[Ready]:
    """``skip`` leaves out times that an earlier call has used; ``env`` is for the making alone."""
    script = _SCRIPT.replace("PARAMETERS", repr((count, lapsed, skip)))
    said = portal.manage("shell", "-c", script, env=env).stdout
    rows = json.loads(next(line for line in said.splitlines() if line.startswith("MADE"))[5:])
    return [Ready(*row[:3], datetime.fromisoformat(row[3]), row[4]) for row in rows]


def visitor_for(portal: Portal, ready: Ready) -> PlainVisitor:
    visitor = PlainVisitor(portal.url)
    visitor.http.cookies.set("session", ready.session)
    return visitor


def all_at_once(portal: Portal, people: list[Ready], *, presses_each: int = 1) -> list[Page]:
    """Everybody opens the review page; then all press the button at the same instant."""
    visitors = [visitor_for(portal, person) for person in people]
    for visitor in visitors:
        visitor.open("/book/review/")
    racers = [(visitor, visitor.page) for visitor in visitors for _ in range(presses_each)]
    barrier = Barrier(len(racers))

    def press(visitor: PlainVisitor, review: Page) -> Page:
        mine = PlainVisitor(portal.url)
        mine.http.cookies.update(visitor.http.cookies)
        mine.page = review
        barrier.wait(30)
        mine.press("Book this visit")
        page = settled(mine)
        mine.close()
        return page

    with ThreadPoolExecutor(len(racers)) as pool:
        pages = list(pool.map(lambda racer: press(*racer), racers))
    for visitor in visitors:
        visitor.close()
    return pages
