"""Any order of what patients, staff, the clock and a failing EHR can do, and what must be so after every step.

``STATE_MACHINE=2000x50`` runs so many stories of so many steps in place of the short form. That the invariants have
teeth is shown by flows that are deliberately wrong: each is found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from booking import ehr
from booking.flows import change_booking, confirm_booking, follow_visits, hold_slot, reconcile, sweep_twins
from booking.models import Booking, BookingEvent, Message
from booking.models.bookings import BookingQuerySet, Visitor
from booking.scheduling.eligibility import Visit
from booking.scheduling.errors import CannotChange, EhrFailure, Refusal, RefusalCode
from booking.scheduling.lifecycle import CLAIMING, WAITING, BookingState
from booking.scheduling.terms import Modality
from tests import factories

from .conftest import Clock, forget_everything
from .model_ehr import FAULTS, VERY_LATE, ModelEhr

STORIES, STEPS = map(int, os.environ.get("STATE_MACHINE", "40x30").split("x"))
REST, LOOK_AGAIN = 60, 30
QUARTER = timedelta(minutes=15)
LENGTH = timedelta(minutes=30)
# Beat comes every five seconds.
BEAT = timedelta(seconds=5)
# Starts a quarter of an hour apart for visits of half an hour, so that neighbors overlap.
TIMES = st.integers(0, 5)
PEOPLE = st.integers(0, 2)
# What becomes of the next write: as a rule nothing special.
WRITES = st.sampled_from(["", "", *FAULTS, VERY_LATE])


class Killed(BaseException):
    pass


class Stories(RuleBasedStateMachine):
    """One clinician, three patients, six times that overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.story = transaction.atomic()
        self.story.__enter__()
        forget_everything()
        self.clock = Clock(datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0))
        place = factories.location()
        self.clinician = factories.clinician(schedules=[("Schedule/of-the-model", place)])
        self.schedule = self.clinician.schedules.get()
        reason = factories.reason()
        self.visit = Visit(reason.to_term(), "CA", "America/Los_Angeles", Modality.VIDEO)
        self.visitors = [factories.visitor() for _ in range(3)]
        self.people = [factories.patient() for _ in self.visitors]
        first = (self.clock() + timedelta(days=3)).replace(hour=18)
        self.ehr = ModelEhr(
            self.clock,
            schedule_ref=self.schedule.ehr_ref,
            practitioner_ref=self.clinician.ehr_ref,
            starts=[first + timedelta(minutes=15 * number) for number in range(6)],
        )
        ehr._gateways[ehr.configured()] = self.ehr  # type: ignore[assignment]
        # Bookings whose visit somebody had cancelled for good reason.
        self.ended: set[Any] = set()

    def teardown(self) -> None:
        try:
            # After a failure there is nothing more to see, and perhaps no transaction to see it in.
            if sys.exc_info()[0] is None:
                self.the_day_after()
        finally:
            ehr._gateways.pop(ehr.configured(), None)
            transaction.set_rollback(True)
            self.story.__exit__(None, None, None)

    @initialize()
    def the_day_begins(self) -> None:
        """Two patients have chosen already, so that stories are about something."""
        self.holds(0, 0)
        self.holds(1, 3)

    # What patients do.

    def newest(self, person: int, *states: BookingState) -> Booking | None:
        return (
            Booking.objects.of(self.visitors[person])
            .filter(state__in=states, replacements=None)
            .order_by("-created_at")
            .first()
        )

    def choice(self, time: int) -> hold_slot.Choice:
        return hold_slot.Choice(self.schedule.pk, self.ehr.starts[time])

    @rule(person=PEOPLE, time=TIMES)
    def holds(self, person: int, time: int) -> None:
        choice = self.choice(time)
        try:
            held = hold_slot.hold(self.visit, choice, visitor=self.visitors[person], now=self.clock())
        except Refusal as refusal:
            said = refusal.code
        except EhrFailure:
            return
        else:
            if held.patient is None:
                factories.give_details(held, patient=self.people[person])
            return
        assert said == RefusalCode.TIME_TAKEN
        assert self.is_taken(choice.starts_at), "a free time was refused"

    def is_taken(self, starts_at: datetime) -> bool:
        """By a hold that has not run out, a booking that is not over, or a visit in the EHR."""
        claims = [
            (each.starts_at, each.ends_at)
            for each in Booking.objects.filter(state__in=CLAIMING)
            if each.state != BookingState.HELD or each.hold_expires_at > self.clock()
        ]
        visits = [(each.record.starts_at, each.record.ends_at) for each in self.ehr.live()]
        return any(begins < starts_at + LENGTH and starts_at < ends for begins, ends in claims + visits)

    @rule(person=PEOPLE, fault=WRITES)
    def presses(self, person: int, fault: str) -> None:
        self.next_write(fault)
        self.press(person, self.clock)

    def next_write(self, fault: str) -> None:
        if fault:
            self.ehr.faults.appendleft(fault)

    @rule(person=PEOPLE, call=st.integers(2, 7))
    def presses_and_the_process_dies(self, person: int, call: int) -> None:
        self.press(person, self.dies_at(call))

    def press(self, person: int, clock: Callable[[], datetime]) -> None:
        held = self.newest(person, BookingState.HELD, BookingState.EXPIRED)
        if held is None or held.patient is None:
            return
        try:
            done = confirm_booking.submit(held, visitor=self.visitors[person], clock=clock)
        except (Refusal, EhrFailure, CannotChange, Killed):
            return
        # Whoever presses in an old tab is led to the visit they have, which staff may have ended since.
        if done.status is BookingState.BOOKED and done.pk not in self.ended:
            assert self.ehr.visits[done.appointment_ref].is_live, "told booked, and there is no visit"

    def dies_at(self, call: int) -> Callable[[], datetime]:
        asked = []

        def tell() -> datetime:
            asked.append(None)
            if len(asked) == call:
                raise Killed
            return self.clock()

        return tell

    @rule(person=PEOPLE)
    def gives_back(self, person: int) -> None:
        if held := self.newest(person, BookingState.HELD):
            hold_slot.release(held)

    @rule(person=PEOPLE, fault=WRITES)
    def cancels(self, person: int, fault: str) -> None:
        if visit := self.newest(person, BookingState.BOOKED):
            self.next_write(fault)
            try:
                change_booking.cancel_booking(visit, visitor=self.visitors[person], clock=self.clock)
            except CannotChange:
                return
            self.ended.add(visit.pk)

    @rule(person=PEOPLE, time=TIMES, call=st.integers(0, 12), fault=WRITES)
    def moves(self, person: int, time: int, call: int, fault: str) -> None:
        """In half of the stories the process dies on the way."""
        visit = self.newest(person, BookingState.BOOKED)
        if visit is None:
            return
        self.next_write(fault)
        clock = self.dies_at(call) if call > 6 else self.clock
        with suppress(Refusal, EhrFailure, CannotChange, Killed):
            change_booking.move_booking(visit, self.choice(time), visitor=self.visitors[person], clock=clock)

    # What staff do in the EHR.

    @rule(which=st.integers(0, 9))
    def staff_cancel(self, which: int) -> None:
        live = self.ehr.live()
        if live:
            visit = live[which % len(live)]
            self.ehr.staff_cancels(visit.record.ref)
            self.ended |= self.bookings_on(visit.record.ref)

    def bookings_on(self, ref: str) -> set[Any]:
        visit = self.ehr.visits[ref].record
        refs = {ref, visit.replaces_ref} - {""}
        return {
            *visit.booking_ids,
            *Booking.objects.filter(appointment_ref__in=refs).values_list("pk", flat=True),
        }

    @rule(which=st.integers(0, 9), time=TIMES)
    def staff_move(self, which: int, time: int) -> None:
        live = [visit for visit in self.ehr.live() if visit.record.booking_ids]
        if live:
            start = self.ehr.starts[time]
            ref = live[which % len(live)].record.ref
            self.ended |= self.bookings_on(ref)
            self.ehr.staff_moves(ref, start, start + LENGTH)

    @rule(time=TIMES)
    def staff_take_a_time(self, time: int) -> None:
        start = self.ehr.starts[time]
        self.ehr.staff_books(start, start + LENGTH)

    # What goes wrong.

    @rule(faults=st.lists(st.sampled_from([*FAULTS, VERY_LATE]), min_size=1, max_size=3))
    def writes_will_fail(self, faults: list[str]) -> None:
        self.ehr.faults.extend(faults)

    @precondition(lambda self: self.ehr.failing_reads == 0)
    @rule(number=st.integers(1, 3))
    def reads_will_fail(self, number: int) -> None:
        self.ehr.failing_reads = number

    @rule(minutes=st.sampled_from([3, 20, 60]))
    def the_ehr_goes_away(self, minutes: int) -> None:
        self.ehr.away_until = self.clock() + timedelta(minutes=minutes)

    @rule(seconds=st.sampled_from([1, 20, 65, 130, 400, 901, 7200]))
    def time_passes(self, seconds: int) -> None:
        self.run_until(self.clock() + timedelta(seconds=seconds))

    def run_until(self, until: datetime) -> None:
        """Beat, where it has something to do."""
        for _ in range(400):
            at = self.next_due()
            if at is None or at > until:
                break
            self.clock.at = max(self.clock.at, at) + BEAT
            reconcile.reconcile(clock=self.clock)
            sweep_twins.sweep(clock=self.clock)
        self.clock.at = max(self.clock.at, until)
        hold_slot.expire_holds(now=self.clock())
        self.ehr.commit_what_is_late()

    def next_due(self) -> datetime | None:
        waiting = Booking.objects.filter(state__in=WAITING)
        due = [at for at in waiting.values_list("look_up_at", flat=True) if at]
        due += [at for at in Booking.objects.values_list("sweep_at", flat=True) if at]
        return min(due, default=None)

    # What must be so.

    @invariant()
    def no_two_claims_overlap(self) -> None:
        spans = sorted(Booking.objects.claiming(self.clock()).values_list("starts_at", "ends_at"))
        assert all(ends <= begins for (_, ends), (begins, _) in pairwise(spans))

    @invariant()
    def a_booking_has_one_visit_or_is_being_looked_into(self) -> None:
        for booking in Booking.objects.all():
            visits = self.ehr.of(booking.pk)
            is_open = booking.status in (*WAITING, BookingState.NEEDS_STAFF)
            is_watched = booking.sweep_at is not None or booking.attention != ""
            if len(visits) > 1:
                assert is_open or is_watched, "two visits of one booking, and nobody looks"
            if visits and booking.status not in (BookingState.BOOKED, *WAITING):
                assert is_open or is_watched, f"a visit in the EHR of a booking that is {booking.state}"

    @invariant()
    def booked_stands_on_a_visit_that_there_is_or_was(self) -> None:
        for ref in Booking.objects.filter(state=BookingState.BOOKED).values_list(
            "appointment_ref", flat=True
        ):
            assert ref in self.ehr.visits

    @invariant()
    def nothing_is_open_for_longer_than_a_quarter_of_an_hour(self) -> None:
        for booking in Booking.objects.filter(state__in=WAITING):
            since = booking.cancelling_at or booking.submitted_at
            assert since is not None
            assert self.clock() - since <= QUARTER, f"{booking.state} for too long"

    @invariant()
    def whoever_is_booked_is_told_once(self) -> None:
        for booking in Booking.objects.all():
            told = Message.objects.filter(booking=booking, kind__in=["confirmation", "moved"], about="")
            assert told.count() == (1 if booking.booked_at else 0)
            if booking.status is BookingState.NEEDS_STAFF and not change_booking.was_moved(booking):
                kinds = ["needs_staff", "cancel_needs_staff"]
                assert Message.objects.filter(booking=booking, kind__in=kinds).exists()

    @invariant()
    def whoever_has_a_visit_that_is_moved_keeps_one(self) -> None:
        for booking in Booking.objects.filter(booked_at__isnull=False, replaces=None):
            chain = [booking]
            while following := Booking.objects.filter(replaces=chain[-1], booked_at__isnull=False).first():
                chain.append(following)
            if not self.ended & {each.pk for each in chain}:
                assert any(self.ehr.of(each.pk) for each in chain), "a visit was lost"

    def the_day_after(self) -> None:
        """Everything has come to its end, and the EHR and we agree."""
        self.ehr.faults.clear()
        self.ehr.failing_reads, self.ehr.away_until = 0, None
        self.run_until(self.clock() + timedelta(hours=27))
        for booking in Booking.objects.filter(state=BookingState.BOOKED):
            follow_visits.follow(booking, now=self.clock())
        for booking in Booking.objects.all():
            assert booking.status not in WAITING
            assert booking.sweep_at is None
            live = [visit.record.ref for visit in self.ehr.of(booking.pk)]
            if booking.attention == "Two visits in the EHR, settle there" or booking.is_moved_onto_another:
                continue
            if booking.status is BookingState.BOOKED:
                assert set(live) <= {booking.appointment_ref}
                assert self.ehr.visits[booking.appointment_ref].is_live
            elif booking.status is not BookingState.NEEDS_STAFF:
                assert live == []


