"""Finding out what became of a create: who looks, how often, when it ends with staff, and what staff can do."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from booking.flows import confirm_booking, leases, reconcile
from booking.models import Booking
from booking.models.claims import claims_between
from tests import factories

from .conftest import make_clinic

REST, LOOK_AGAIN = 60, 30


class Killed(BaseException):
    """The process ends here, as by kill -9: nothing after it runs, nothing catches it."""


def dies_at(clock, call: int):
    """The clock of a process that is killed when it asks for the time for the ``call``-th time."""
    asked = []

    def tell():
        asked.append(None)
        if len(asked) == call:
            raise Killed
        return clock()

    return tell


@pytest.fixture(autouse=True)
def times(settings):
    settings.EHR_REST_SECONDS, settings.EHR_LOOK_AGAIN_SECONDS = REST, LOOK_AGAIN


def submit(booking, visitor, clock) -> Booking:
    confirm_booking.submit(booking, visitor=visitor, clock=clock)
    return Booking.objects.get(pk=booking.pk)


def unconfirmed(clinic, visitor, clock, kind="reset-before-commit", times=1) -> Booking:
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults(kind, method="POST", type="Appointment", times=times)
    waiting = submit(held, visitor, clock)
    assert waiting.state == "unconfirmed"
    return waiting


def kinds(booking) -> list[str]:
    return list(booking.messages.order_by("created_at").values_list("kind", flat=True))


def test_after_three_creates_the_visit_goes_to_staff(clinic, visitor, clock, reconcile_at):
    before, began = clinic.posts(), clock()
    waiting = unconfirmed(clinic, visitor, clock, times=None)
    rounds = 0
    while waiting.state == "unconfirmed":
        assert clock() - began <= timedelta(minutes=15)
        rounds += reconcile_at(10)
        waiting.refresh_from_db()
    assert (waiting.state, waiting.posts, clinic.posts() - before) == ("needs_staff", 3, 3)
    # Two look-ups after each create.
    assert rounds == 6
    assert (kinds(waiting), waiting.appointment_ref, waiting.look_up_at) == (["needs_staff"], "", None)
    assert [event.note for event in waiting.events.filter(new_state="needs_staff")] == [
        "not found after every attempt"
    ]
    assert (reconcile_at(3600), clinic.posts() - before) == (0, 3)


def test_a_create_that_was_turned_away_is_none_of_the_three(clinic, visitor, clock, reconcile_at):
    waiting = unconfirmed(clinic, visitor, clock)
    clinic.sandbox.faults("429", method="POST", type="Appointment", times=4)
    while waiting.state == "unconfirmed":
        reconcile_at(10)
        waiting.refresh_from_db()
    assert (waiting.state, waiting.posts, kinds(waiting)) == ("booked", 2, ["confirmation"])


def stale(booking, now, **there) -> Booking:
    """The booking as a worker has it in hand that read it before others wrote what is ``there``, and leased it after."""
    read = Booking.objects.select_related("clinician", "schedule__location", "patient", "reason").get(
        pk=booking.pk
    )
    Booking.objects.filter(pk=booking.pk).update(**there)
    assert leases.take(read, now, even_leased=True)
    return read


def test_a_look_that_fails_leaves_the_count_of_creates_to_others(clinic, visitor, clock):
    waiting = unconfirmed(clinic, visitor, clock)
    ours = stale(waiting, clock(), posts=2)
    clinic.sandbox.faults("500", method="GET", type="Appointment", times=None)
    reconcile.settle(ours, clock=clock)
    waiting.refresh_from_db()
    assert (ours.posts, waiting.posts, waiting.state) == (1, 2, "unconfirmed")


def test_a_create_that_another_worker_made_is_not_uncounted(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    Booking.objects.filter(pk=held.pk).update(state="unconfirmed", submitted_at=clock(), misses=1, posts=0)
    before = clinic.posts()
    ours = stale(held, clock(), posts=1)
    reconcile.settle(ours, clock=clock)
    held.refresh_from_db()
    assert (ours.posts, held.posts, held.state, clinic.posts() - before) == (0, 1, "unconfirmed", 0)


def test_what_others_did_since_it_was_listed_is_known(clinic, visitor, clock, reconcile_at, monkeypatch):
    waiting = unconfirmed(clinic, visitor, clock)
    Booking.objects.update(misses=1)
    listed = reconcile.due

    def due_and_then(now):
        found = listed(now)
        Booking.objects.update(posts=3)
        return found

    monkeypatch.setattr(reconcile, "due", due_and_then)
    before = clinic.posts()
    reconcile_at(REST)
    waiting.refresh_from_db()
    # Three were made already: no fourth is.
    assert (waiting.state, clinic.posts() - before) == ("needs_staff", 0)


def test_the_time_stays_claimed_while_staff_look_into_it(clinic, visitor, clock):
    waiting = unconfirmed(clinic, visitor, clock)
    Booking.objects.update(state="needs_staff")
    day = timedelta(days=1)
    found = claims_between(
        waiting.starts_at - day, waiting.ends_at + day, clock.tick(7200), of=[clinic.clinician.pk]
    )
    assert [(claim.starts_at, claim.ends_at) for claim in found] == [(waiting.starts_at, waiting.ends_at)]


@pytest.mark.parametrize(
    ("seconds", "state"),
    [pytest.param(839, "unconfirmed", id="13:59"), pytest.param(840, "needs_staff", id="14:00")],
)
def test_an_ehr_that_stays_down_ends_with_staff_after_fourteen_minutes(
    clinic, visitor, clock, reconcile_at, seconds, state
):
    waiting = unconfirmed(clinic, visitor, clock)
    clinic.sandbox.faults("403-html", times=None)
    assert reconcile_at(seconds) == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.posts) == (state, 1)
    assert kinds(waiting) == (["needs_staff"] if state == "needs_staff" else [])


def test_an_ehr_that_is_down_for_a_while_is_asked_until_it_is_back(clinic, visitor, clock, reconcile_at):
    waiting = unconfirmed(clinic, visitor, clock, kind="commit-then-no-answer")
    clinic.sandbox.faults("403-html", times=None)
    assert [reconcile_at(seconds) for seconds in (REST, LOOK_AGAIN - 1, 1, LOOK_AGAIN)] == [1, 0, 1, 1]
    waiting.refresh_from_db()
    assert (waiting.state, waiting.misses) == ("unconfirmed", 0)
    clinic.sandbox.clear_faults()
    reconcile_at(LOOK_AGAIN)
    waiting.refresh_from_db()
    assert (waiting.state, kinds(waiting), len(clinic.appointments(waiting))) == (
        "booked",
        ["confirmation"],
        1,
    )


def test_an_ehr_that_goes_away_between_look_up_and_create_is_asked_again(
    clinic, visitor, clock, reconcile_at
):
    waiting = unconfirmed(clinic, visitor, clock)
    reconcile_at(REST)
    clinic.sandbox.faults("403-html", method="GET", type="Slot")
    reconcile_at(LOOK_AGAIN)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.posts, kinds(waiting)) == ("unconfirmed", 1, [])
    reconcile_at(LOOK_AGAIN)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.posts, len(clinic.appointments(waiting))) == ("booked", 2, 1)


@pytest.mark.parametrize(
    ("killed_at", "was_made"),
    [
        pytest.param(2, False, id="before-anything-was-sent"),
        pytest.param(3, False, id="after-the-patient-before-the-create"),
        pytest.param(4, True, id="after-the-create-before-the-answer-was-written"),
    ],
)
def test_a_booking_whose_process_was_killed_is_taken_over(
    clinic, visitor, clock, reconcile_at, settings, killed_at, was_made
):
    held = clinic.hold(visitor, now=clock())
    with pytest.raises(Killed):
        confirm_booking.submit(held, visitor=visitor, clock=dies_at(clock, killed_at))
    held.refresh_from_db()
    assert (held.state, held.appointment_ref, len(clinic.appointments(held))) == (
        "submitting",
        "",
        int(was_made),
    )

    waits = (held.look_up_at - clock()).total_seconds()
    assert waits >= settings.EHR_TOTAL_SECONDS + REST
    assert reconcile_at(waits - 1) == 0
    assert reconcile_at(1) == 1
    while Booking.objects.get(pk=held.pk).state == "unconfirmed":
        assert reconcile_at(LOOK_AGAIN) == 1
    held.refresh_from_db()
    assert (held.state, kinds(held), len(clinic.appointments(held))) == ("booked", ["confirmation"], 1)
    assert len(clinic.patients(held)) == 1
    assert "taken over" in held.events.values_list("note", flat=True)


def test_a_visit_cancelled_in_the_ehr_meanwhile_goes_to_staff(clinic, visitor, clock, reconcile_at):
    waiting = unconfirmed(clinic, visitor, clock, kind="commit-then-no-answer")
    clinic.sandbox.staff_cancels(clinic.appointments(waiting)[0]["id"])
    reconcile_at(REST)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.appointment_ref, kinds(waiting)) == ("needs_staff", "", ["needs_staff"])
    assert [each["status"] for each in clinic.appointments(waiting)] == ["cancelled"]


def test_a_leased_booking_is_left_to_its_worker(clinic, visitor, clock, reconcile_at):
    waiting = unconfirmed(clinic, visitor, clock, kind="commit-then-no-answer")
    clock.tick(REST)
    Booking.objects.update(lease_until=clock() + leases.LEASE)
    lease = leases.LEASE.total_seconds()
    assert [reconcile_at(0), reconcile_at(lease - 1), reconcile_at(1)] == [0, 0, 1]
    waiting.refresh_from_db()
    assert (waiting.state, waiting.lease_until) == ("booked", None)


def test_a_worker_that_is_killed_leaves_its_booking_to_the_next(clinic, visitor, clock, reconcile_at):
    waiting = unconfirmed(clinic, visitor, clock, kind="commit-then-no-answer")
    clock.tick(REST)
    with pytest.raises(Killed):
        reconcile.reconcile(clock=dies_at(clock, 4))
    waiting.refresh_from_db()
    assert (waiting.state, kinds(waiting)) == ("unconfirmed", [])
    reconcile_at(leases.LEASE.total_seconds())
    waiting.refresh_from_db()
    assert (waiting.state, kinds(waiting)) == ("booked", ["confirmation"])


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_look_at_a_booking_once(portal_ehr, directory, clock):
    clinic = make_clinic(portal_ehr, directory)
    waiting = unconfirmed(clinic, factories.visitor(), clock)
    clock.tick(REST)
    portal_ehr.faults("slow", method="GET", type="Appointment", delay_seconds=0.5, times=None)
    before = clinic.calls("GET", "Appointment")
    looked_at, start = [], threading.Barrier(4)

    def work() -> None:
        start.wait()
        try:
            looked_at.append(reconcile.reconcile(clock=clock))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (sorted(looked_at), clinic.calls("GET", "Appointment") - before) == ([0, 0, 0, 1], 1)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.misses, waiting.lease_until) == ("unconfirmed", 1, None)


@pytest.fixture
def with_staff(clinic, visitor, clock) -> Booking:
    """A visit the EHR has and we do not know of, handed to staff."""
    waiting = unconfirmed(clinic, visitor, clock, kind="commit-then-no-answer")
    Booking.objects.update(state="needs_staff", look_up_at=None)
    waiting.refresh_from_db()
    return waiting


def test_staff_find_a_visit_that_is_there_after_all(clinic, with_staff, clock):
    assert reconcile.look_up_for_staff(with_staff, clock=clock) is True
    with_staff.refresh_from_db()
    (made,) = clinic.appointments(with_staff)
    assert (with_staff.state, with_staff.appointment_ref) == ("booked", f"Appointment/{made['id']}")
    assert kinds(with_staff) == ["confirmation"]


def test_staff_find_nothing_where_nothing_is(clinic, with_staff, clock):
    clinic.sandbox.staff_cancels(clinic.appointments(with_staff)[0]["id"])
    assert reconcile.look_up_for_staff(with_staff, clock=clock) is False
    with_staff.refresh_from_db()
    assert (with_staff.state, kinds(with_staff)) == ("needs_staff", [])


def test_staff_close_a_visit_that_will_not_be(clinic, with_staff, clock):
    assert reconcile.close_for_staff(with_staff, actor="staff:7", now=clock()) is True
    with_staff.refresh_from_db()
    assert (with_staff.state, kinds(with_staff)) == ("refused", ["not_booked"])
    assert with_staff.events.get(new_state="refused").actor == "staff:7"
