"""Twenty patients at once, through the portal's own way from hold to visit, in every EHR it can book into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache

from booking import ehr
from booking.flows import confirm_booking, ehr_holds, hold_slot
from booking.models import Booking, LocationRecord
from booking.scheduling.errors import Refusal
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import ScheduleListing
from tests import factories
from tests.rig.sandbox import SandboxControl, Sandboxes

from .conftest import Clinic
from .test_two_patients_one_time import all_at_once

RACERS = 20
EHRS = ("canvas", "r4", "medplum by Slots", "medplum by operations")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=EHRS)
def clinic(
    request: pytest.FixtureRequest, transactional_db: None, sandboxes: Sandboxes, settings: Any
) -> Iterator[Clinic]:
    manners, _, way = request.param.partition(" by ")
    sandbox = sandboxes[manners]
    sandbox.reset()
    for name, value in sandbox.env.items():
        setattr(settings, name, value)
    # Twenty at once on two cores are no failing EHR.
    settings.EHR_READ_SECONDS, settings.EHR_TOTAL_SECONDS, settings.EHR_PAGE_SECONDS = 30, 40, 30
    cache.clear()
    yield clinic_with_time(sandbox, way)
    cache.clear()


def clinic_with_time(sandbox: SandboxControl, way: str) -> Clinic:
    """A clinician in California with a calendar that is kept in that way and has time for everybody."""
    directory = ehr.gateway().directory()
    places = {each.ref: each for each in directory.locations if each.jurisdiction == "CA"}
    people = {each.ref: each for each in directory.practitioners}

    def is_kept_so(schedule: ScheduleListing) -> bool:
        return not way or (" at " in schedule.comment) == (way == "Slots")

    for schedule in directory.schedules:
        if schedule.location_ref not in places or not is_kept_so(schedule):
            continue
        person, place = people[schedule.practitioner_ref], places[schedule.location_ref]
        if "CA" not in {license.jurisdiction for license in person.licenses}:
            continue
        location = LocationRecord.objects.filter(ehr_ref=place.ref).first() or factories.location(place.ref)
        clinician = factories.clinician(person.ref, schedules=[(schedule.ref, location)])
        record = clinician.schedules.get()
        found = Clinic(sandbox, clinician, record, record, factories.reason())
        if len(apart(found)) >= RACERS:
            return found
        found.reason.delete()
        clinician.delete()
    raise AssertionError(f"nobody has {RACERS} free times")


def apart(clinic: Clinic) -> list[datetime]:
    """Free times none of which overlaps the one before."""
    found: list[datetime] = []
    for slot in clinic.free():
        if not found or slot.starts_at >= found[-1] + timedelta(minutes=30):
            found.append(slot.starts_at)
    return found


def book(clinic: Clinic, starts_at: datetime, clock: Any) -> Booking:
    visitor = factories.visitor()
    held = hold_slot.hold(clinic.visit(), clinic.choice(starts_at), visitor=visitor, now=clock())
    return confirm_booking.submit(factories.give_details(held), visitor=visitor, clock=clock)


def tally(results: list[Any]) -> Counter[str]:
    return Counter(
        each.state
        if isinstance(each, Booking)
        else each.code.value
        if isinstance(each, Refusal)
        else repr(each)
        for each in results
    )


def standing(clinic: Clinic) -> list[dict[str, Any]]:
    found = clinic.sandbox.appointments(practitioner=clinic.clinician.ehr_ref, _count="100")
    ours = "urn:self-scheduling-portal:booking"
    return [
        each
        for each in found
        if each["status"] == "booked"
        and any(node.get("system") == ours for node in each.get("identifier", []))
    ]


def test_twenty_for_one_time_make_one_visit_and_leave_nothing_blocked(clinic, clock):
    starts_at, *others = apart(clinic)
    results = all_at_once([lambda: book(clinic, starts_at, clock)] * RACERS)
    assert tally(results) == {"booked": 1, "time_taken": RACERS - 1}
    (visit,) = standing(clinic)
    assert datetime.fromisoformat(visit["start"]).astimezone(UTC) == starts_at
    booked = Booking.objects.get(state=BookingState.BOOKED)
    assert booked.appointment_ref == f"Appointment/{visit['id']}"
    # What was held for those who lost is given back, and the next time is as free as it was.
    ehr_holds.give_back_due(now=clock() + timedelta(hours=1))
    free = set(apart(clinic))
    assert starts_at not in free
    assert set(others) - {starts_at + timedelta(minutes=30)} <= {slot.starts_at for slot in clinic.free()}
    ehr.gateway().cancel_appointment(booked.appointment_ref)
    assert starts_at in {slot.starts_at for slot in clinic.free()}


def test_twenty_for_twenty_times_all_get_theirs(clinic, clock):
    times = apart(clinic)[:RACERS]
    results = all_at_once([lambda at=at: book(clinic, at, clock) for at in times])
    assert tally(results) == {"booked": RACERS}
    starts = sorted(datetime.fromisoformat(each["start"]).astimezone(UTC) for each in standing(clinic))
    assert starts == times
