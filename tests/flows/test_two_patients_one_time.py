"""Many patients, one time: exactly one hold. First the control, which shows that without the guard there are many."""

from __future__ import annotations

import importlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from booking.flows import confirm_booking, hold_slot
from booking.models import Booking
from booking.scheduling.errors import Refusal, RefusalCode
from tests import factories

from .conftest import Clinic, make_clinic

PATIENTS = 50
SECONDS = 60

pytestmark = pytest.mark.django_db(transaction=True)
overlaps = importlib.import_module("booking.migrations.0002_no_overlapping_claims")


@pytest.fixture
def clinic(transactional_db: None, portal_ehr, directory, settings) -> Clinic:
    # Fifty readers at once on two cores are no failing EHR.
    settings.EHR_READ_SECONDS, settings.EHR_TOTAL_SECONDS, settings.EHR_PAGE_SECONDS = 30, 40, 30
    settings.GRID_PARALLEL_READS = 24
    return make_clinic(portal_ehr, directory)


@pytest.fixture
def without_constraints(clinic: Clinic) -> Iterator[None]:
    (unique,) = (each for each in Booking._meta.constraints if each.name == "booking_one_claim_per_start")
    with connection.schema_editor() as editor:
        editor.execute(overlaps.DROP)
        editor.remove_constraint(Booking, unique)
    yield
    Booking.objects.all().delete()
    with connection.schema_editor() as editor:
        editor.execute(overlaps.ADD)
        editor.add_constraint(Booking, unique)


def all_at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """What each task returned or raised, each in a thread of its own, let go together."""
    results: list[Any] = [None] * len(tasks)
    start = threading.Barrier(len(tasks), timeout=SECONDS)

    def run(number: int, task: Callable[[], Any]) -> None:
        try:
            start.wait()
            results[number] = task()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test counts it
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SECONDS)
    return results


def tally(results: list[Any]) -> Counter[str]:
    return Counter(
        "held"
        if isinstance(each, Booking)
        else each.code.value
        if isinstance(each, Refusal)
        else type(each).__name__
        for each in results
    )


def rush(clinic: Clinic, clock, count: int = PATIENTS) -> Counter[str]:
    """That many visitors choose one free time at once."""
    choice = clinic.choice()

    def choose() -> Booking:
        return hold_slot.hold(clinic.visit(), choice, visitor=factories.visitor(), now=clock())

    return tally(all_at_once([choose] * count))


@pytest.fixture
def gathered(monkeypatch) -> Callable[..., None]:
    """Make every caller of a function of hold_slot wait for the others, before or after it."""

    def gather(name: str, *, count: int = PATIENTS, after: bool = False, instead: bool = False) -> None:
        real, barrier = getattr(hold_slot, name), threading.Barrier(count, timeout=SECONDS)

        def waiting(*args: Any, **kwargs: Any) -> Any:
            if not after:
                barrier.wait()
            answer = None if instead else real(*args, **kwargs)
            if after:
                barrier.wait()
            return answer

        monkeypatch.setattr(hold_slot, name, waiting)

    return gather


def held() -> int:
    return Booking.objects.filter(state="held").count()


def test_control_without_lock_and_constraints_more_than_one_hold_wins(
    clinic, clock, gathered, without_constraints
):
    """The check and the insert are as they are; only the guard is gone, and everybody is between the two at once."""
    gathered("lock_clinician", instead=True)
    gathered("is_free", after=True)
    results = rush(clinic, clock)
    assert (results["held"], held()) == (PATIENTS, PATIENTS)


def test_control_without_the_lock_the_constraints_let_one_win_and_the_others_fall_over(
    clinic, clock, gathered
):
    """What the backstop is worth alone: no second hold, and errors where there should be answers."""
    gathered("lock_clinician", count=8, instead=True)
    gathered("is_free", count=8, after=True)
    results = rush(clinic, clock, count=8)
    assert (results.pop("held"), held()) == (1, 1)
    assert set(results) <= {"IntegrityError", "OperationalError"}
    assert results.total() == 7


def test_of_fifty_patients_at_once_one_holds_and_the_others_are_told(clinic, clock):
    assert rush(clinic, clock) == {"held": 1, RefusalCode.TIME_TAKEN.value: PATIENTS - 1}
    assert (held(), Booking.objects.count()) == (1, 1)


def test_of_fifty_who_were_all_told_it_is_free_one_holds_and_the_others_are_told(clinic, clock, gathered):
    """Nobody may lock before everybody has seen the time free: the check under the lock decides alone."""
    gathered("lock_clinician")
    assert rush(clinic, clock) == {"held": 1, RefusalCode.TIME_TAKEN.value: PATIENTS - 1}
    assert (held(), Booking.objects.count()) == (1, 1)


