"""Every verb over HTTP against the sandbox EHR, which shares no code with the gateway."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from booking.fhir import open_gateway
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown, TimeTaken
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import (
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    Directory,
    Slot,
)
from tests.rig.sandbox import SandboxControl

from .contract import config_of, somebody

OFFICE_VISIT = Coding("http://snomed.info/sct", "308335008", "Office visit")
TELEHEALTH = Coding("http://snomed.info/sct", "448337001", "Telehealth")


@pytest.fixture
def gateway(sandbox: SandboxControl) -> Iterator[SchedulingGateway]:
    # Many at once on two cores are no failing EHR.
    patient = {"read_seconds": 30.0, "total_seconds": 40.0, "pool_seconds": 20.0}
    with contextlib.closing(open_gateway(config_of(sandbox, **patient))) as opened:
        yield opened


@pytest.fixture
def directory(gateway: SchedulingGateway) -> Directory:
    return gateway.directory()


def free_slots(gateway: SchedulingGateway, schedule_ref: str, minutes: int = 30) -> list[Slot]:
    first_on = datetime.now(UTC).date() + timedelta(days=2)
    return gateway.free_slots(
        schedule_ref, first_on=first_on, last_on=first_on + timedelta(days=12), minutes=minutes
    )


@pytest.fixture
def visit(gateway: SchedulingGateway, directory: Directory) -> AppointmentRequest:
    """A visit at a time that is free now, for a patient who is new."""
    for schedule in directory.schedules:
        if found := free_slots(gateway, schedule.ref):
            return AppointmentRequest(
                booking_id=uuid.uuid4(),
                practitioner_ref=schedule.practitioner_ref,
                patient_ref=gateway.create_patient(somebody()),
                location_ref=schedule.location_ref,
                starts_at=found[0].starts_at,
                ends_at=found[0].ends_at,
                reason=Coding("INTERNAL", "BACK"),
                reason_text="Sore back since Monday",
                appointment_type=TELEHEALTH,
                video_url="https://video.example/abc",
            )
    raise AssertionError("the sandbox has no free time at all")


def record(visit: AppointmentRequest, ref: str) -> AppointmentRecord:
    return AppointmentRecord(
        ref=ref,
        status="booked",
        starts_at=visit.starts_at,
        ends_at=visit.ends_at,
        practitioner_ref=visit.practitioner_ref,
        patient_ref=visit.patient_ref,
        location_ref=visit.location_ref,
        booking_ids=(visit.booking_id,),
    )


def test_the_directory_is_whole_and_every_schedule_has_its_location(directory):
    people = {listing.ref for listing in directory.practitioners}
    places = {listing.ref for listing in directory.locations}
    pairs = {(listing.practitioner_ref, listing.location_ref) for listing in directory.schedules}
    assert pairs == {(person, place) for person in people for place in places}
    assert [listing.name for listing in directory.practitioners if not listing.licenses] == [
        "Procedure Room A"
    ]
    assert all(listing.is_active and listing.family for listing in directory.practitioners)


def test_pages_are_followed(gateway, directory):
    client = gateway._client
    found = client.search("Practitioner", {"_count": "7"}, client.deadline())
    assert {f"Practitioner/{one['id']}" for one in found} == {one.ref for one in directory.practitioners}


def test_free_times_are_of_the_length_asked_for(gateway, directory):
    for minutes in (20, 45):
        found = [
            slot
            for schedule in directory.schedules[:10]
            for slot in free_slots(gateway, schedule.ref, minutes)
        ]
        assert found
        assert {slot.ends_at - slot.starts_at for slot in found} == {timedelta(minutes=minutes)}
        assert {slot.schedule_ref for slot in found} <= {
            schedule.ref for schedule in directory.schedules[:10]
        }


def test_an_appointment_type_narrows_the_free_times(gateway, directory):
    first_on = datetime.now(UTC).date() + timedelta(days=2)
    days = {"first_on": first_on, "last_on": first_on + timedelta(days=12), "minutes": 30}
    for schedule in directory.schedules:
        everything = gateway.free_slots(schedule.ref, **days)
        remote = gateway.free_slots(schedule.ref, **days, appointment_type=TELEHEALTH)
        assert set(remote) <= set(everything)


@pytest.mark.parametrize(("unknown_schedule", "kind"), [("empty", None), ("404", EhrRejected)])
def test_a_schedule_the_ehr_does_not_know(sandbox, gateway, unknown_schedule, kind):
    sandbox.switches(unknown_schedule=unknown_schedule)
    nowhere = f"Schedule/Location.99-Staff.{'0' * 32}"
    if kind is None:
        assert free_slots(gateway, nowhere) == []
    else:
        with pytest.raises(kind):
            free_slots(gateway, nowhere)


def test_a_patient_is_made_and_found_again_by_our_identifier(sandbox, gateway):
    details = somebody(email_is_verified=True)
    assert gateway.find_patient(details) is None
    ref = gateway.create_patient(details)
    assert gateway.find_patient(details) == ref
    (stored,) = sandbox.search(
        "Patient", identifier=f"urn:self-scheduling-portal:patient|{details.identifier}"
    )
    assert (f"Patient/{stored['id']}", stored["birthDate"]) == (ref, "1988-02-29")


def test_a_patient_on_file_is_found_by_who_they_are_and_a_verified_contact(gateway):
    details = somebody()
    ref = gateway.create_patient(details)
    elsewhere = replace(details, identifier=uuid.uuid4())
    assert gateway.find_patient(elsewhere) == ref
    assert gateway.find_patient(replace(elsewhere, mobile_is_verified=False)) is None
    assert gateway.find_patient(replace(elsewhere, mobile="+15105550192")) is None
    assert gateway.find_patient(replace(elsewhere, birth_date=date(1988, 3, 1))) is None
    assert gateway.find_patient(replace(elsewhere, given="Nora")) is None


def test_namesakes_born_on_one_day_are_told_apart_by_phone(sandbox, gateway):
    carter = somebody(given="James", family="Carter", birth_date=date(1990, 7, 8), sex="male", email="")
    refs = [
        gateway.find_patient(replace(carter, mobile=mobile)) for mobile in ("+15125550117", "+15125550163")
    ]
    stored = {
        f"Patient/{one['id']}" for one in sandbox.search("Patient", family="Carter", birthdate="1990-07-08")
    }
    assert (len(set(refs)), set(refs) <= stored, None in refs) == (2, True, False)
    assert gateway.find_patient(replace(carter, mobile="+15125550199")) is None


def test_an_inactive_patient_is_nobody(gateway):
    walter = somebody(given="Walter", family="Grimm", birth_date=date(1938, 12, 24), mobile="+15105550177")
    assert gateway.find_patient(walter) is None


def test_an_appointment_is_made_found_and_takes_its_time(sandbox, gateway, visit):
    assert gateway.find_appointments(visit.booking_id) == []
    ref = gateway.create_appointment(visit)
    assert gateway.find_appointments(visit.booking_id) == [record(visit, ref)]
    (stored,) = sandbox.appointments(identifier=f"urn:self-scheduling-portal:booking|{visit.booking_id}")
    assert stored["reasonCode"][0]["coding"][0]["code"] == "BACK"
    assert stored["reasonCode"][0]["text"] == "Sore back since Monday"
    assert stored["appointmentType"]["coding"][0]["code"] == "448337001"
    assert [one["address"] for one in stored["contained"]] == ["https://video.example/abc"]
    schedule = next(
        one for one in gateway.directory().schedules if one.practitioner_ref == visit.practitioner_ref
    )
    assert visit.starts_at not in {slot.starts_at for slot in free_slots(gateway, schedule.ref)}


def test_a_visit_in_person_is_made(gateway, visit):
    in_person = replace(visit, appointment_type=OFFICE_VISIT, video_url="", reason_text="")
    assert gateway.find_appointments(visit.booking_id) == []
    ref = gateway.create_appointment(in_person)
    assert gateway.find_appointments(visit.booking_id) == [record(in_person, ref)]


@pytest.mark.parametrize("null_body", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_both_forms_of_location_and_of_body_are_understood(sandbox, gateway, visit, null_body, relative):
    sandbox.switches(null_body=null_body, relative_location_header=relative)
    ref = gateway.create_appointment(visit)
    assert [found.ref for found in gateway.find_appointments(visit.booking_id)] == [ref]


def test_an_overlapping_time_is_taken_where_double_booking_is_off(sandbox, gateway, visit):
    sandbox.switches(allow_double_booking=False)
    gateway.create_appointment(visit)
    second = replace(visit, booking_id=uuid.uuid4())
    with pytest.raises(TimeTaken):
        gateway.create_appointment(second)
    assert gateway.find_appointments(second.booking_id) == []


@pytest.mark.parametrize(
    ("wrong", "meaning"),
    [
        ({"appointment_type": Coding("INTERNAL", "NOPE")}, "does not know the appointment type"),
        ({"reason": Coding("INTERNAL", "NOPE")}, "does not know the reason for visit's code"),
        (
            {"appointment_type": Coding("http://snomed.info/sct", "439708006")},
            "does not let this appointment type",
        ),
        ({"patient_ref": "Patient/" + "0" * 32}, "refuses it"),
        ({"location_ref": "Location/" + "0" * 32}, "refuses it"),
    ],
)
def test_what_the_ehr_refuses_is_rejected_and_not_there(gateway, visit, wrong, meaning):
    with pytest.raises(EhrRejected, match=meaning):
        gateway.create_appointment(replace(visit, **wrong))
    assert gateway.find_appointments(visit.booking_id) == []


@pytest.mark.parametrize(
    ("kind", "failure", "made"),
    [
        ("401", None, 1),
        ("403-html", EhrUnavailable, 0),
        ("422", TimeTaken, 0),
        ("429", EhrUnavailable, 0),
        ("500", OutcomeUnknown, 0),
        ("502", OutcomeUnknown, 0),
        ("reset-before-commit", OutcomeUnknown, 0),
        ("commit-then-no-answer", OutcomeUnknown, 1),
        ("commit-then-500", OutcomeUnknown, 1),
    ],
)
def test_a_create_that_meets_a_fault_says_what_is_known(sandbox, gateway, visit, kind, failure, made):
    sandbox.faults(method="POST", type="Appointment", kind=kind, times=1)
    if failure is None:
        gateway.create_appointment(visit)
    else:
        with pytest.raises(EhrFailure) as caught:
            gateway.create_appointment(visit)
        assert type(caught.value) is failure
    assert len(gateway.find_appointments(visit.booking_id)) == made


def test_a_create_that_is_performed_after_we_gave_up_is_found_later(sandbox, gateway, visit):
    sandbox.faults(method="POST", type="Appointment", kind="commit-late", times=1, delay_seconds=4)
    with (
        contextlib.closing(open_gateway(config_of(sandbox, read_seconds=1.0))) as hurried,
        pytest.raises(OutcomeUnknown),
    ):
        hurried.create_appointment(visit)
    assert gateway.find_appointments(visit.booking_id) == []
    until = time.monotonic() + 10
    while not (found := gateway.find_appointments(visit.booking_id)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [one.starts_at for one in found] == [visit.starts_at]


@pytest.mark.parametrize("kind", ["401", "429", "500", "502", "reset-before-commit"])
def test_a_read_outlives_one_fault(sandbox, gateway, directory, kind):
    sandbox.faults(method="GET", type="Slot", kind=kind, times=1)
    assert free_slots(gateway, directory.schedules[0].ref) == free_slots(gateway, directory.schedules[0].ref)


@pytest.mark.parametrize("kind", ["401", "403-html", "429", "502"])
def test_a_read_gives_up_on_a_fault_that_stays(sandbox, gateway, directory, kind):
    sandbox.faults(method="GET", type="Slot", kind=kind, times=None)
    with pytest.raises(EhrUnavailable) as caught:
        free_slots(gateway, directory.schedules[0].ref)
    assert caught.value.correlation_id


def test_a_slow_read_ends_in_time(sandbox, directory):
    sandbox.faults(method="GET", type="Slot", kind="slow", times=None, delay_seconds=3)
    with contextlib.closing(
        open_gateway(config_of(sandbox, total_seconds=1.0, connect_seconds=0.5))
    ) as hurried:
        started = time.monotonic()
        with pytest.raises(EhrUnavailable):
            free_slots(hurried, directory.schedules[0].ref)
        assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    ("wrong", "meaning"),
    [
        ({"client_secret": "guess"}, "no token for this client id"),
        ({"token_url": "/auth/token"}, "the token endpoint redirects"),
        ({"scope": "system/Nothing.read"}, "our token does not allow it"),
    ],
)
def test_a_wrong_setting_is_told_in_words(sandbox, wrong, meaning):
    wrong = {name: f"{sandbox.url}{value}" if name == "token_url" else value for name, value in wrong.items()}
    opened = open_gateway(config_of(sandbox, **wrong))
    with contextlib.closing(opened), pytest.raises(EhrRejected, match=meaning):
        opened.find_appointments(uuid.uuid4())


def test_many_threads_read_and_write_at_once(gateway, directory, visit):
    visits = [replace(visit, booking_id=uuid.uuid4()) for _ in range(12)]
    with ThreadPoolExecutor(24) as pool:
        slots = pool.map(lambda schedule: free_slots(gateway, schedule.ref), directory.schedules[:40])
        made = list(pool.map(gateway.create_appointment, visits))
        assert len(list(slots)) == 40
        found = list(pool.map(lambda one: gateway.find_appointments(one.booking_id), visits))
    assert [[record.ref for record in records] for records in found] == [[ref] for ref in made]
