"""What differs between Medplum's versions, and what it does under load, over HTTP against a sandbox that shares no code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from booking.fhir import resources
from booking.scheduling.errors import EhrFailure, EhrUnavailable
from booking.scheduling.terms import AppointmentRequest, HoldRequest
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox

from .contract import Clinic, Ehr, clinic_at, is_computed
from .test_races import slots_around, standing


@pytest.fixture(scope="module")
def medplum() -> Iterator[SandboxControl]:
    with start_sandbox(manners="medplum") as running:
        yield running


@pytest.fixture
def clinic(request: pytest.FixtureRequest, medplum: SandboxControl) -> Iterator[Clinic]:
    medplum.reset()
    switches = getattr(request, "param", {})
    with clinic_at(medplum, Ehr("medplum", "medplum", switches, {}, is_computed)) as found:
        yield found


def blocked(clinic: Clinic, request: AppointmentRequest) -> list[str]:
    """Slots that take time from a quarter of an hour around the request's."""
    around = AppointmentRequest(
        **{
            **{name: getattr(request, name) for name in AppointmentRequest.__slots__},
            "starts_at": request.starts_at - timedelta(minutes=15),
            "ends_at": request.ends_at + timedelta(minutes=15),
        }
    )
    return sorted(slot["status"] for slot in slots_around(clinic, around).values())


def buffered(clinic: Clinic) -> AppointmentRequest:
    """A visit on a schedule whose visits are followed by ten minutes of rest, with nothing near it."""
    client = clinic.gateway._client
    for schedule in clinic.schedules:
        found = client.read(schedule.ref, client.deadline()).resource
        stated = [part["url"] for extension in found["extension"] for part in extension["extension"]]
        if "bufferAfter" not in stated:
            continue
        for slot in clinic.free(schedule.ref):
            request = clinic.request(schedule, slot, patient_ref="Patient/none")
            if not blocked(clinic, request):
                return clinic.request(schedule, slot)
    raise AssertionError("no such time in the sandbox")


def test_a_visit_takes_its_rest_with_it_and_gives_it_back(clinic):
    request = buffered(clinic)
    ref = clinic.make(request)
    assert blocked(clinic, request) == ["busy", "busy-unavailable"]
    clinic.gateway.cancel_appointment(ref)
    assert blocked(clinic, request) == []


@pytest.mark.parametrize("clinic", [{"medplum_version": "5.1.12"}], indirect=True)
def test_the_rest_that_an_old_book_made_on_its_own_is_cleared_away(clinic):
    """Somebody else's client books with $book, and the patient cancels here."""
    request = buffered(clinic)
    client = clinic.gateway._client
    params = [
        ("start", request.starts_at.isoformat()),
        ("end", request.ends_at.isoformat()),
        ("schedule", request.schedule_ref),
    ]
    service = clinic.gateway._finding.service(
        clinic.gateway._schedule(request.schedule_ref), HoldRequest.of(request)
    )
    params.append(("service-type-reference", service.ref))
    proposed = client.fetch("Appointment/$find", client.deadline(), params).resource
    own = next(each for each in proposed["entry"][0]["resource"]["contained"] if each["status"] == "busy")
    asked: dict[str, Any] = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "slot", "resource": own},
            {"name": "patient-reference", "valueReference": {"reference": request.patient_ref}},
        ],
    }
    assert client.write("POST", "Appointment/$book", asked, client.deadline()).status == 201
    assert blocked(clinic, request) == ["busy", "busy-unavailable"]
    (visit,) = standing(clinic, [request])
    clinic.gateway.cancel_appointment(f"Appointment/{visit['id']}")
    assert blocked(clinic, request) == []


@pytest.mark.parametrize("clinic", [{"find_in_parameters": True}], indirect=True)
def test_times_come_wrapped_as_documented(clinic):
    request = clinic.visit()
    assert clinic.gateway.read_appointment(clinic.make(request)).status == "booked"


@pytest.mark.parametrize("clinic", [{"points_per_minute": 400}], indirect=True)
def test_a_quota_is_told_with_how_long_to_wait(clinic):
    def book_many() -> None:
        for _ in range(10):
            clinic.make(clinic.visit())

    with pytest.raises(EhrUnavailable) as caught:
        book_many()
    assert 0 < caught.value.retry_after_seconds <= 60


def test_a_visit_that_is_booked_and_given_up_at_once_is_one_or_the_other(clinic):
    """$confirm against $cancel, which Medplum answers with a deadlock more often than not."""
    for _ in range(6):
        request = clinic.visit()
        held = HoldRequest.of(request)
        clinic.gateway.hold_time(held)
        gate = threading.Barrier(2)

        def give_up(held: Any = held, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                clinic.gateway.release_time(held)
            except EhrFailure as failure:
                print(f"not given up: {failure}")

        other = threading.Thread(target=give_up)
        other.start()
        gate.wait()
        try:
            clinic.gateway.create_appointment(request)
        except EhrFailure as failure:
            print(f"not booked: {failure}")
        other.join()
        visits = standing(clinic, [request])
        assert [each["status"] for each in visits] in ([], ["booked"])
        assert clinic.is_free(request) == (not visits)
        taken = [slot for slot in slots_around(clinic, request).values() if slot["status"] != "free"]
        assert len(taken) == len(visits)
        for each in visits:
            assert resources.booking_ids(each) == (request.booking_id,)