def test_overlapping_times_of_different_lengths_are_claimed_once(clinic, clock, gathered):
    long = factories.reason("long", default_minutes=60).to_term()
    short_starts = {slot.starts_at for slot in clinic.free(30)}
    half = timedelta(minutes=30)
    start = next(slot.starts_at for slot in clinic.free(60) if slot.starts_at + half in short_starts)
    gathered("lock_clinician", count=20)

    def choose(visit: Any, starts_at: Any) -> Callable[[], Booking]:
        choice = clinic.choice(starts_at)
        return lambda: hold_slot.hold(visit, choice, visitor=factories.visitor(), now=clock())

    tasks = [choose(clinic.visit(reason=long), start), choose(clinic.visit(), start + half)] * 10
    assert tally(all_at_once(tasks)) == {"held": 1, "time_taken": 19}


def test_an_expired_hold_is_given_to_one_of_many(clinic, clock, gathered):
    choice = clinic.choice()
    old = hold_slot.hold(clinic.visit(), choice, visitor=factories.visitor(), now=clock())
    clock.tick(3600)
    gathered("lock_clinician", count=20)
    tasks = [lambda: hold_slot.hold(clinic.visit(), choice, visitor=factories.visitor(), now=clock())] * 20
    assert tally(all_at_once(tasks)) == {"held": 1, "time_taken": 19}
    old.refresh_from_db()
    assert (old.state, held()) == ("expired", 1)


def test_one_visitor_who_presses_many_times_has_one_hold(clinic, clock, gathered):
    choice, visitor = clinic.choice(), factories.visitor()
    gathered("lock_visitor", count=10)
    results = all_at_once([lambda: hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())] * 10)
    assert (tally(results), len({each.pk for each in results}), held()) == ({"held": 10}, 1, 1)


def test_one_visitor_who_submits_many_times_has_one_visit(clinic, clock):
    visitor = factories.visitor()
    booking = clinic.hold(visitor, now=clock())
    results = all_at_once([lambda: confirm_booking.submit(booking, visitor=visitor, clock=clock)] * 8)
    assert {each.pk for each in results} == {booking.pk}
    booking.refresh_from_db()
    assert (booking.state, booking.posts, len(clinic.appointments(booking))) == ("booked", 1, 1)
    assert list(booking.messages.values_list("kind", flat=True)) == ["confirmation"]


def test_many_clinicians_are_claimed_side_by_side(clinic, clock, directory):
    clinics = [
        clinic,
        *(make_clinic(clinic.sandbox, directory, family=each) for each in ("Okonkwo", "Nguyen")),
    ]
    choices = [each.choice() for each in clinics]

    def choose(number: int) -> Callable[[], Booking]:
        return lambda: hold_slot.hold(
            clinic.visit(), choices[number], visitor=factories.visitor(), now=clock()
        )

    results = tally(all_at_once([choose(number) for number in range(3)] * 6))
    assert results == {"held": 3, "time_taken": 15}


def test_one_visitor_in_six_tabs_keeps_one_hold(clinic, clock, directory, monkeypatch):
    clinics = [
        clinic,
        *(make_clinic(clinic.sandbox, directory, family=each) for each in ("Okonkwo", "Nguyen")),
    ]
    choices = [each.choice() for each in clinics]

    def rounds() -> list[int]:
        """How many live holds one visitor has after choosing three times in six tabs at once, five times over."""
        left = []
        for _ in range(5):
            visitor = factories.visitor()
            tabs = [
                lambda choice=choice, visitor=visitor: hold_slot.hold(
                    clinic.visit(), choice, visitor=visitor, now=clock()
                )
                for choice in choices * 2
            ]
            all_at_once(tabs)
            left.append(Booking.objects.of(visitor).filter(state="held").count())
            Booking.objects.all().delete()
        return left

    assert rounds() == [1] * 5
    monkeypatch.setattr(hold_slot, "lock_visitor", lambda visitor: None)
    # The gap between counting and writing, held open as a busy server would.
    monkeypatch.setattr(hold_slot.hold_limits, "check", lambda *_, **__: time.sleep(0.1))
    assert max(rounds()) > 1


def test_a_hold_submitted_in_another_tab_is_no_longer_given_back(clinic, clock, monkeypatch):
    """The visitor chooses the same time for another reason while their first choice becomes a visit."""
    visitor = factories.visitor()
    first, other = clinic.hold(visitor, now=clock()), factories.reason("other").to_term()
    lock = hold_slot.lock_clinician

    def submitted_meanwhile(clinician_id: int) -> None:
        all_at_once([lambda: confirm_booking.submit(first, visitor=visitor, clock=clock)])
        lock(clinician_id)

    monkeypatch.setattr(hold_slot, "lock_clinician", submitted_meanwhile)
    choice = clinic.choice(first.starts_at)
    with pytest.raises(Refusal):
        hold_slot.hold(clinic.visit(reason=other), choice, visitor=visitor, now=clock())
    first.refresh_from_db()
    assert (first.state, Booking.objects.count()) == ("booked", 1)
