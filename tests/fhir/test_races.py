"""Twenty at once for one time, and for twenty times, against EHRs that do not wait for one another.

The control is the way most write it down: look, create the Appointment, mark the Slot. It makes more than one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from booking.fhir import open_gateway, r4_writers, resources
from booking.fhir.slot_claims import taken
from booking.scheduling.errors import EhrFailure, TimeTaken
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import AppointmentRequest, HoldRequest
from tests.rig.sandbox import Sandboxes

from .contract import Clinic, Ehr, clinic_at, has_slots, is_computed, move_of

RACERS = 20
T = TypeVar("T")


PATIENT = {"total_seconds": 30.0, "max_connections": 40}
EHRS = [
    Ehr("plain R4", "r4", {}, PATIENT),
    Ehr("plain R4 that takes the Slots itself", "r4", {"appointment_takes_slots": True}, PATIENT),
    Ehr("Medplum, Slots made beforehand", "medplum", {}, PATIENT, has_slots),
    Ehr("Medplum, the same with transactions", "medplum", {"transaction_bundles": True}, PATIENT, has_slots),
    *(
        Ehr(
            f"Medplum {version}, by operations", "medplum", {"medplum_version": version}, PATIENT, is_computed
        )
        for version in ("5.1.12", "5.1.13", "beta")
    ),
]


@pytest.fixture(params=EHRS, ids=str)
def clinic(request: pytest.FixtureRequest, sandboxes: Sandboxes) -> Iterator[Clinic]:
    sandbox = sandboxes[request.param.manners]
    sandbox.reset()
    with clinic_at(sandbox, request.param) as found:
        yield found


def at_once(work: list[Callable[[], T]]) -> list[T | EhrFailure]:
    """Each in a thread of its own, all let go together."""
    gate = threading.Barrier(len(work))

    def run(one: Callable[[], T]) -> T | EhrFailure:
        gate.wait()
        try:
            return one()
        except EhrFailure as failure:
            return failure

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def kinds(results: list[Any]) -> Counter[str]:
    return Counter("made" if isinstance(each, str | None) else type(each).__name__ for each in results)


def racers(clinic: Clinic, count: int = RACERS) -> list[AppointmentRequest]:
    """Bookings of one time, each for a patient of its own."""
    schedule, (slot,) = clinic.openings(1)
    return [clinic.request(schedule, slot) for _ in range(count)]


def standing(clinic: Clinic, requests: list[AppointmentRequest]) -> list[dict[str, Any]]:
    """Appointments that are not cancelled at the times of these requests, however they came about."""
    sandbox = clinic.sandbox
    assert sandbox is not None
    wanted = {(each.practitioner_ref, each.starts_at) for each in requests}
    found = sandbox.appointments(practitioner=requests[0].practitioner_ref, _count="1000")
    return [
        each
        for each in found
        if each["status"] not in ("cancelled", "entered-in-error")
        and (
            next(
                one["actor"]["reference"]
                for one in each["participant"]
                if one["actor"]["reference"].startswith("Practitioner/")
            ),
            resources.instant(each["start"]),
        )
        in wanted
    ]


def slots_around(clinic: Clinic, request: AppointmentRequest) -> dict[str, dict[str, Any]]:
    """Slots of the schedule that overlap the request's time, by reference."""
    sandbox = clinic.sandbox
    assert sandbox is not None
    found = {}
    for each in sandbox.search("Slot", schedule=request.schedule_ref, _count="1000"):
        read = resources.slot(each)
        if read and read.starts_at < request.ends_at and request.starts_at < read.ends_at:
            found[f"Slot/{each['id']}"] = each
    return found


def assert_one_visit_holds_the_time(clinic: Clinic, requests: list[AppointmentRequest]) -> None:
    (visit,) = standing(clinic, requests)
    assert visit["status"] == "booked"
    held = {ref for ref, slot in slots_around(clinic, requests[0]).items() if slot["status"] != "free"}
    assert held == {each["reference"] for each in visit["slot"]} & held
    assert held
    assert not clinic.is_free(requests[0])
    # Once it is cancelled nothing is left of it, nor of those who lost.
    clinic.gateway.cancel_appointment(f"Appointment/{visit['id']}")
    assert clinic.is_free(requests[0])
    assert standing(clinic, requests) == []
    left = slots_around(clinic, requests[0]).values()
    assert [slot for slot in left if slot["status"] != "free" or resources.booking_ids(slot)] == []


def naive(gateway: SchedulingGateway, request: AppointmentRequest, gate: threading.Barrier) -> str:
    """Look, create, mark: everybody has looked before anybody creates."""
    slots = gateway._claims.find(HoldRequest.of(request))
    gate.wait()
    if slots is None:
        raise TimeTaken("taken")
    refs = [resources.own_reference(slot) for slot in slots]
    document = r4_writers.write_appointment(request, refs)
    ref = gateway._client.create("Appointment", document, gateway._client.deadline())
    for slot in slots:
        changed = taken(slot, request.booking_id, "busy")
        gateway._client.update(resources.own_reference(slot), changed, gateway._client.deadline())
    return ref


@pytest.mark.parametrize("manners", ["r4", "medplum"])
def test_the_usual_way_makes_more_than_one(sandboxes, manners):
    sandbox = sandboxes[manners]
    sandbox.reset()
    with clinic_at(sandbox, Ehr(manners, manners, {}, PATIENT, has_slots)) as clinic:
        requests = racers(clinic, 5)
        gate = threading.Barrier(len(requests))
        results = at_once([lambda one=one: naive(clinic.gateway, one, gate) for one in requests])
        # Medplum may refuse one of the writes that mark the Slot, after its Appointment is made.
        assert kinds(results)["made"] > 1
        assert len(standing(clinic, requests)) == 5


