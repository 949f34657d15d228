"""Every write of every verb, in every dialect, with its connection cut: before it arrives, and after it was done.

Whatever is left, the verb is then asked for once more, as another process would much later, and has to come out right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest

from booking.fhir import open_gateway, resources
from booking.fhir.wire import Clock
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import AppointmentMove, AppointmentRequest, HoldRequest
from tests.rig.sandbox import Sandboxes

from .contract import Clinic, clinic_at, move_of
from .test_races import EHRS, slots_around, standing

MOST_WRITES = 12
AT_ONCE = timedelta(0)
HURRIED = Clock(sleep=lambda seconds: time.sleep(seconds / 20))


class Cut(httpx.BaseTransport):
    """Loses one write: the ``number``-th, before or after it reached the EHR."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._inner = httpx.HTTPTransport()
        self._number = number
        self._after = after
        self.writes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" or request.url.path.endswith("token"):
            return self._inner.handle_request(request)
        self.writes += 1
        if self.writes != self._number:
            return self._inner.handle_request(request)
        if self._after:
            self._inner.handle_request(request).read()
        raise httpx.ReadError("cut")

    def close(self) -> None:
        self._inner.close()


@dataclass
class Case:
    clinic: Clinic
    request: AppointmentRequest
    move: AppointmentMove
    ref: str = ""

    @property
    def gateway(self) -> SchedulingGateway:
        return self.clinic.gateway

    @property
    def moved(self) -> AppointmentRequest:
        return replace(self.request, starts_at=self.move.starts_at, ends_at=self.move.ends_at)


def book(case: Case, gateway: SchedulingGateway) -> None:
    """As the portal does it: look first, then make."""
    found = gateway.find_appointments(case.request.booking_id, case.request)
    case.ref = found[0].ref if found else gateway.create_appointment(case.request)


def hold(case: Case, gateway: SchedulingGateway) -> None:
    gateway.hold_time(HoldRequest.of(case.request))


def release(case: Case, gateway: SchedulingGateway) -> None:
    gateway.release_time(HoldRequest.of(case.request))


def cancel(case: Case, gateway: SchedulingGateway) -> None:
    gateway.cancel_appointment(case.ref)


def move(case: Case, gateway: SchedulingGateway) -> None:
    gateway.move_appointment(case.move)


def nothing(case: Case, gateway: SchedulingGateway) -> None:
    """Before the verb, nothing was done."""


Step = Callable[[Case, SchedulingGateway], None]


def is_booked(case: Case, request: AppointmentRequest) -> None:
    (visit,) = standing(case.clinic, [case.request, case.moved])
    assert (f"Appointment/{visit['id']}", visit["status"]) == (case.ref, "booked")
    assert resources.instant(visit["start"]) == request.starts_at
    assert not case.clinic.is_free(request)


def is_gone(case: Case) -> None:
    assert standing(case.clinic, [case.request, case.moved]) == []
    for request in (case.request, case.moved):
        left = slots_around(case.clinic, request).values()
        assert [one for one in left if one["status"] != "free" or resources.booking_ids(one)] == []
        assert case.clinic.is_free(request)


def booked_then_gone(case: Case) -> None:
    is_booked(case, case.request)
    cancel(case, case.gateway)
    is_gone(case)


def moved_then_gone(case: Case) -> None:
    case.move = replace(case.move, appointment_ref=case.ref)
    is_booked(case, case.moved)
    assert case.clinic.is_free(case.request)
    cancel(case, case.gateway)
    is_gone(case)


def held_then_booked_then_gone(case: Case) -> None:
    assert not case.clinic.is_free(case.request)
    book(case, case.gateway)
    booked_then_gone(case)


VERBS: dict[str, tuple[Step, Step, Callable[[Case], None]]] = {
    "book": (nothing, book, booked_then_gone),
    "book what is held": (hold, book, booked_then_gone),
    "hold": (nothing, hold, held_then_booked_then_gone),
    "release": (hold, release, is_gone),
    "cancel": (book, cancel, is_gone),
    "move": (book, move, moved_then_gone),
}


# What 5.1.13 does here, the later one does too.
@pytest.fixture(scope="module", params=[ehr for ehr in EHRS if "5.1.13" not in ehr.name], ids=str)
def clinic(request: pytest.FixtureRequest, sandboxes: Sandboxes) -> Iterator[Clinic]:
    sandbox = sandboxes[request.param.manners]
    sandbox.reset()
    if request.param.manners == "medplum":
        # This is more in a minute than Medplum lets one client do.
        sandbox.switches(points_per_minute=0)
    with clinic_at(sandbox, request.param) as found:
        # What it learns from its first visit, it knows in all cases alike.
        found.gateway.cancel_appointment(found.make(found.visit()))
        yield found


def both(clinic: Clinic, before: Step, act: Step) -> None:
    schedule, (slot, new) = clinic.openings(2, apart=AT_ONCE)
    request = clinic.request(schedule, slot)
    case = Case(clinic, request, move_of(request, "", new))
    before(case, clinic.gateway)
    case.move = replace(case.move, appointment_ref=case.ref)
    act(case, clinic.gateway)


@pytest.mark.parametrize("after", [False, True], ids=["lost", "done"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_write_was_cut_comes_out_right_when_it_is_asked_for_again(clinic, verb, after):
    before, act, check = VERBS[verb]
    holds, moves = clinic.gateway.capabilities.holds, clinic.gateway.can_move()
    if (hold in (before, act) and not holds) or (act is move and not moves):
        with pytest.raises(EhrRejected):
            both(clinic, before, act)
        return
    for number in range(1, MOST_WRITES):
        schedule, (slot, new) = clinic.openings(2, apart=AT_ONCE)
        request = clinic.request(schedule, slot)
        case = Case(clinic, request, move_of(request, "", new))
        before(case, clinic.gateway)
        case.move = replace(case.move, appointment_ref=case.ref)
        cut = Cut(number, after=after)
        with closing(open_gateway(clinic.config, transport=cut, clock=HURRIED)) as cut_off:
            failure: EhrFailure | None = None
            try:
                act(case, cut_off)
            except EhrFailure as met:
                failure = met
            # Some writes are on the way out of a failure, or may fail without harm.
            assert failure is None or isinstance(failure, OutcomeUnknown | EhrUnavailable)
        if act is move:
            record = clinic.gateway.read_appointment(case.ref)
            assert record is not None
            assert record.status == "booked"
            assert record.starts_at in (slot.starts_at, new.starts_at)
        act(case, clinic.gateway)
        check(case)
        if cut.writes < number:
            assert failure is None
            return
    raise AssertionError("more writes than a verb should need")
