"""An EHR that fails is asked less, and asked again as soon as it may be back."""

from __future__ import annotations

from datetime import date

import httpx
import pytest

from booking.fhir.restraint import FAILURES_IN_A_ROW, TRIAL_EVERY_SECONDS, Brake, RepeatBudget
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.gateway import SchedulingGateway

from .documents import ANA_NORTH, bundle, request
from .stand_in import StandIn, StoppedClock, gateway


def ask(opened: SchedulingGateway) -> str:
    day = date(2026, 12, 1)
    try:
        opened.free_slots(ANA_NORTH, first_on=day, last_on=day, minutes=30)
    except EhrUnavailable as failure:
        return str(failure)
    return "answered"


def test_repeated_tries_are_a_tenth_of_the_first_ones_and_some_to_begin_with() -> None:
    ehr = StandIn({"GET Slot": httpx.Response(500)})
    with gateway(ehr) as opened:
        for _ in range(200):
            ask(opened)
    assert 200 < len(ehr.requests) <= 200 + 10 + 20


def test_a_budget_that_is_spent_is_earned_anew() -> None:
    budget = RepeatBudget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_a_server_that_says_nothing_for_a_while_is_tried_once_a_second_and_back_at_its_first_answer() -> None:
    clock = StoppedClock()
    ehr = StandIn({"GET Slot": httpx.ReadTimeout("silent")})
    with gateway(ehr, clock) as opened:
        while len(ehr.requests) < FAILURES_IN_A_ROW:
            ask(opened)
        clock.seconds += 3
        sent = len(ehr.requests)
        ask(opened)
        assert len(ehr.requests) == sent + 1
        assert "not sent: no answer for a while" in ask(opened)
        clock.seconds += TRIAL_EVERY_SECONDS
        ehr.answers["GET Slot"] = bundle()
        assert [ask(opened), ask(opened)] == ["answered", "answered"]


def test_a_write_that_was_held_back_is_surely_not_done() -> None:
    clock = StoppedClock()
    ehr = StandIn({"GET Slot": httpx.ConnectError("gone"), "POST Appointment": httpx.Response(201)})
    with gateway(ehr, clock) as opened:
        while len(ehr.requests) < FAILURES_IN_A_ROW:
            ask(opened)
        clock.seconds += 3
        ask(opened)
        sent = len(ehr.requests)
        with pytest.raises(EhrUnavailable, match="not sent"):
            opened.create_appointment(request())
        assert len(ehr.requests) == sent


def test_failures_at_one_instant_are_a_hiccup_and_only_one_trial_is_under_way() -> None:
    now = [100.0]
    brake = Brake(lambda: now[0])
    for _ in range(20):
        brake.note(is_answered=False, began=now[0])
    assert brake.may_send()
    now[0] += 3
    assert [brake.may_send(), brake.may_send()] == [True, False]
    now[0] += 29
    assert not brake.may_send()
    now[0] += 2
    assert brake.may_send()
    brake.note(is_answered=True, began=now[0])
    assert [brake.may_send(), brake.may_send()] == [True, True]


def test_calls_that_found_silence_together_are_more_than_a_hiccup() -> None:
    now = [100.0]
    brake = Brake(lambda: now[0])
    now[0] += 2.5
    for _ in range(FAILURES_IN_A_ROW):
        brake.note(is_answered=False, began=100.0)
    assert (brake.is_on, brake.may_send()) == (True, False)
    # The control: somebody was answered a moment before they gave up.
    brake = Brake(lambda: now[0])
    brake.note(is_answered=True, began=102.0)
    for _ in range(FAILURES_IN_A_ROW):
        brake.note(is_answered=False, began=100.0)
    assert not brake.is_on


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_says_nobody_is_there_is_no_answer(status: int) -> None:
    clock = StoppedClock()
    ehr = StandIn({"GET Slot": httpx.Response(status)})
    with gateway(ehr, clock) as opened:
        while len(ehr.requests) < FAILURES_IN_A_ROW:
            ask(opened)
        clock.seconds += 3
        ask(opened)
        assert "not sent" in ask(opened)
