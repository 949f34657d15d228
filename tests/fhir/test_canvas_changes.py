"""Changes to what stands in Canvas: ours, staff's, and both at once. Over HTTP against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from booking.scheduling.errors import Changed, EhrRejected, OutcomeUnknown
from booking.scheduling.terms import Slot
from tests.rig.sandbox import SandboxControl

from . import documents
from .contract import Clinic, Ehr, clinic_at, move_of, somebody
from .documents import ANA, APPOINTMENT_ID, NORTH, PATIENT_REF
from .stand_in import StandIn, StoppedClock, gateway

PATIENT_SCOPE = (
    "patient/Patient.* patient/Appointment.* patient/Practitioner.read patient/Location.read "
    "patient/Schedule.read patient/Slot.read"
)
DATE = "Tue, 24 Nov 2026 10:00:00 GMT"
REF = f"Appointment/{APPOINTMENT_ID}"


@pytest.fixture
def clinic(sandbox: SandboxControl) -> Iterator[Clinic]:
    with clinic_at(sandbox, Ehr("canvas", "canvas")) as found:
        yield found


def test_a_visit_that_staff_moved_on_screen_is_followed_to_the_new_one(clinic):
    schedule, (old, new, newer) = clinic.openings(3)
    visit = clinic.request(schedule, old)
    ref = clinic.make(visit)
    moved = clinic.sandbox.staff_moves(ref.removeprefix("Appointment/"), new.starts_at, new.ends_at)
    again = clinic.sandbox.staff_moves(moved, newer.starts_at, newer.ends_at)
    first = clinic.gateway.read_appointment(ref)
    assert (first.status, first.replaced_by_ref) == ("cancelled", f"Appointment/{moved}")
    now = clinic.gateway.current_appointment(ref)
    assert (now.ref, now.status, now.starts_at) == (f"Appointment/{again}", "booked", newer.starts_at)
    assert now.replaces_ref == f"Appointment/{moved}"


def test_a_visit_that_was_changed_in_place_shows_its_new_times(clinic):
    schedule, (old, new) = clinic.openings(2)
    visit = clinic.request(schedule, old)
    ref = clinic.make(visit)
    with clinic_at(clinic.sandbox, Ehr("another client", "canvas")) as other:
        other.gateway.move_appointment(move_of(visit, ref, new))
    now = clinic.gateway.current_appointment(ref)
    assert (now.ref, now.status, now.starts_at, now.booking_ids) == (
        ref,
        "booked",
        new.starts_at,
        (visit.booking_id,),
    )


def test_hand_overs_that_go_round_in_a_circle_are_an_error():
    link = {
        "reference": REF,
        "type": "Appointment",
        "display": "Rescheduled Replacement appointment",
    }
    turning = documents.appointment(
        status="cancelled", supportingInformation=[{"reference": f"Location/{NORTH}"}, link]
    )
    with gateway(StandIn({f"GET {APPOINTMENT_ID}": turning})) as opened, pytest.raises(EhrRejected):
        opened.current_appointment(REF)


def dated(document: dict[str, object], **headers: str) -> httpx.Response:
    return httpx.Response(200, json=document, headers={"Date": DATE} | headers)


def test_cancelling_sends_the_whole_visit_back_with_one_word_changed():
    on_file = documents.appointment()
    ehr = StandIn({f"GET {APPOINTMENT_ID}": dated(on_file), f"PUT {APPOINTMENT_ID}": httpx.Response(200)})
    with gateway(ehr) as opened:
        opened.cancel_appointment(REF)
    assert ehr.bodies == [on_file | {"status": "cancelled"}]
    assert ehr.requests[-1].headers["if-unmodified-since"] == DATE


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_what_is_cancelled_is_not_written_again(status):
    ehr = StandIn({f"GET {APPOINTMENT_ID}": dated(documents.appointment(status=status))})
    with gateway(ehr) as opened:
        opened.cancel_appointment(REF)
    assert [one.method for one in ehr.requests] == ["GET"]


def test_moving_changes_times_place_and_clinician_and_keeps_the_rest():
    link = {"reference": "Encounter/7", "type": "Encounter"}
    on_file = documents.appointment(
        supportingInformation=[{"reference": f"Location/{NORTH}", "type": "Location"}, link]
    )
    ehr = StandIn({f"GET {APPOINTMENT_ID}": dated(on_file), f"PUT {APPOINTMENT_ID}": httpx.Response(200)})
    request = documents.request()
    start = datetime(2026, 12, 2, 18, 0, tzinfo=UTC)
    slot = Slot(f"Schedule/Location.1-Staff.{ANA}", start, start + timedelta(minutes=30))
    move = replace(
        move_of(request, REF, slot),
        location_ref="Location/0b1c6c5e-8f0d-4c58-8d0f-5a3b2f7f9a11",
        practitioner_ref="Practitioner/77d1f0a3c9b84e2b9a5e1c6f20b4d8e1",
    )
    with gateway(ehr) as opened:
        opened.move_appointment(move)
    assert ehr.bodies == [
        on_file
        | {
            "start": "2026-12-02T18:00:00Z",
            "end": "2026-12-02T18:30:00Z",
            "supportingInformation": [
                {"reference": "Location/0b1c6c5e-8f0d-4c58-8d0f-5a3b2f7f9a11", "type": "Location"},
                link,
            ],
            "participant": [
                {
                    "actor": {
                        "reference": "Practitioner/77d1f0a3c9b84e2b9a5e1c6f20b4d8e1",
                        "type": "Practitioner",
                    },
                    "status": "accepted",
                },
                {"actor": {"reference": PATIENT_REF, "type": "Patient"}, "status": "accepted"},
            ],
        }
    ]


def test_a_change_by_somebody_else_is_seen_and_kept():
    """Staff change the comment between our read and our write: without the condition it would be lost."""
    theirs = documents.appointment(description="They say: bring the X-ray")
    ehr = StandIn(
        {
            f"GET {APPOINTMENT_ID}": [dated(documents.appointment()), dated(theirs)],
            f"PUT {APPOINTMENT_ID}": [
                httpx.Response(412, json=documents.outcome("conflict", "x")),
                httpx.Response(200),
            ],
        }
    )
    with gateway(ehr) as opened:
        opened.cancel_appointment(REF)
    assert ehr.bodies[-1] == theirs | {"status": "cancelled"}


def test_one_that_keeps_changing_is_given_up():
    ehr = StandIn(
        {
            f"GET {APPOINTMENT_ID}": dated(documents.appointment()),
            f"PUT {APPOINTMENT_ID}": httpx.Response(412, json=documents.outcome("conflict", "x")),
        }
    )
    with gateway(ehr) as opened, pytest.raises(Changed):
        opened.cancel_appointment(REF)
    assert len(ehr.bodies) == 5


def test_the_sandbox_refuses_a_change_to_what_has_changed(clinic):
    """The control: an update without the condition goes through and overwrites."""
    visit = clinic.visit()
    ref = clinic.make(visit)
    client = clinic.gateway._client
    stale = client.read(ref, client.deadline())
    hour_ago = "Tue, 24 Nov 2020 10:00:00 GMT"
    with pytest.raises(Changed):
        client.update(ref, stale.resource, client.deadline(), headers={"If-Unmodified-Since": hour_ago})
    client.update(ref, stale.resource, client.deadline())


def test_a_write_without_an_answer_is_not_sent_again():
    ehr = StandIn(
        {
            f"GET {APPOINTMENT_ID}": dated(documents.appointment()),
            f"PUT {APPOINTMENT_ID}": httpx.ReadTimeout("x"),
        }
    )
    with gateway(ehr) as opened, pytest.raises(OutcomeUnknown):
        opened.cancel_appointment(REF)
    assert len(ehr.bodies) == 1


@pytest.mark.parametrize("kind", ["commit-then-no-answer", "commit-then-500"])
def test_cancelling_again_after_a_lost_answer_is_harmless(clinic, kind):
    ref = clinic.make(clinic.visit())
    clinic.sandbox.faults(method="PUT", type="Appointment", kind=kind)
    with pytest.raises(OutcomeUnknown):
        clinic.gateway.cancel_appointment(ref)
    clinic.gateway.cancel_appointment(ref)
    assert clinic.gateway.read_appointment(ref).status == "cancelled"


def test_with_patients_tokens_one_patients_token_opens_no_other_patients_records(sandbox):
    with clinic_at(sandbox, Ehr("canvas", "canvas", config={"patient_scope": PATIENT_SCOPE})) as clinic:
        visit = clinic.visit()
        clinic.make(visit)
        stranger = clinic.patient()
        client = clinic.gateway._client
        with pytest.raises(EhrRejected, match="our token does not allow it"):
            client.read(visit.patient_ref, client.deadline(), patient_ref=stranger)
        with pytest.raises(EhrRejected, match="our token does not allow it"):
            client.search(
                "Appointment", {"patient": visit.patient_ref}, client.deadline(), patient_ref=stranger
            )
        assert client.search("Appointment", {}, client.deadline(), patient_ref=stranger) == []


def test_a_patients_token_is_asked_for_once_and_renewed_when_refused():
    ehr = StandIn(
        {
            "POST Appointment": [
                httpx.Response(401),
                httpx.Response(201, headers={"Location": "/Appointment/7"}),
            ]
        }
    )
    with gateway(ehr, patient_scope=PATIENT_SCOPE) as opened:
        assert opened.create_appointment(documents.request()) == "Appointment/7"
        opened.create_appointment(documents.request())
    asked = {"grant_type": "client_credentials", "client_id": "portal", "client_secret": "very-secret"}
    patient = {"patient": PATIENT_REF.removeprefix("Patient/"), "scope": PATIENT_SCOPE}
    assert ehr.token_forms == [asked | patient] * 2
    assert ehr.tokens_seen == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_tokens_of_many_patients_do_not_pile_up():
    ehr = StandIn({"POST Appointment": httpx.Response(201, headers={"Location": "/Appointment/7"})})
    with gateway(ehr, StoppedClock(), patient_scope=PATIENT_SCOPE) as opened:
        for number in range(300):
            opened.create_appointment(replace(documents.request(), patient_ref=f"Patient/{number:032x}"))
        assert len(opened._client._patient_tokens._sources) == 256


def test_consent_is_sent_for_a_contact_we_proved_and_for_no_other(clinic):
    url = "http://schemas.canvasmedical.com/fhir/extensions/has-consent"
    details = somebody(email="noor@mail.example", email_is_verified=False, mobile_is_verified=False)
    ref = clinic.gateway.create_patient(details)
    (stored,) = clinic.sandbox.search("Patient", _id=ref.removeprefix("Patient/"))
    assert [
        node for contact in stored["telecom"] for node in contact.get("extension", []) if node["url"] == url
    ] == []
    clinic.gateway.update_patient(ref, replace(details, email_is_verified=True))
    (stored,) = clinic.sandbox.search("Patient", _id=ref.removeprefix("Patient/"))
    consented = {
        contact["value"]
        for contact in stored["telecom"]
        for node in contact.get("extension", [])
        if node["url"] == url and node["valueBoolean"]
    }
    assert consented == {"noor@mail.example"}
