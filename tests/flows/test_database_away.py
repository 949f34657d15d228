"""The database is away for a moment just as the EHR has said something: it is written down once the database is back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from booking import crash_points
from booking.flows import change_booking, confirm_booking, database_away, reconcile
from booking.models import Booking
from booking.scheduling.errors import EhrUnavailable
from tests import factories

CREATE = {"method": "POST", "type": "Appointment"}
Crash = Callable[[], None]


@pytest.fixture(params=[False, True], ids=["control: no patience", "patient"])
def is_patient(request, monkeypatch) -> bool:
    if not request.param:
        monkeypatch.setattr(database_away, "PAGE_SECONDS", 0)
    return request.param


@pytest.fixture
def crash(crashes, is_patient) -> Crash:
    """For a second; but for as long as the test does not bring it back where nobody waits for it."""
    return lambda: crashes.crash(1 if is_patient else None)


@pytest.fixture
def crash_at(monkeypatch) -> Callable[[str, Crash], None]:
    """The first time that a process comes to this point."""

    def plan(point: str, crash: Crash) -> None:
        left = [point]

        def reach(name: str) -> None:
            if name in left:
                left.remove(name)
                crash()

        monkeypatch.setattr(crash_points, "reach", reach)

    return plan


def after(monkeypatch, owner: Any, name: str, crash: Crash) -> None:
    """Once that function of the owner's has done its work."""
    does = getattr(owner, name)
    left = [crash]

    def do(*args: Any, **named: Any) -> Any:
        found = does(*args, **named)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(owner, name, do)


def submit(held: Booking, visitor, clock) -> str:
    """What whoever pressed the button meets."""
    try:
        return confirm_booking.submit(held, visitor=visitor, clock=clock).state
    except (OperationalError, EhrUnavailable) as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "point", "told", "expected"),
    [
        pytest.param(None, "attempt on record", "booked", "booked", id="last look"),
        pytest.param(None, "patient created", "booked", "booked", id="patient"),
        pytest.param(None, "create answered", "booked", "booked", id="booked"),
        pytest.param(None, "booked and not committed", "booked", "booked", id="half written"),
        pytest.param("422", "create about to be sent", "refused", "refused", id="time taken"),
        pytest.param("429", "create about to be sent", "EhrUnavailable", "held", id="EHR did nothing"),
        pytest.param(
            "commit-then-no-answer", "create about to be sent", "unconfirmed", "unconfirmed", id="no answer"
        ),
    ],
)
def test_what_the_ehr_said_is_recorded(
    crash_at, crash, crashes, is_patient, clinic, visitor, clock, fault, point, told, expected
):
    """Without patience the page fails, and the booking is in doubt until reconcile takes it over minutes later."""
    held = clinic.hold(visitor, now=clock())
    if fault:
        clinic.sandbox.faults(fault, **CREATE)
    crash_at(point, crash)
    found = submit(held, visitor, clock)
    crashes.bring_back()
    left = Booking.objects.get(pk=held.pk)
    assert (found, left.state) == ((told, expected) if is_patient else ("OperationalError", "submitting"))
    assert len(clinic.patients(left)) <= 1


def test_an_attempt_is_put_on_record_before_it_goes_out(
    monkeypatch, crash, crashes, is_patient, clinic, visitor, clock
):
    held = clinic.hold(visitor, now=clock())
    after(monkeypatch, confirm_booking, "appointment_request", crash)
    found = submit(held, visitor, clock)
    crashes.bring_back()
    left = Booking.objects.get(pk=held.pk)
    assert (found, left.state, left.posts) == (
        ("booked", "booked", 1) if is_patient else ("OperationalError", "submitting", 0)
    )


def test_a_cancel_that_the_ehr_did_is_recorded(
    monkeypatch, crash, crashes, is_patient, clinic, visitor, clock
):
    booked = clinic.book(visitor, clock)
    after(monkeypatch, change_booking, "_put_on_record", crash)
    try:
        told = change_booking.cancel_booking(booked, visitor=visitor, clock=clock).state
    except OperationalError:
        told = "failed"
    crashes.bring_back()
    state = Booking.objects.get(pk=booked.pk).state
    assert (told, state) == (("cancelled", "cancelled") if is_patient else ("failed", "cancelling"))


def test_a_booking_that_is_found_is_recorded(
    crash_at, crash, crashes, is_patient, clinic, visitor, clock, reconcile_at
):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("commit-then-no-answer", **CREATE)
    submit(held, visitor, clock)
    clinic.sandbox.clear_faults()
    crash_at("look-up answered", crash)
    with nullcontext() if is_patient else pytest.raises(OperationalError):
        assert reconcile_at(120) == 1
    crashes.bring_back()
    found = Booking.objects.get(pk=held.pk)
    assert (found.state, found.lease_until is None) == (
        ("booked", True) if is_patient else ("unconfirmed", False)
    )
    assert len(clinic.appointments(found)) == 1


