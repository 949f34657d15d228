"""Notices from the EHR: the day they tell of is read anew, a visit that staff changed is followed at once, and neither
many notices nor false ones do harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from booking import board, notice_rate
from booking.board import Line, Want
from booking.board.readings import monday_of, week_of
from booking.flows import take_notice
from booking.models import Booking, Message
from booking.scheduling.lifecycle import BookingState

from .conftest import TELEHEALTH, forget_everything

SECRET = "a-secret-of-more-than-32-characters-0123456789"
BEARER = {"authorization": f"Bearer {SECRET}"}
ID = "4be5c594-cfbd-4b7c-a047-ee3b06881745"


class Queue:
    """Where tasks go in place of the broker: appointment ids, and how long each look is to wait."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []
        self.is_away = False

    def send_task(self, name: str, *, args: list[str], countdown: float, **options: object) -> None:
        if self.is_away:
            raise OperationalError("away")
        assert name == "booking.jobs.look_at_appointment"
        (key,) = args
        self.sent.append((key, countdown))


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Queue:
    settings.EHR_NOTICE_SECRET = SECRET
    forget_everything()
    found = Queue()
    monkeypatch.setattr(current_app, "send_task", found.send_task)
    return found


def take(found: Any, now: datetime | None = None) -> None:
    take_notice.take(json.dumps(found).encode(), BEARER, now=now or datetime.now(UTC))


def tell_of(key: str, now: datetime | None = None) -> None:
    take({"event_type": "APPOINTMENT_UPDATED", "appointment_id": key}, now)


@pytest.fixture
def booked(clinic: Any, visitor: Any, clock: Any) -> Booking:
    found = clinic.book(visitor, clock)
    Message.objects.update(state=Message.State.SENT)
    return found


def week(schedule: Any, at: datetime) -> Want:
    zone = schedule.location.time_zone
    first_on = monday_of(week_of(at.date()))
    return Want(Line(schedule.ehr_ref, zone, 30, TELEHEALTH), first_on, first_on + timedelta(days=6))


def shown(*wants: Want) -> list[int]:
    """Free starts on the board, in epoch seconds."""
    view = board.read(board.Wants(wants), deadline_seconds=5.0)
    assert not view.pending
    return sorted(start for starts in view.starts.values() for start in starts)


# --- What is to be looked at ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_notice_is_one_look_at_once(queue):
    tell_of(ID)
    assert queue.sent == [(ID, 0)]


@pytest.mark.django_db
def test_who_is_not_the_ehr_has_nothing_done(queue):
    with pytest.raises(take_notice.NotFromTheEhr):
        take_notice.take(b'{"appointment_id": "x"}', {}, now=datetime.now(UTC))
    assert queue.sent == []


@pytest.mark.django_db
def test_many_notices_of_one_appointment_are_one_look_now_and_one_later(queue):
    for _ in range(200):
        tell_of(ID)
    assert queue.sent == [(ID, 0), (ID, notice_rate.TOGETHER_SECONDS)]
    tell_of("another")
    assert queue.sent[2:] == [("another", 0)]


@pytest.mark.django_db
def test_a_flood_is_cut_off_and_begins_again_with_the_next_minute(queue, settings, caplog):
    settings.EHR_NOTICE_READS_PER_MINUTE = 10
    now = datetime(2026, 12, 1, 12, 0, 30, tzinfo=UTC)
    for number in range(40):
        tell_of(f"a{number}", now)
    assert queue.sent == [(f"a{number}", 0) for number in range(10)]
    assert caplog.text.count("more than 10 notices in this minute") == 1
    tell_of("late", now + timedelta(seconds=30))
    assert queue.sent[10:] == [("late", 0)]


def test_a_visit_that_a_flood_left_out_comes_first_at_the_ordinary_look(booked, queue, settings, clock):
    settings.EHR_NOTICE_READS_PER_MINUTE = 1
    Booking.objects.update(followed_at=clock())
    tell_of("other", clock())
    tell_of(booked.appointment_ref.removeprefix("Appointment/"), clock())
    assert queue.sent == [("other", 0)]
    booked.refresh_from_db()
    assert booked.followed_at is None


def test_a_queue_that_is_away_asks_for_the_notice_once_more(booked, queue, clock):
    Booking.objects.update(followed_at=clock())
    queue.is_away = True
    key = booked.appointment_ref.removeprefix("Appointment/")
    with pytest.raises(take_notice.QueueAway):
        tell_of(key)
    booked.refresh_from_db()
    assert booked.followed_at is None
    queue.is_away = False
    tell_of(key)
    assert queue.sent == [(key, 0)]


