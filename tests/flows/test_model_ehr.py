"""What the stories' EHR does, the sandbox does too, as a gateway shows it: the same steps, the same sights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from booking import ehr
from booking.scheduling.errors import EhrRejected, EhrUnavailable, OutcomeUnknown
from booking.scheduling.terms import AppointmentRequest, Coding, PatientDetails
from tests.rig.sandbox import SandboxControl

from . import model_ehr
from .conftest import TELEHEALTH
from .model_ehr import ModelEhr

HALF_HOUR = timedelta(minutes=30)
# A fault of the model's, and what the sandbox is told to have the same.
SANDBOX_FAULTS: dict[str, dict[str, Any]] = {
    model_ehr.LOST_BEFORE: {"kind": "reset-before-commit"},
    model_ehr.LOST_AFTER: {"kind": "commit-then-no-answer"},
    model_ehr.AWAY: {"kind": "429", "delay_seconds": 1},
    model_ehr.REFUSED: {"kind": "422"},
}


@dataclass
class Place:
    """An EHR, one of its schedules, and what staff and failures do there."""

    gateway: Any
    schedule_ref: str
    practitioner_ref: str
    location_ref: str
    staff_cancels: Callable[[str], Any]
    staff_moves: Callable[[str, datetime, datetime], str]
    staff_books: Callable[[datetime, datetime], Any]
    next_write: Callable[[str, str], Any]

    def free(self) -> list[datetime]:
        first_on = datetime.now(UTC).date() + timedelta(days=2)
        slots = self.gateway.free_slots(
            self.schedule_ref,
            first_on=first_on,
            last_on=first_on + timedelta(days=7),
            minutes=30,
            appointment_type=TELEHEALTH,
        )
        return [slot.starts_at for slot in slots]

    def request(self, starts_at: datetime) -> AppointmentRequest:
        person = PatientDetails(
            uuid4(), "Ana", "Ruiz", datetime(1984, 2, 29, tzinfo=UTC).date(), "female", "ana@mail.example"
        )
        return AppointmentRequest(
            booking_id=uuid4(),
            practitioner_ref=self.practitioner_ref,
            patient_ref=self.gateway.create_patient(person),
            location_ref=self.location_ref,
            starts_at=starts_at,
            ends_at=starts_at + HALF_HOUR,
            reason=Coding("INTERNAL", "BACK"),
            reason_text="Back",
            appointment_type=TELEHEALTH,
            schedule_ref=self.schedule_ref,
        )

    def statuses(self, request: AppointmentRequest) -> list[str]:
        return sorted(each.status for each in self.gateway.find_appointments(request.booking_id))


def the_model() -> Place:
    first = (datetime.now(UTC) + timedelta(days=3)).replace(hour=18, minute=0, second=0, microsecond=0)
    model = ModelEhr(
        lambda: datetime.now(UTC),
        schedule_ref="Schedule/1",
        practitioner_ref="Practitioner/1",
        starts=[first + timedelta(minutes=15 * number) for number in range(12)],
    )
    return Place(
        model,
        "Schedule/1",
        "Practitioner/1",
        "Location/1",
        model.staff_cancels,
        model.staff_moves,
        model.staff_books,
        lambda fault, method: model.faults.append(fault),
    )


def the_sandbox(sandbox: SandboxControl, directory: Any) -> Place:
    person = next(each for each in directory.practitioners if each.family == "Raghunathan")
    schedule = next(each for each in directory.schedules if each.practitioner_ref == person.ref)
    return Place(
        ehr.gateway(),
        schedule.ref,
        person.ref,
        schedule.location_ref,
        lambda ref: sandbox.staff_cancels(ref.partition("/")[2]),
        lambda ref, start, end: f"Appointment/{sandbox.staff_moves(ref.partition('/')[2], start, end)}",
        lambda start, end: sandbox.staff_books(person.ref, start, end),
        lambda fault, method: sandbox.faults(**SANDBOX_FAULTS[fault], method=method, type="Appointment"),
    )


@pytest.fixture(params=["the model", "the sandbox"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "the model":
        yield the_model()
    else:
        yield the_sandbox(request.getfixturevalue("portal_ehr"), request.getfixturevalue("directory"))


def apart(times: list[datetime]) -> datetime:
    """A free time that does not touch the first."""
    return next(at for at in times if at >= times[0] + HALF_HOUR)


def test_a_visit_takes_its_time_and_what_overlaps_until_it_is_cancelled(place: Place) -> None:
    at = place.free()[0]
    request = place.request(at)
    ref = place.gateway.create_appointment(request)
    assert not [each for each in place.free() if at - HALF_HOUR < each < at + HALF_HOUR]
    (found,) = place.gateway.find_appointments(request.booking_id)
    assert (found.ref, found.status, found.starts_at, found.ends_at) == (ref, "booked", at, at + HALF_HOUR)
    assert (found.patient_ref, found.practitioner_ref) == (request.patient_ref, request.practitioner_ref)
    assert found.booking_ids == (request.booking_id,)
    place.gateway.cancel_appointment(ref)
    place.gateway.cancel_appointment(ref)
    assert place.statuses(request) == ["cancelled"]
    assert at in place.free()


def test_two_visits_at_one_time_are_both_made(place: Place) -> None:
    at = place.free()[0]
    one, two = place.request(at), place.request(at)
    assert place.gateway.create_appointment(one) != place.gateway.create_appointment(two)
    again = place.gateway.create_appointment(one)
    assert again not in ("", None)
    assert (place.statuses(one), place.statuses(two)) == (["booked"] * 2, ["booked"])


@pytest.mark.parametrize(
    ("fault", "error", "made"),
    [
        (model_ehr.LOST_BEFORE, OutcomeUnknown, []),
        (model_ehr.LOST_AFTER, OutcomeUnknown, ["booked"]),
        (model_ehr.AWAY, EhrUnavailable, []),
        (model_ehr.REFUSED, EhrRejected, []),
    ],
)
def test_a_create_goes_wrong_in_the_same_ways(place: Place, fault: str, error: type, made: list[str]) -> None:
    request = place.request(place.free()[0])
    place.next_write(fault, "POST")
    with pytest.raises(error):
        place.gateway.create_appointment(request)
    assert place.statuses(request) == made


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (model_ehr.LOST_BEFORE, OutcomeUnknown, "booked"),
        (model_ehr.LOST_AFTER, OutcomeUnknown, "cancelled"),
        (model_ehr.AWAY, EhrUnavailable, "booked"),
        (model_ehr.REFUSED, EhrRejected, "booked"),
    ],
)
def test_a_cancel_goes_wrong_in_the_same_ways(place: Place, fault: str, error: type, status: str) -> None:
    request = place.request(place.free()[0])
    ref = place.gateway.create_appointment(request)
    place.next_write(fault, "PUT")
    with pytest.raises(error):
        place.gateway.cancel_appointment(ref)
    assert place.statuses(request) == [status]


def test_staff_move_a_visit_by_making_another(place: Place) -> None:
    at, later = place.free()[0], apart(place.free())
    request = place.request(at)
    ref = place.gateway.create_appointment(request)
    new = place.staff_moves(ref, later, later + HALF_HOUR)
    current = place.gateway.current_appointment(ref)
    assert (current.ref, current.status, current.starts_at) == (new, "booked", later)
    assert (current.booking_ids, current.replaces_ref) == ((), ref)
    assert place.statuses(request) == ["cancelled"]
    assert at in place.free()
    assert later not in place.free()


def test_staff_cancel_and_take_times(place: Place) -> None:
    at = place.free()[0]
    request = place.request(at)
    ref = place.gateway.create_appointment(request)
    place.staff_cancels(ref)
    assert place.gateway.current_appointment(ref).status == "cancelled"
    place.staff_books(at, at + HALF_HOUR)
    assert at not in place.free()


def test_what_is_not_there_is_nothing(place: Place) -> None:
    assert place.gateway.read_appointment("Appointment/00000000-0000-4000-8000-000000000000") is None
    assert place.gateway.find_appointments(uuid4()) == []