class OfPatients(Stories):
    """What is wrong with a flow shows sooner where less else happens."""

    staff_cancel = staff_move = staff_take_a_time = None  # type: ignore[assignment]
    reads_will_fail = the_ehr_goes_away = None  # type: ignore[assignment]


class OfHolds(OfPatients):
    cancels = moves = writes_will_fail = presses_and_the_process_dies = None  # type: ignore[assignment]


def tell(stories: int, steps: int, *, machine: type[Stories] = Stories, is_hunt: bool = False) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=is_hunt,
            phases=[Phase.generate] if is_hunt else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


@pytest.fixture(autouse=True)
def times(settings, db):
    settings.EHR_REST_SECONDS, settings.EHR_LOOK_AGAIN_SECONDS = REST, LOOK_AGAIN


def test_whatever_happens_nothing_is_lost_and_nothing_made_twice():
    tell(STORIES, STEPS)


def sends_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconcile without looking."""
    monkeypatch.setattr(reconcile, "look_up", lambda booking: [])


def cancels_the_old_visit_first(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = confirm_booking.submit

    def wrong(booking: Booking, *, visitor: Visitor, clock: Any) -> Booking:
        if booking.replaces is not None:
            ehr.gateway().staff_cancels(booking.replaces.appointment_ref)  # type: ignore[attr-defined]
        return submit(booking, visitor=visitor, clock=clock)

    monkeypatch.setattr(confirm_booking, "submit", wrong)


def leaves_expiry_to_the_tidying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold counts until somebody has closed it, whatever the clock says."""
    monkeypatch.setattr(BookingQuerySet, "claiming", lambda self, now: self.filter(state__in=CLAIMING))
    monkeypatch.setattr(hold_slot, "expire_overlapping", lambda *given: None)
    monkeypatch.setattr(hold_slot, "expire_holds", lambda *, now: 0)


