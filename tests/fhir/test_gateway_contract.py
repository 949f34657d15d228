"""One contract for every dialect: each verb of the port, with the same assertions, over HTTP.

The last row is a real server, when the environment names one (tests/fhir/contract.py says how); otherwise one skipped
test says that it was left out.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from booking.fhir import open_gateway
from booking.scheduling.errors import EhrFailure, EhrRejected, NotFound, TimeTaken
from booking.scheduling.terms import AppointmentRecord, AppointmentRequest, HoldRequest
from tests.rig.sandbox import Sandboxes

from .contract import (
    LIVE,
    Clinic,
    Ehr,
    clinic_at,
    has_slots,
    is_computed,
    live_clinic,
    live_is_set,
    move_of,
    somebody,
    twin,
)

TODAY = datetime.now(UTC).date()
EHRS = [
    Ehr("canvas", "canvas"),
    Ehr(
        "canvas without double booking",
        "canvas",
        {"allow_double_booking": False},
        {"prevents_double_booking": True},
    ),
    Ehr("canvas, its other wire forms", "canvas", {"null_body": True, "relative_location_header": True}),
    Ehr(
        "canvas with patients' tokens",
        "canvas",
        config={
            "patient_scope": "patient/Patient.* patient/Appointment.* patient/Practitioner.read patient/Location.read"
        },
    ),
    Ehr("plain R4", "r4"),
    Ehr("plain R4 without a search by identifier", "r4", {"identifier_search": False}),
    Ehr("plain R4 without versions", "r4", {"conditional_update": False}),
    Ehr("plain R4 that takes the Slots itself", "r4", {"appointment_takes_slots": True}),
    Ehr("plain R4 with its other wire forms", "r4", {"slot_includes": False, "relative_next_links": True}),
    Ehr("Medplum, Slots made beforehand", "medplum", {}, takes=has_slots),
    Ehr("Medplum, the same with transactions", "medplum", {"transaction_bundles": True}, takes=has_slots),
    *(
        Ehr(f"Medplum {version}, by operations", "medplum", {"medplum_version": version}, takes=is_computed)
        for version in ("5.1.12", "5.1.13", "beta")
    ),
]


@pytest.fixture(scope="module", params=[*EHRS, *(["live"] if live_is_set() else [])], ids=str)
def clinic(request: pytest.FixtureRequest, sandboxes: Sandboxes) -> Iterator[Clinic]:
    if request.param == "live":
        with live_clinic() as found:
            yield found
        return
    sandbox = sandboxes[request.param.manners]
    sandbox.reset()
    with clinic_at(sandbox, request.param) as found:
        yield found


@pytest.mark.skipif(
    not live_is_set(), reason=f"no live EHR: set {', '.join(LIVE)} to run the contract against one"
)
def test_a_live_ehr_is_among_those_that_keep_the_contract():
    assert live_is_set()


@pytest.fixture
def visit(clinic: Clinic) -> AppointmentRequest:
    return clinic.visit()


def record_of(request: AppointmentRequest, ref: str, **more: object) -> AppointmentRecord:
    usual: dict[str, object] = {
        "ref": ref,
        "status": "booked",
        "starts_at": request.starts_at,
        "ends_at": request.ends_at,
        "practitioner_ref": request.practitioner_ref,
        "patient_ref": request.patient_ref,
        "location_ref": request.location_ref,
        "booking_ids": (request.booking_id,),
    }
    return AppointmentRecord(**usual | more)


def calls_of(clinic: Clinic, kind: str) -> int:
    return sum(each["count"] for each in clinic.sandbox.calls()["calls"] if each["type"] == kind)


def around(request: AppointmentRequest, hours: int = 1) -> dict[str, datetime]:
    span = timedelta(hours=hours)
    return {"starts_from": request.starts_at - span, "starts_before": request.starts_at + span}


def test_examine_signs_in_and_says_what_is_there(clinic):
    seen = clinic.gateway.examine()
    assert seen.fhir_version.startswith("4.")
    assert seen.latency_seconds > 0
    assert seen.clock_skew_seconds is None or abs(seen.clock_skew_seconds) < 30


def test_the_directory_holds_together(clinic):
    found = clinic.directory
    people = {each.ref for each in found.practitioners}
    places = {each.ref for each in found.locations}
    assert people
    assert {each.practitioner_ref for each in found.schedules} <= people
    assert {each.location_ref for each in found.schedules if each.location_ref} <= places
    assert all(each.is_active and each.name for each in found.practitioners)
    assert len({each.ref for each in found.schedules}) == len(found.schedules)
    assert any(each.licenses for each in found.practitioners)
    assert clinic.schedules


def test_free_slots_are_of_the_length_asked_for_in_order_and_to_come(clinic):
    schedule, _ = clinic.openings(1)
    found = clinic.free(schedule.ref)
    assert {slot.ends_at - slot.starts_at for slot in found} == {timedelta(minutes=clinic.minutes)}
    assert {slot.schedule_ref for slot in found} == {schedule.ref}
    starts = [slot.starts_at for slot in found]
    assert starts == sorted(set(starts))
    assert starts[0] > datetime.now(UTC)


def test_free_slots_of_many_are_those_of_each(clinic):
    refs = [each.ref for each in clinic.schedules[:5]]
    days = 13
    together = clinic.free_of([*refs, refs[0]], days=days)
    assert together == {ref: clinic.free_of([ref], days=days)[ref] for ref in refs}
    assert together == {ref: clinic.free(ref) for ref in refs}
    assert any(together.values())


def test_a_schedule_that_is_not_there_has_no_times_and_the_others_have_theirs(clinic):
    schedule, _ = clinic.openings(1)
    kind, _, key = schedule.ref.partition("/")
    nowhere = f"{kind}/{key[:-1]}{'0' if key[-1] != '0' else '1'}"
    assert clinic.free_of([nowhere, schedule.ref], days=5) == {
        nowhere: [],
        schedule.ref: clinic.free_of([schedule.ref], days=5)[schedule.ref],
    }


def test_free_slots_of_many_are_as_few_searches_as_the_limits_say(clinic):
    if clinic.sandbox is None:
        pytest.skip("a live server counts no calls for us")
    refs = [each.ref for each in clinic.schedules[:6]]
    clinic.free_of(refs, days=1)
    before = Counter(clinic.sandbox.slot_searches())
    finds = calls_of(clinic, "Appointment")
    found = clinic.free_of(refs, days=1)
    # A next page names its offset.
    asked = [each for each in (Counter(clinic.sandbox.slot_searches()) - before) if "_offset" not in each]
    most = clinic.gateway.limits.schedules_per_slot_search
    wanted = -(-len(refs) // most)
    assert (len(asked), calls_of(clinic, "Appointment") - finds) in ((wanted, 0), (0, wanted))
    assert set(found) == set(refs)


def test_the_longest_search_permitted_is_answered(clinic):
    refs = [each.ref for each in clinic.schedules[:3]]
    days = clinic.gateway.limits.days_per_slot_search
    found, few = clinic.free_of(refs, days=days), clinic.free_of(refs, days=5)
    assert all(set(few[ref]) <= set(found[ref]) for ref in refs)
    assert any(len(found[ref]) > len(few[ref]) for ref in refs)


def test_what_a_search_may_span_is_told_without_a_call(clinic):
    if clinic.sandbox is None:
        pytest.skip("a live server counts no calls for us")
    with closing(open_gateway(clinic.config)) as fresh:
        before = clinic.sandbox.calls()["total"]
        assert fresh.limits.days_per_slot_search >= 14
        assert fresh.limits.schedules_per_slot_search >= 1
        assert clinic.sandbox.calls()["total"] == before
        # The control: a search is a call.
        fresh.free_slots_of([clinic.schedules[0].ref], first_on=TODAY, last_on=TODAY, minutes=30)
        assert clinic.sandbox.calls()["total"] > before


def test_every_request_that_goes_out_is_counted(clinic):
    if clinic.sandbox is None:
        pytest.skip("a live server counts no calls for us")
    counted: list[str] = []
    with closing(open_gateway(clinic.config, on_call=lambda: counted.append("call"))) as fresh:
        before = clinic.sandbox.calls()["total"]
        fresh.directory()
        fresh.find_patient(somebody(email_is_verified=True))
        clinic.sandbox.faults("502", method="GET", type="Slot", times=1)
        clinic.sandbox.faults("401", method="GET", type="Appointment", times=1)
        with suppress(EhrFailure):
            fresh.free_slots_of(
                [each.ref for each in clinic.schedules[:4]], first_on=TODAY, last_on=TODAY, minutes=30
            )
            fresh.search_appointments(
                practitioner_ref=clinic.schedules[0].practitioner_ref,
                starts_from=datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC),
                starts_before=datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) + timedelta(days=30),
            )
        made = clinic.sandbox.calls()["total"] - before
        clinic.sandbox.clear_faults()
    assert len(counted) == made > 3


def test_free_slots_outside_the_ports_terms_are_the_callers_mistake(clinic):
    schedule = clinic.schedules[0]
    today = datetime.now(UTC).date()
    days = clinic.gateway.limits.days_per_slot_search
    for first_on, last_on, minutes in (
        (today, today - timedelta(days=1), 30),
        (today, today + timedelta(days=days), 30),
        (today, today, 0),
    ):
        with pytest.raises(ValueError, match="free_slots takes"):
            clinic.gateway.free_slots(schedule.ref, first_on=first_on, last_on=last_on, minutes=minutes)


def test_a_patient_is_found_by_our_identifier_and_by_who_they_are(clinic):
    details = somebody(email_is_verified=True)
    assert clinic.gateway.find_patient(details) is None
    ref = clinic.gateway.create_patient(details)
    clinic.people.append(ref)
    assert clinic.gateway.find_patient(details) == ref
    again = replace(details, identifier=uuid.uuid4())
    assert clinic.gateway.find_patient(again) == ref
    assert (
        clinic.gateway.find_patient(replace(again, birth_date=details.birth_date + timedelta(days=1))) is None
    )
    unproved = replace(again, email_is_verified=False, mobile_is_verified=False)
    assert clinic.gateway.find_patient(unproved) is None


def test_two_who_fit_are_nobody(clinic):
    details = somebody(email_is_verified=True)
    for number in range(2):
        clinic.people.append(clinic.gateway.create_patient(replace(details, identifier=uuid.uuid4())))
        found = clinic.gateway.find_patient(replace(details, identifier=uuid.uuid4()))
        assert (found is None) == bool(number)


def test_updating_a_patient_adds_and_drops_nothing(clinic):
    details = somebody(email="", email_is_verified=False, zone="")
    ref = clinic.gateway.create_patient(details)
    clinic.people.append(ref)
    before = clinic.gateway._client.read(ref, clinic.gateway._client.deadline()).resource
    fuller = replace(details, email="noor@mail.example", email_is_verified=True, zone="America/Denver")
    clinic.gateway.update_patient(ref, fuller)
    after = clinic.gateway._client.read(ref, clinic.gateway._client.deadline()).resource
    contacts = {(each["system"], each["value"]) for each in after["telecom"]}
    assert contacts == {(each["system"], each["value"]) for each in before["telecom"]} | {
        ("email", "noor@mail.example")
    }
    kept = ("identifier", "name", "gender", "birthDate")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    clinic.gateway.update_patient(ref, fuller)
    assert (
        clinic.gateway._client.read(ref, clinic.gateway._client.deadline()).resource.get("telecom")
        == after["telecom"]
    )


def test_a_visit_is_made_found_and_takes_its_time(clinic, visit):
    assert clinic.gateway.find_appointments(visit.booking_id, visit) == []
    assert clinic.is_free(visit)
    ref = clinic.make(visit)
    assert clinic.gateway.find_appointments(visit.booking_id, visit) == [record_of(visit, ref)]
    assert clinic.gateway.read_appointment(ref) == record_of(visit, ref)
    assert clinic.gateway.current_appointment(ref) == record_of(visit, ref)
    assert not clinic.is_free(visit)


def test_another_booking_finds_nothing_of_ours(clinic, visit):
    clinic.make(visit)
    other = twin(visit)
    assert clinic.gateway.find_appointments(other.booking_id, other) == []


def test_visits_are_found_by_clinician_by_patient_and_by_time(clinic, visit):
    ref = clinic.make(visit)
    mine = record_of(visit, ref)
    by_patient = clinic.gateway.search_appointments(patient_ref=visit.patient_ref, **around(visit))
    assert by_patient == [mine]
    by_clinician = clinic.gateway.search_appointments(
        practitioner_ref=visit.practitioner_ref, **around(visit)
    )
    assert mine in by_clinician
    assert {each.practitioner_ref for each in by_clinician} == {visit.practitioner_ref}
    later = {"starts_from": visit.starts_at + timedelta(minutes=1), "starts_before": visit.ends_at}
    assert clinic.gateway.search_appointments(patient_ref=visit.patient_ref, **later) == []
    stranger = clinic.patient()
    assert clinic.gateway.search_appointments(patient_ref=stranger, **around(visit)) == []


def test_a_visit_that_is_not_there_is_none(clinic):
    nowhere = f"Appointment/{uuid.uuid4()}"
    assert clinic.gateway.read_appointment(nowhere) is None
    assert clinic.gateway.current_appointment(nowhere) is None
    with pytest.raises(NotFound):
        clinic.gateway.cancel_appointment(nowhere)


def test_a_cancelled_visit_frees_its_time_and_stays_on_file(clinic, visit):
    ref = clinic.make(visit)
    for _ in range(2):
        clinic.gateway.cancel_appointment(ref)
        assert clinic.gateway.read_appointment(ref).status == "cancelled"
        assert [each.status for each in clinic.gateway.find_appointments(visit.booking_id, visit)] == [
            "cancelled"
        ]
    assert clinic.is_free(visit)
    again = clinic.make(twin(visit))
    assert clinic.gateway.read_appointment(again).status == "booked"


def test_a_visit_is_moved_in_place(clinic):
    schedule, (old, new) = clinic.openings(2)
    visit = clinic.request(schedule, old)
    ref = clinic.make(visit)
    move = move_of(visit, ref, new)
    if not clinic.gateway.can_move():
        with pytest.raises(EhrRejected):
            clinic.gateway.move_appointment(move)
        assert clinic.gateway.read_appointment(ref) == record_of(visit, ref)
        return
    for _ in range(2):
        clinic.gateway.move_appointment(move)
        moved = replace(visit, starts_at=new.starts_at, ends_at=new.ends_at)
        assert clinic.gateway.find_appointments(visit.booking_id, moved) == [record_of(moved, ref)]
        assert clinic.is_free(visit)
        assert not clinic.is_free(move)


def test_a_cancelled_visit_cannot_be_moved(clinic):
    schedule, (old, new) = clinic.openings(2)
    visit = clinic.request(schedule, old)
    ref = clinic.make(visit)
    clinic.gateway.cancel_appointment(ref)
    with pytest.raises(EhrRejected):
        clinic.gateway.move_appointment(move_of(visit, ref, new))
    assert clinic.gateway.read_appointment(ref).status == "cancelled"
    assert clinic.is_free(replace(visit, starts_at=new.starts_at, ends_at=new.ends_at))


def test_a_time_that_is_taken_is_refused_where_the_ehr_says_it_refuses(clinic, visit):
    clinic.make(visit)
    second = twin(visit, patient_ref=clinic.patient())
    if clinic.gateway.capabilities.prevents_double_booking:
        with pytest.raises(TimeTaken):
            clinic.make(second)
        assert clinic.gateway.find_appointments(second.booking_id, second) == []
    else:
        # Not a promise kept, but what the capability says: the portal's own claim is then the only guard. A dialect
        # that looks before it makes may still see it.
        made = 0
        with suppress(TimeTaken):
            clinic.make(second)
            made = 1
        assert len(clinic.gateway.find_appointments(second.booking_id, second)) == made


def test_a_move_to_a_time_that_is_taken_leaves_the_visit_where_it_was(clinic):
    schedule, (old, new) = clinic.openings(2)
    visit, other = clinic.request(schedule, old), clinic.request(schedule, new)
    ref, _ = clinic.make(visit), clinic.make(other)
    move = move_of(visit, ref, new)
    if clinic.gateway.can_move() and not clinic.gateway.capabilities.prevents_double_booking:
        clinic.gateway.move_appointment(move)
        assert clinic.gateway.read_appointment(ref).starts_at == new.starts_at
        return
    with pytest.raises(TimeTaken if clinic.gateway.can_move() else EhrRejected):
        clinic.gateway.move_appointment(move)
    assert clinic.gateway.read_appointment(ref) == record_of(visit, ref)
    assert not clinic.is_free(visit)


def test_a_held_time_is_kept_for_its_booking_and_becomes_its_visit(clinic, visit):
    held = HoldRequest.of(visit)
    if not clinic.gateway.capabilities.holds:
        with pytest.raises(EhrRejected):
            clinic.gateway.hold_time(held)
        clinic.gateway.release_time(held)
        return
    for _ in range(2):
        clinic.gateway.hold_time(held)
        assert not clinic.is_free(visit)
        assert clinic.gateway.find_appointments(visit.booking_id, visit) == []
    with pytest.raises(TimeTaken):
        clinic.gateway.hold_time(replace(held, booking_id=uuid.uuid4()))
    with pytest.raises(TimeTaken):
        clinic.make(twin(visit))
    ref = clinic.make(visit)
    assert clinic.gateway.find_appointments(visit.booking_id, visit) == [record_of(visit, ref)]
    clinic.gateway.release_time(held)
    assert clinic.gateway.read_appointment(ref) == record_of(visit, ref)
    assert not clinic.is_free(visit)


def test_a_hold_is_given_back_and_the_time_is_anybodys(clinic, visit):
    held = HoldRequest.of(visit)
    if clinic.gateway.capabilities.holds:
        clinic.gateway.hold_time(held)
    for _ in range(2):
        clinic.gateway.release_time(held)
        assert clinic.is_free(visit)
    other = twin(visit)
    assert clinic.gateway.read_appointment(clinic.make(other)).status == "booked"
    clinic.gateway.release_time(held)
    assert not clinic.is_free(visit)


def test_what_cannot_be_used_is_not_sent(clinic, visit):
    for wrong in (
        {"ends_at": visit.starts_at},
        {"location_ref": ""},
        {"patient_ref": "Patient/"},
        {"video_url": "javascript:alert(1)"},
    ):
        with pytest.raises(EhrRejected):
            clinic.gateway.create_appointment(replace(visit, **wrong))
    assert clinic.gateway.find_appointments(visit.booking_id, visit) == []
    assert clinic.is_free(visit)


def test_a_visit_in_person_has_no_video(clinic, visit):
    ref = clinic.make(replace(visit, video_url="", reason_text=""))
    stored = clinic.gateway._client.read(ref, clinic.gateway._client.deadline()).resource
    addresses = [each.get("address") for each in stored.get("contained", [])]
    assert "https://video.example/abc" not in addresses


def test_a_visit_by_video_says_where(clinic, visit):
    ref = clinic.make(visit)
    stored = clinic.gateway._client.read(ref, clinic.gateway._client.deadline()).resource
    assert [each["address"] for each in stored["contained"]] == ["https://video.example/abc"]
    assert [each["coding"][0]["code"] for each in stored["reasonCode"]] == [clinic.reason.code]
    assert stored["reasonCode"][0]["text"] == "Sore back since Monday"