def test_what_was_looked_up_in_vain_is_given_back(
    monkeypatch, crash, crashes, is_patient, clinic, visitor, clock, reconcile_at
):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("reset-before-commit", **CREATE)
    submit(held, visitor, clock)
    after(monkeypatch, reconcile, "settle", crash)
    with nullcontext() if is_patient else pytest.raises(OperationalError):
        assert reconcile_at(120) == 1
    crashes.bring_back()
    assert (Booking.objects.get(pk=held.pk).lease_until is None) == is_patient


class Unheard:
    """What ends a transaction is as it should be, and the answer to the next one is lost when that is wanted."""

    def __init__(self, monkeypatch, owner: Any, name: str) -> None:
        does = getattr(owner, name)

        def do(*args: Any, **named: Any) -> Any:
            found = does(*args, **named)
            if self._is_next and not connection.in_atomic_block:
                self._is_next = False
                raise OperationalError("the connection was closed")
            return found

        self._is_next = False
        monkeypatch.setattr(owner, name, do)

    def lose_the_next(self) -> None:
        self._is_next = True


@pytest.mark.django_db(transaction=True)
def test_what_was_committed_and_not_told_of_is_not_taken_for_somebody_elses(
    monkeypatch, crash_at, clinic, visitor, clock
):
    """The state is set by compare-and-set: the second try finds it set, by whomever."""
    commits = Unheard(monkeypatch, transaction.Atomic, "__exit__")
    held = clinic.hold(visitor, now=clock())
    crash_at("create answered", commits.lose_the_next)
    booked = confirm_booking.submit(held, visitor=visitor, clock=clock)
    assert (booked.state, Booking.objects.get(pk=held.pk).state) == ("booked", "booked")
    assert booked.messages.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_refusal_that_was_committed_and_not_told_of_is_told(monkeypatch, clinic, visitor, clock):
    commits = Unheard(monkeypatch, transaction.Atomic, "__exit__")
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("422", **CREATE)

    def refuse(*args: Any, **named: Any) -> Booking:
        commits.lose_the_next()
        return refused(*args, **named)

    refused = confirm_booking.refuse
    monkeypatch.setattr(confirm_booking, "refuse", refuse)
    assert confirm_booking.submit(held, visitor=visitor, clock=clock).state == "refused"


@pytest.mark.django_db(transaction=True)
def test_an_attempt_that_was_recorded_and_not_told_of_goes_out(monkeypatch, clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    updates = Unheard(monkeypatch, type(Booking.objects.all()), "update")
    after(monkeypatch, confirm_booking, "appointment_request", updates.lose_the_next)
    booked = confirm_booking.submit(held, visitor=visitor, clock=clock)
    assert (booked.state, booked.posts, len(clinic.appointments(booked))) == ("booked", 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_hold_given_back_and_not_told_of_does_not_undo_the_next_press(monkeypatch, clinic, visitor, clock):
    """Between the two tries the patient presses again: that attempt is under way, and stays so."""
    factories.policy()
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("429", **CREATE)
    commits = Unheard(monkeypatch, transaction.Atomic, "__exit__")
    hold_again = confirm_booking._hold_again

    def lose_the_commit(*args: Any) -> None:
        commits.lose_the_next()
        hold_again(*args)

    monkeypatch.setattr(confirm_booking, "_hold_again", lose_the_commit)

    def press_again(_seconds: float) -> None:
        again = Booking.objects.get(pk=held.pk)
        assert (again.state, confirm_booking._begin(again, clock.tick(1))) == ("held", True)

    monkeypatch.setattr(database_away.time, "sleep", press_again)
    with pytest.raises(EhrUnavailable):
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    assert Booking.objects.get(pk=held.pk).state == "submitting"


def test_a_guest_whose_page_failed_as_their_time_was_held_has_it_when_they_press_again(
    crash_at, crashes, clinic
):
    """Their bookings are found by a secret in the session. One that came with the hold would be lost with its page."""
    client = Client(raise_request_exception=False)
    client.post("/book/reason/", {"reason": clinic.reason.code})
    client.post("/book/state/", {"state": "CA"})
    choice = clinic.choice()
    slot = f"{choice.schedule_id}.{int(choice.starts_at.timestamp())}.video"
    crash_at("hold written", crashes.crash)
    failed = client.post("/book/times/", {"slot": slot})
    crashes.bring_back()
    again = client.post("/book/times/", {"slot": slot})
    assert (failed.status_code, again.status_code, again["Location"]) == (500, 302, "/book/contact/")
    assert list(Booking.objects.values_list("state", flat=True)) == ["held"]
