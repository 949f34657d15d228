"""A small clinic whose clinician is one of the sandbox EHR's, and a clock that moves only when told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache

from booking import board, ehr
from booking.flows import confirm_booking, hold_slot, kept_times
from booking.flows.hold_slot import Choice
from booking.models import Booking, ClinicianRecord, LocationRecord, ScheduleRecord, VisitReasonRecord
from booking.models.bookings import Visitor
from booking.scheduling.eligibility import Visit
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Coding, Directory, Modality, Slot
from tests import factories
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox

BOOKING_SYSTEM = "urn:self-scheduling-portal:booking"
PATIENT_SYSTEM = "urn:self-scheduling-portal:patient"
TELEHEALTH = Coding("http://snomed.info/sct", "448337001")


@dataclass
class Clock:
    """``tick`` is the only thing that moves it. Begun at the present, for the EHR keeps its own time."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at

    def tick(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at

    def ticked(self, seconds: float) -> Clock:
        """Itself, so much later."""
        self.tick(seconds)
        return self


@dataclass
class Clinic:
    """One family doctor who works by video from two places and is licensed in five states."""

    sandbox: SandboxControl
    clinician: ClinicianRecord
    schedule: ScheduleRecord
    elsewhere: ScheduleRecord
    reason: VisitReasonRecord

    def visit(self, **more: Any) -> Visit:
        usual: dict[str, Any] = {
            "reason": self.reason.to_term(),
            "jurisdiction": "CA",
            "zone": "America/Los_Angeles",
            "modality": Modality.VIDEO,
        }
        return Visit(**usual | more)

    def free(
        self,
        minutes: int = 30,
        *,
        schedule: ScheduleRecord | None = None,
        modality: Modality = Modality.VIDEO,
    ) -> list[Slot]:
        """What the EHR has free from the day after tomorrow on, so that no test is near the lead time."""
        type_code, _ = factories.APPOINTMENT_TYPES[modality]
        first_on = datetime.now(UTC).date() + timedelta(days=2)
        return ehr.gateway().free_slots(
            (schedule or self.schedule).ehr_ref,
            first_on=first_on,
            last_on=first_on + timedelta(days=12),
            minutes=minutes,
            appointment_type=Coding("http://snomed.info/sct", type_code),
        )

    def choice(self, starts_at: datetime | None = None, *, modality: Modality = Modality.VIDEO) -> Choice:
        return Choice(self.schedule.pk, starts_at or self.free(modality=modality)[0].starts_at)

    def soonest(self, clock: Clock, *, hold_minutes: int) -> Choice:
        """A choice that keeps the lead time to the minute."""
        choice = self.choice()
        lead = (choice.starts_at - clock()) // timedelta(minutes=1)
        factories.policy(lead_minutes=lead, hold_minutes=hold_minutes)
        return choice

    def hold(self, visitor: Visitor, *, now: datetime, **more: Any) -> Booking:
        """A hold on the first free time, with everything a patient fills in."""
        choice = more.pop("choice", None) or self.choice()
        held = hold_slot.hold(self.visit(), choice, visitor=visitor, now=now)
        return factories.give_details(held, **more)

    def book(self, visitor: Visitor, clock: Clock) -> Booking:
        """A visit at the first free time, with the EHR's word."""
        booking = confirm_booking.submit(self.hold(visitor, now=clock()), visitor=visitor, clock=clock)
        assert booking.status is BookingState.BOOKED
        return booking

    def appointments(self, booking: Booking) -> list[dict[str, Any]]:
        return self.sandbox.appointments(identifier=f"{BOOKING_SYSTEM}|{booking.pk}")

    def patients(self, booking: Booking) -> list[dict[str, Any]]:
        return self.sandbox.search("Patient", identifier=f"{PATIENT_SYSTEM}|{booking.patient_id}")

    def posts(self) -> int:
        """How many Appointment creates the EHR was sent, answered or not."""
        return self.calls("POST", "Appointment")

    def calls(self, method: str, resource_type: str) -> int:
        """How many calls of a kind the EHR has had."""
        counts = {(each["method"], each["type"]): each["count"] for each in self.sandbox.calls()["calls"]}
        return counts.get((method, resource_type), 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxControl]:
    """A sandbox that no running portal books into, so that each test can begin with the clinic as first seeded."""
    with start_sandbox() as control:
        yield control


@pytest.fixture
def portal_ehr(sandbox: SandboxControl, settings: Any) -> Iterator[SandboxControl]:
    """The sandbox, well behaved, as the portal's EHR; nothing is remembered of it from earlier tests."""
    for name, value in sandbox.env.items():
        setattr(settings, name, value)
    sandbox.reset()
    forget_everything()
    yield sandbox
    forget_everything()


def forget_everything() -> None:
    """As a portal that has just begun."""
    cache.clear()
    board.forget()
    kept_times.forget()


_directories: dict[str, Directory] = {}


@pytest.fixture
def directory(portal_ehr: SandboxControl) -> Directory:
    if portal_ehr.url not in _directories:
        _directories[portal_ehr.url] = ehr.gateway().directory()
    return _directories[portal_ehr.url]


@pytest.fixture
def clinic(db: None, portal_ehr: SandboxControl, directory: Directory) -> Clinic:
    return make_clinic(portal_ehr, directory)


def make_clinic(sandbox: SandboxControl, directory: Directory, family: str = "Raghunathan") -> Clinic:
    listing = next(each for each in directory.practitioners if each.family == family)
    places = {
        each.ref: LocationRecord.objects.filter(ehr_ref=each.ref).first()
        or factories.location(
            each.ref,
            name=each.name,
            jurisdiction=each.jurisdiction,
            time_zone="America/Los_Angeles" if each.jurisdiction == "CA" else "America/Chicago",
        )
        for each in directory.locations
    }
    schedules = [
        (each.ref, places[each.location_ref])
        for each in directory.schedules
        if each.practitioner_ref == listing.ref
    ]
    clinician = factories.clinician(
        listing.ref,
        name=listing.name,
        family_name=listing.family,
        ehr_room_url=listing.room_url,
        states=[license.jurisdiction for license in listing.licenses],
        schedules=schedules,
    )
    records = {
        record.location.jurisdiction: record for record in clinician.schedules.select_related("location")
    }
    return Clinic(
        sandbox=sandbox,
        clinician=clinician,
        schedule=records["CA"],
        elsewhere=records["TX"],
        reason=VisitReasonRecord.objects.first() or factories.reason(),
    )


@pytest.fixture
def visitor() -> Visitor:
    return factories.visitor()


@pytest.fixture
def reconcile_at(clock: Clock) -> Callable[[float], int]:
    """Move the clock on, let reconcile run once, and say how many bookings it looked at."""
    from booking.flows.reconcile import reconcile

    def run(seconds: float) -> int:
        clock.tick(seconds)
        return reconcile(clock=clock)

    return run


@pytest.fixture
def texts(sms_gateway, settings):
    for name, value in sms_gateway.env.items():
        setattr(settings, name, value)
    return sms_gateway


@pytest.fixture
def mails(mailbox, settings):
    settings.EMAIL_BACKEND = "booking.messaging.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", mailbox.port, False
    return mailbox