def takes_silence_for_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A create without an answer is refused at once."""

    def wrong(booking: Booking, *, clock: Any) -> Booking:
        try:
            patient_ref = confirm_booking.ensure_patient(booking, clock=clock)
            ref = ehr.gateway().create_appointment(confirm_booking.appointment_request(booking, patient_ref))
        except EhrFailure:
            return confirm_booking.refuse(booking, RefusalCode.NOT_ACCEPTED, now=clock())
        confirm_booking.confirm(booking, ref, clock=clock)
        return booking

    monkeypatch.setattr(confirm_booking, "create", wrong)


def forgets_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booked in one step and told in another: a process that dies between them tells nobody."""

    def wrong(booking: Booking, ref: str, *, clock: Any) -> bool:
        now = clock()
        is_moved = booking.move(
            BookingState.BOOKED, actor="system", appointment_ref=ref, booked_at=now, look_up_at=None
        )
        clock()
        if is_moved:
            confirm_booking.notify.owe(
                booking, "confirmation" if booking.replaces is None else "moved", now=now
            )
        return is_moved

    monkeypatch.setattr(confirm_booking, "confirm", wrong)


@pytest.mark.parametrize(
    ("mutation", "machine"),
    [
        pytest.param(sends_again_at_once, OfPatients, id="sends-again-at-once"),
        pytest.param(cancels_the_old_visit_first, OfPatients, id="cancels-the-old-visit-first"),
        pytest.param(leaves_expiry_to_the_tidying, OfHolds, id="leaves-expiry-to-the-tidying"),
        pytest.param(takes_silence_for_no, OfPatients, id="takes-silence-for-no"),
        pytest.param(forgets_the_message, OfPatients, id="forgets-the-message"),
    ],
)
def test_control_a_flow_that_is_wrong_is_found(mutation, machine, monkeypatch):
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        tell(150, 30, machine=machine, is_hunt=True)


def test_every_event_of_a_story_is_gone_after_it():
    """Stories share a database and nothing else."""
    tell(1, 5, is_hunt=True)
    assert (Booking.objects.count(), BookingEvent.objects.count()) == (0, 0)