def test_twenty_who_book_one_time_make_one_visit(clinic):
    requests = racers(clinic)
    results = at_once([lambda one=one: clinic.gateway.create_appointment(one) for one in requests])
    assert kinds(results) == {"made": 1, "TimeTaken": RACERS - 1}
    (made,) = (each for each in results if isinstance(each, str))
    winner = requests[results.index(made)]
    assert [each.ref for each in clinic.gateway.find_appointments(winner.booking_id, winner)] == [made]
    for loser in requests:
        if loser is not winner:
            assert clinic.gateway.find_appointments(loser.booking_id, loser) == []
    assert_one_visit_holds_the_time(clinic, requests)


def test_twenty_processes_that_book_one_time_make_one_visit(clinic):
    """As many gateways as racers: none knows what another has learned."""
    requests = racers(clinic)
    with ExitStack() as open_ones:
        gateways = [open_ones.enter_context(closing(open_gateway(clinic.config))) for _ in requests]
        results = at_once(
            [
                lambda one=one, its=its: its.create_appointment(one)
                for one, its in zip(requests, gateways, strict=True)
            ]
        )
    assert kinds(results) == {"made": 1, "TimeTaken": RACERS - 1}
    assert_one_visit_holds_the_time(clinic, requests)


def test_twenty_who_hold_one_time_keep_one_hold_that_becomes_the_visit(clinic):
    requests = racers(clinic)
    if not clinic.gateway.capabilities.holds:
        results = at_once([lambda one=one: clinic.gateway.hold_time(HoldRequest.of(one)) for one in requests])
        assert kinds(results) == {"EhrRejected": RACERS}
        assert clinic.is_free(requests[0])
        return
    results = at_once([lambda one=one: clinic.gateway.hold_time(HoldRequest.of(one)) for one in requests])
    assert kinds(results) == {"made": 1, "TimeTaken": RACERS - 1}
    winner = requests[results.index(None)]
    for loser in requests:
        if loser is not winner:
            clinic.gateway.release_time(HoldRequest.of(loser))
    clinic.gateway.create_appointment(winner)
    assert_one_visit_holds_the_time(clinic, requests)


def test_twenty_who_book_twenty_times_all_get_theirs(clinic):
    schedule, slots = clinic.openings(RACERS, apart=timedelta(0))
    requests = [clinic.request(schedule, slot) for slot in slots]
    results = at_once([lambda one=one: clinic.gateway.create_appointment(one) for one in requests])
    assert kinds(results) == {"made": RACERS}
    assert len(standing(clinic, requests)) == RACERS
    assert not {slot.starts_at for slot in clinic.free(schedule.ref)} & {each.starts_at for each in requests}


def test_the_same_booking_twice_at_once_is_one_visit(clinic):
    """The portal's own lock lets only one create of a booking go at a time; this is what there is behind it."""
    (request,) = racers(clinic, 1)
    at_once([lambda: clinic.gateway.create_appointment(request) for _ in range(2)])
    # A Slot that is ours already stops nobody of us, and Medplum's own conditional create fails for no reason.
    unguarded = clinic.config.dialect == "medplum" and has_slots(clinic.schedules[0])
    assert len(standing(clinic, [request])) in ((1, 2) if unguarded else (1,))


def test_a_cancel_and_a_move_at_once_leave_the_visit_at_one_place_or_nowhere_and_no_slot_blocked(clinic):
    schedule, (old, new) = clinic.openings(2)
    request = clinic.request(schedule, old)
    ref = clinic.make(request)
    move = move_of(request, ref, new)
    # Where no visit can be moved that is refused, and the cancel is alone.
    at_once([lambda: clinic.gateway.cancel_appointment(ref), lambda: clinic.gateway.move_appointment(move)])
    moved = replace(request, starts_at=new.starts_at, ends_at=new.ends_at)
    record = clinic.gateway.read_appointment(ref)
    assert record is not None
    if record.status != "cancelled":
        assert record.starts_at in (old.starts_at, new.starts_at)
        clinic.gateway.cancel_appointment(ref)
    clinic.gateway.cancel_appointment(ref)
    assert clinic.is_free(request)
    assert clinic.is_free(moved)


def test_people_who_move_to_one_time_stand_where_they_were_but_for_one(clinic):
    schedule, (goal, *starts) = clinic.openings(6, apart=timedelta(0))
    requests = [clinic.request(schedule, slot) for slot in starts]
    refs = [clinic.make(request) for request in requests]
    moves = [move_of(request, ref, goal) for request, ref in zip(requests, refs, strict=True)]
    results = at_once([lambda one=one: clinic.gateway.move_appointment(one) for one in moves])
    if clinic.gateway.can_move():
        assert kinds(results) == {"made": 1, "TimeTaken": len(moves) - 1}
    else:
        assert kinds(results) == {"EhrRejected": len(moves)}
    records = [clinic.gateway.read_appointment(ref) for ref in refs]
    places = [record.starts_at for record in records if record]
    assert places.count(goal.starts_at) == int(clinic.gateway.can_move())
    for request, record, result in zip(requests, records, results, strict=True):
        assert record is not None
        assert (record.status, record.starts_at) == (
            "booked",
            goal.starts_at if result is None else request.starts_at,
        )
        assert clinic.is_free(request) == (result is None)