def test_a_slot_marks_its_schedules_week_and_no_other(clinic, queue):
    slot = clinic.free()[0]
    soon, later = (
        week(clinic.schedule, slot.starts_at),
        week(clinic.schedule, slot.starts_at + timedelta(days=7)),
    )
    there = week(clinic.elsewhere, slot.starts_at)
    shown(soon, later, there)
    before = clinic.calls("GET", "Slot")
    changed = {
        "resourceType": "Slot",
        "id": "s",
        "status": "busy",
        "start": slot.starts_at.isoformat(),
        "schedule": {"reference": clinic.schedule.ehr_ref},
    }
    shown(soon, later, there)
    assert clinic.calls("GET", "Slot") == before
    take(changed)
    shown(later, there)
    assert clinic.calls("GET", "Slot") == before
    shown(soon)
    assert clinic.calls("GET", "Slot") == before + 1
    take({**changed, "schedule": {"reference": "Schedule/nobody"}})
    shown(soon, later, there)
    assert clinic.calls("GET", "Slot") == before + 1
    take({key: value for key, value in changed.items() if key != "start"})
    shown(there)
    assert clinic.calls("GET", "Slot") == before + 1
    shown(later)
    assert clinic.calls("GET", "Slot") == before + 2
    assert queue.sent == []


# --- Looking ----------------------------------------------------------------------------------------------------


def test_a_time_that_staff_took_is_gone_from_the_board_once_the_ehr_told_of_it(clinic, clock):
    slot = clinic.free()[0]
    here, there = week(clinic.schedule, slot.starts_at), week(clinic.elsewhere, slot.starts_at)
    assert int(slot.starts_at.timestamp()) in shown(here, there)
    key = clinic.sandbox.staff_books(clinic.clinician.ehr_ref, slot.starts_at, slot.ends_at)
    assert int(slot.starts_at.timestamp()) in shown(here, there)
    take_notice.look(f"Appointment/{key}", clock=clock)
    assert int(slot.starts_at.timestamp()) not in shown(here, there)
    before = clinic.calls("GET", "Slot")
    shown(here, there)
    assert clinic.calls("GET", "Slot") == before
    clinic.sandbox.staff_cancels(key)
    assert int(slot.starts_at.timestamp()) not in shown(here, there)
    take_notice.look(f"Appointment/{key}", clock=clock)
    assert int(slot.starts_at.timestamp()) in shown(here, there)


@pytest.mark.parametrize("names_the_old", [True, False])
def test_a_visit_that_staff_moved_is_followed_whichever_appointment_is_named(
    clinic, booked, clock, names_the_old
):
    slot = next(each for each in clinic.free() if each.starts_at >= booked.ends_at + timedelta(hours=2))
    old = booked.appointment_ref
    key = clinic.sandbox.staff_moves(old.removeprefix("Appointment/"), slot.starts_at, slot.ends_at)
    take_notice.look(old if names_the_old else f"Appointment/{key}", clock=clock)
    booked.refresh_from_db()
    assert (booked.appointment_ref, booked.starts_at) == (f"Appointment/{key}", slot.starts_at)
    assert booked.followed_at == clock()
    kinds = [message.kind for message in booked.messages.order_by("created_at")]
    assert kinds == ["confirmation", "moved"]
    # The other of the two notices changes nothing more, however often it comes.
    for ref in (old, f"Appointment/{key}", old):
        take_notice.look(ref, clock=clock)
    assert booked.messages.count() == 2


def test_a_visit_that_staff_cancelled_is_cancelled_at_once(clinic, booked, clock):
    clinic.sandbox.staff_cancels(booked.appointment_ref.removeprefix("Appointment/"))
    for _ in range(2):
        take_notice.look(booked.appointment_ref, clock=clock)
    booked.refresh_from_db()
    assert booked.state == BookingState.CANCELLED
    assert [message.kind for message in booked.messages.order_by("created_at")] == [
        "confirmation",
        "cancelled",
    ]


def test_the_echo_of_our_own_booking_has_nothing_read_anew(clinic, booked, clock):
    here = week(clinic.schedule, booked.starts_at)
    shown(here)
    before = clinic.calls("GET", "Slot")
    take_notice.look(booked.appointment_ref, clock=clock)
    shown(here)
    assert clinic.calls("GET", "Slot") == before
    booked.refresh_from_db()
    assert (booked.state, booked.messages.count()) == (BookingState.BOOKED, 1)


def test_what_the_ehr_does_not_know_and_what_it_does_not_answer_change_nothing(clinic, booked, clock):
    Booking.objects.update(followed_at=clock())
    take_notice.look("Appointment/11111111-0000-4000-8000-000000000000", clock=clock)
    booked.refresh_from_db()
    assert booked.followed_at == clock()
    clinic.sandbox.faults("500", type="Appointment", times=None)
    take_notice.look(booked.appointment_ref, clock=clock)
    clinic.sandbox.clear_faults()
    booked.refresh_from_db()
    assert (booked.state, booked.followed_at) == (BookingState.BOOKED, None)
