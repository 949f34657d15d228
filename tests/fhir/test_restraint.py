"""An EHR that fails is asked less, and asked again as soon as it may be back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import httpx
import pytest

from booking.fhir.restraint import FAILURES_IN_A_ROW, TRIAL_EVERY_SECONDS, Brake, Call, RepeatBudget
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


class Brakes:
    """A brake and the instant it is told of, with calls of ten seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.brake = Brake(lambda: self.now)

    def begin(self, calls: int, seconds: float = 10.0) -> list[Call]:
        begun = [self.brake.begin(seconds) for _ in range(calls)]
        return [call for call in begun if call is not None]

    def end(self, calls: Iterable[Call], *, is_answered: bool = False) -> None:
        for call in calls:
            self.brake.end(call, is_answered=is_answered)


def test_failures_at_one_instant_are_a_hiccup_and_only_one_trial_is_under_way() -> None:
    ehr = Brakes()
    ehr.end(ehr.begin(20))
    another = ehr.begin(1)
    assert len(another) == 1
    ehr.end(another)
    ehr.now += 3
    trial = ehr.begin(2)
    assert len(trial) == 1
    ehr.now += 29
    assert ehr.begin(1) == []
    ehr.now += 2
    trial = ehr.begin(2)
    assert len(trial) == 1
    ehr.end(trial, is_answered=True)
    assert len(ehr.begin(2)) == 2


def test_calls_that_found_silence_together_are_more_than_a_hiccup() -> None:
    ehr = Brakes()
    calls = ehr.begin(FAILURES_IN_A_ROW)
    ehr.now += 2.5
    ehr.end(calls)
    assert (ehr.brake.is_on, ehr.begin(1)) == (True, [])
    # The control: somebody was answered a moment before they gave up.
    ehr = Brakes()
    calls = ehr.begin(FAILURES_IN_A_ROW + 1)
    ehr.now += 2
    ehr.end(calls[:1], is_answered=True)
    ehr.now += 0.5
    ehr.end(calls[1:])
    assert not ehr.brake.is_on


def test_who_comes_while_all_others_wait_in_vain_does_not_wait_too() -> None:
    ehr = Brakes()
    waiting = ehr.begin(FAILURES_IN_A_ROW, seconds=2.0)
    ehr.now += 0.5
    hopeful = ehr.begin(2, seconds=2.0)
    ehr.now += 0.8
    assert not ehr.brake.is_on
    ehr.now += 0.3
    # Two may still be answered, and no third goes out to see whether it is back.
    assert (ehr.brake.is_on, ehr.begin(1, seconds=2.0)) == (True, [])
    ehr.now += 0.4
    ehr.end([*waiting, *hopeful])
    assert ehr.begin(1, seconds=2.0) == []
    ehr.now += TRIAL_EVERY_SECONDS
    trial = ehr.begin(3, seconds=2.0)
    assert len(trial) == 1
    ehr.end(trial, is_answered=True)
    assert len(ehr.begin(3, seconds=2.0)) == 3


def test_one_answer_to_those_who_wait_opens_the_way_to_all() -> None:
    ehr = Brakes()
    waiting = ehr.begin(FAILURES_IN_A_ROW, seconds=2.0)
    ehr.now += 1.6
    assert ehr.brake.is_on
    ehr.end(waiting[:1], is_answered=True)
    assert len(ehr.begin(3, seconds=2.0)) == 3


def test_a_call_that_may_take_long_is_not_given_up_early_nor_one_begun_before_the_last_answer() -> None:
    ehr = Brakes()
    ehr.begin(FAILURES_IN_A_ROW, seconds=10)
    ehr.now += 6.9
    assert not ehr.brake.is_on
    quick = ehr.begin(1)
    ehr.now += 0.05
    ehr.end(quick, is_answered=True)
    ehr.now += 5
    assert not ehr.brake.is_on


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
