"""Moving and cancelling: the new visit before the old one goes, a cancel sent again only after a look, one message each."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from booking import ehr
from booking.flows import change_booking, confirm_booking, follow_visits, hold_slot, reconcile
from booking.messaging import texts
from booking.models import Booking, Message
from booking.scheduling.errors import CannotChange, EhrFailure, EhrUnavailable, Refusal, RefusalCode
from tests import factories

from .conftest import Clinic, Clock, make_clinic

REST, LOOK_AGAIN = 60, 30


@pytest.fixture(autouse=True)
def times(settings):
    settings.EHR_REST_SECONDS, settings.EHR_LOOK_AGAIN_SECONDS = REST, LOOK_AGAIN


def booked(clinic: Clinic, visitor, clock: Clock) -> Booking:
    return confirm_booking.submit(clinic.hold(visitor, now=clock()), visitor=visitor, clock=clock)


def another_time(clinic: Clinic, booking: Booking) -> hold_slot.Choice:
    return clinic.choice(next(slot.starts_at for slot in clinic.free() if slot.starts_at > booking.ends_at))


def fresh(booking: Booking) -> Booking:
    return Booking.objects.get(pk=booking.pk)


def kinds(*bookings: Booking) -> list[str]:
    return [
        kind
        for each in bookings
        for kind in each.messages.order_by("created_at").values_list("kind", flat=True)
    ]


def live(clinic: Clinic, *bookings: Booking) -> int:
    return sum(each["status"] != "cancelled" for booking in bookings for each in clinic.appointments(booking))


def cancels(clinic: Clinic) -> int:
    """How many updates of appointments the EHR carried out."""
    return sum((each["method"], each["type"]) == ("PUT", "Appointment") for each in clinic.sandbox.log())


def run(clock: Clock, seconds: float, *, step: float = 10) -> None:
    """As beat does, so much later."""
    for _ in range(int(seconds // step)):
        clock.tick(step)
        reconcile.reconcile(clock=clock)


def test_a_visit_is_cancelled_and_the_patient_told_once(clinic, visitor, clock):
    visit = booked(clinic, visitor, clock)
    done = change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    again = change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    assert (done.state, again.state, live(clinic, visit)) == ("cancelled", "cancelled", 0)
    assert kinds(visit) == ["confirmation", "cancelled"]
    assert cancels(clinic) == 1
    assert visit.starts_at in [slot.starts_at for slot in clinic.free()]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("commit-then-no-answer", id="done-and-the-answer-lost"),
        pytest.param("commit-then-500", id="done-and-answered-500"),
        pytest.param("reset-before-commit", id="not-done"),
        pytest.param("500", id="not-done-and-answered-500"),
    ],
)
def test_a_cancel_without_an_answer_rests_and_is_sent_again_only_if_the_visit_stands(
    clinic, visitor, clock, kind
):
    visit = booked(clinic, visitor, clock)
    clinic.sandbox.faults(kind, method="PUT", type="Appointment")
    waiting = change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    assert (waiting.state, kinds(visit)) == ("cancelling", ["confirmation"])
    assert reconcile.reconcile(clock=clock) == 0
    clock.tick(REST)
    assert reconcile.reconcile(clock=clock) == 1
    assert (fresh(visit).state, live(clinic, visit)) == ("cancelled", 0)
    assert kinds(visit) == ["confirmation", "cancelled"]
    assert cancels(clinic) == 1


def test_a_cancel_that_the_ehr_never_answers_ends_with_staff_within_a_quarter_of_an_hour(
    clinic, visitor, clock
):
    visit = booked(clinic, visitor, clock)
    clinic.sandbox.faults("403-html", type="Appointment", times=None)
    began = clock()
    assert change_booking.cancel_booking(visit, visitor=visitor, clock=clock).state == "cancelling"
    while fresh(visit).state == "cancelling":
        run(clock, 10)
    assert clock() - began <= timedelta(minutes=15)
    assert fresh(visit).attention == "not cancelled in time"
    assert (fresh(visit).state, kinds(visit)) == ("needs_staff", ["confirmation", "cancel_needs_staff"])
    clinic.sandbox.clear_faults()
    assert reconcile.look_up_for_staff(fresh(visit), clock=clock) is False
    clinic.sandbox.staff_cancels(fresh(visit).appointment_ref.partition("/")[2])
    assert reconcile.look_up_for_staff(fresh(visit), clock=clock) is True
    assert (fresh(visit).state, kinds(visit)[2:]) == ("cancelled", ["cancelled"])


def test_what_staff_close_of_a_cancel_is_cancelled_and_not_refused(clinic, visitor, clock):
    visit = booked(clinic, visitor, clock)
    Booking.objects.update(state="needs_staff", cancelling_at=clock())
    assert reconcile.close_for_staff(fresh(visit), actor="staff:7", now=clock()) is True
    assert (fresh(visit).state, kinds(visit)) == ("cancelled", ["confirmation", "cancelled"])


def test_a_visit_that_staff_had_moved_is_cancelled_where_it_stands(clinic, visitor, clock):
    visit = booked(clinic, visitor, clock)
    new_time = another_time(clinic, visit).starts_at
    new_id = clinic.sandbox.staff_moves(
        visit.appointment_ref.partition("/")[2], new_time, new_time + timedelta(minutes=30)
    )
    done = change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    (made,) = [each for each in clinic.sandbox.appointments() if each["id"] == new_id]
    assert (done.state, done.appointment_ref, made["status"]) == (
        "cancelled",
        f"Appointment/{new_id}",
        "cancelled",
    )


@pytest.mark.parametrize("state", ["held", "unconfirmed", "refused", "needs_staff"])
def test_what_is_not_booked_cannot_be_changed(clinic, visitor, clock, state):
    visit = booked(clinic, visitor, clock)
    Booking.objects.update(state=state)
    for change in (
        lambda: change_booking.cancel_booking(visit, visitor=visitor, clock=clock),
        lambda: change_booking.move_booking(visit, clinic.choice(), visitor=visitor, clock=clock),
    ):
        with pytest.raises(CannotChange):
            change()
    assert live(clinic, visit) == 1


def test_a_visit_that_has_begun_cannot_be_changed_and_nobody_changes_anothers(clinic, visitor, clock):
    visit = booked(clinic, visitor, clock)
    with pytest.raises(Booking.DoesNotExist):
        change_booking.cancel_booking(visit, visitor=factories.visitor(), clock=clock)
    clock.at = visit.starts_at
    with pytest.raises(CannotChange):
        change_booking.cancel_booking(visit, visitor=visitor, clock=clock)


def test_a_move_books_the_new_time_and_then_cancels_the_old(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    new = change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    assert (new.state, new.starts_at, new.replaces_id) == ("booked", choice.starts_at, old.pk)
    assert (fresh(old).state, live(clinic, old), live(clinic, new)) == ("cancelled", 0, 1)
    assert (kinds(old), kinds(new)) == (["confirmation"], ["moved"])
    # In the EHR, too, the new one was there before the old one went.
    writes = [each for each in clinic.sandbox.log() if each["type"] == "Appointment"]
    assert [each["method"] for each in writes[-2:]] == ["POST", "PUT"]
    assert new.patient_id == old.patient_id


@pytest.mark.parametrize("kind", ["commit-then-no-answer", "reset-before-commit", "500"])
def test_a_move_without_an_answer_keeps_the_old_visit_until_the_new_one_is_sure(clinic, visitor, clock, kind):
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    clinic.sandbox.faults(kind, method="POST", type="Appointment")
    new = change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    assert (new.state, fresh(old).state, live(clinic, old)) == ("unconfirmed", "booked", 1)
    with pytest.raises(CannotChange):
        change_booking.cancel_booking(old, visitor=visitor, clock=clock)
    run(clock, 180)
    assert (fresh(new).state, fresh(old).state) == ("booked", "cancelled")
    assert (live(clinic, old), live(clinic, new)) == (0, 1)
    assert (kinds(old), kinds(new)) == (["confirmation"], ["moved"])


def test_an_old_visit_whose_cancel_gets_no_answer_is_settled_later(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    clinic.sandbox.faults("500", method="PUT", type="Appointment")
    new = change_booking.move_booking(old, another_time(clinic, old), visitor=visitor, clock=clock)
    assert (new.state, fresh(old).state, live(clinic, old, new)) == ("booked", "cancelling", 2)
    run(clock, 120)
    assert (fresh(old).state, live(clinic, old, new)) == ("cancelled", 1)
    assert (kinds(old), kinds(new)) == (["confirmation"], ["moved"])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", ["the create", "the answer was written", "the cancel"])
def test_a_process_that_dies_during_a_move_leaves_it_to_reconcile(clinic, visitor, clock, monkeypatch, after):
    """Wherever it dies the patient has a visit, has two for fifteen minutes at most, and is told once."""
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    where = {
        "the create": (confirm_booking, "confirm"),
        "the answer was written": (change_booking, "_cancel_leased"),
        "the cancel": (change_booking, "cancelled"),
    }

    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*where[after], die)
        with pytest.raises(Killed):
            change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    began = clock()
    new = Booking.objects.get(replaces=old)
    while (fresh(old).state, fresh(new).state) != ("cancelled", "booked"):
        assert clock() - began < timedelta(minutes=15)
        assert 1 <= live(clinic, old, new) <= 2
        run(clock, 10)
    assert (live(clinic, old), live(clinic, new)) == (0, 1)
    assert (kinds(old), kinds(new)) == (["confirmation"], ["moved"])


def test_control_cancelling_the_old_visit_first_can_leave_the_patient_without_one(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    clinic.sandbox.staff_books(
        clinic.clinician.ehr_ref, choice.starts_at, choice.starts_at + timedelta(minutes=30)
    )
    change_booking.cancel_booking(old, visitor=visitor, clock=clock)
    with pytest.raises(Refusal):
        clinic.hold(visitor, now=clock(), choice=choice)
    assert live(clinic, old) == 0


def test_a_move_to_a_time_that_is_taken_leaves_the_visit_as_it_was(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    clinic.sandbox.staff_books(
        clinic.clinician.ehr_ref, choice.starts_at, choice.starts_at + timedelta(minutes=30)
    )
    with pytest.raises(Refusal) as refused:
        change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    assert refused.value.code == RefusalCode.TIME_TAKEN
    assert (fresh(old).state, live(clinic, old), kinds(old)) == ("booked", 1, ["confirmation"])


def test_a_move_while_the_ehr_is_away_leaves_the_visit_and_no_hold(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    choice = another_time(clinic, old)
    clinic.sandbox.faults("429", method="POST", type="Appointment", delay_seconds=30)
    with pytest.raises(EhrUnavailable):
        change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    new = Booking.objects.get(replaces=old)
    assert (fresh(old).state, new.state) == ("booked", "released")
    moved = change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
    assert (moved.state, fresh(old).state) == ("booked", "cancelled")


def test_a_visit_that_staff_cancel_while_it_is_moved_is_not_cancelled_again(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    clinic.sandbox.faults("commit-then-no-answer", method="POST", type="Appointment")
    new = change_booking.move_booking(old, another_time(clinic, old), visitor=visitor, clock=clock)
    clinic.sandbox.staff_cancels(old.appointment_ref.partition("/")[2])
    follow_visits.follow(old, now=clock())
    run(clock, 120)
    assert (fresh(old).state, fresh(new).state, live(clinic, old, new)) == ("cancelled", "booked", 1)
    assert (kinds(old), kinds(new)) == (["confirmation", "cancelled"], ["moved"])


@pytest.mark.django_db(transaction=True)
def test_two_moves_at_once_make_one(portal_ehr, directory, clock):
    clinic = make_clinic(portal_ehr, directory)
    visitor = factories.visitor()
    old = booked(clinic, visitor, clock)
    later = [slot.starts_at for slot in clinic.free() if slot.starts_at > old.ends_at]
    choices = [clinic.choice(at) for at in (later[0], later[4], later[8])]
    outcomes, start = [], threading.Barrier(len(choices))

    def move(choice: hold_slot.Choice) -> None:
        start.wait()
        try:
            new = change_booking.move_booking(old, choice, visitor=visitor, clock=clock)
            outcomes.append(new.state)
        except (CannotChange, Refusal, EhrFailure) as refusal:
            outcomes.append(type(refusal).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=move, args=[choice]) for choice in choices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(clock, 60)
    all_of_them = [old, *Booking.objects.filter(replaces=old)]
    assert live(clinic, *all_of_them) == 1
    assert outcomes.count("booked") == 1
    assert fresh(old).state == "cancelled"


def test_the_database_refuses_a_second_visit_in_place_of_one(clinic, visitor, clock):
    old = booked(clinic, visitor, clock)
    change_booking.move_booking(old, another_time(clinic, old), visitor=visitor, clock=clock)
    with pytest.raises(IntegrityError, match="booking_one_replacement"), transaction.atomic():
        factories.booking(clinician=factories.clinician(), replaces=old)


def test_a_cancel_checks_whose_visit_it_is(clinic, visitor, clock):
    """An id that came to stand for somebody else's visit is left alone."""
    visit, other = booked(clinic, visitor, clock), booked(clinic, factories.visitor(), clock)
    Booking.objects.filter(pk=visit.pk).update(appointment_ref=other.appointment_ref)
    done = change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    assert (done.state, live(clinic, other)) == ("needs_staff", 1)
    assert ehr.gateway().read_appointment(other.appointment_ref).status == "booked"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("moved", "Your visit has been moved."),
        ("not_booked", "stands as it was."),
        ("cancel_needs_staff", "you asked to cancel the visit on"),
    ],
)
def test_messages_say_what_became_of_a_change(db, kind, said):
    """A move the patient asked for is not called the clinic's, and who keeps the old visit is told so."""
    old = factories.booking()
    new = factories.booking(clinician=factories.clinician(), replaces=old)
    message = Message(booking=new, kind=kind, channel="email", recipient="ana@mail.example")
    assert said in texts.render(message).body
    assert "The clinic has moved" not in texts.render(message).body
