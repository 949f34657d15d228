"""What is forgotten, and what is kept: visits and their people stay, abandoned attempts and theirs go."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session

from booking.flows.forget import forget
from booking.models import Booking, BookingEvent, Message, PatientRecord, User
from booking.scheduling.lifecycle import BookingState
from tests import factories

pytestmark = pytest.mark.django_db

FORGOTTEN = {BookingState.EXPIRED, BookingState.RELEASED}


@pytest.fixture
def before(clock):
    """Everything a test makes was made before this instant."""
    return clock() + timedelta(hours=1)


@pytest.mark.parametrize("state", list(BookingState))
def test_only_attempts_that_never_became_a_visit_are_forgotten(state, before):
    made = factories.booking(state=state)
    BookingEvent.objects.create(booking=made, new_state=state, actor="patient")
    forget(before=before)
    is_kept = state not in FORGOTTEN
    assert [Booking.objects.count(), BookingEvent.objects.count(), PatientRecord.objects.count()] == [
        is_kept
    ] * 3


@pytest.mark.parametrize("state", sorted(FORGOTTEN))
def test_what_is_recent_is_kept(state, clock):
    factories.booking(state=state)
    assert forget(before=clock() - timedelta(hours=1)) == 0
    assert (Booking.objects.count(), PatientRecord.objects.count()) == (1, 1)


def test_a_person_with_a_visit_is_kept_when_their_other_attempts_go(before):
    person, who = factories.patient(), factories.clinician()
    visit = factories.booking(patient=person, clinician=who)
    factories.booking(
        patient=person,
        clinician=who,
        state=BookingState.EXPIRED,
        starts_at=visit.starts_at + timedelta(days=1),
    )
    forget(before=before)
    assert (list(Booking.objects.all()), list(PatientRecord.objects.all())) == ([visit], [person])


def test_a_person_with_an_account_is_kept(before):
    person = factories.patient(user=User.objects.create(username="ana"))
    forget(before=before)
    assert list(PatientRecord.objects.all()) == [person]


def test_a_person_who_never_booked_is_forgotten(before):
    factories.patient()
    assert forget(before=before) == 1
    assert PatientRecord.objects.count() == 0


def test_messages_of_what_is_forgotten_go_with_it(before, clock):
    made = factories.booking(state=BookingState.EXPIRED)
    Message.objects.create(booking=made, kind="confirmation", channel="sms", recipient="x", due_at=clock())
    forget(before=before)
    assert Message.objects.count() == 0


def test_sessions_that_ended_are_forgotten(clock):
    for name, hours in (("over", -1), ("live", 1)):
        Session.objects.create(
            session_key=name, session_data="", expire_date=clock() + timedelta(hours=hours)
        )
    assert forget(before=clock()) == 1
    assert list(Session.objects.values_list("session_key", flat=True)) == ["live"]
