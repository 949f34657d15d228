"""The last page before a visit is booked, for a hold that what the patient told before did not reach."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from booking.models import Booking, PatientRecord
from booking.scheduling.lifecycle import BookingState
from tests import factories

pytestmark = pytest.mark.django_db


def before_review(patient: PatientRecord | None) -> tuple[Client, Booking]:
    """Somebody with a proved address whose process died as soon as the time was held."""
    held = factories.booking(
        state=BookingState.HELD, contact_channel="", contact_value="", contact_verified_at=None, patient=None
    )
    draft = {
        "reason": held.reason.code,
        "jurisdiction": "CA",
        "booking_id": str(held.pk),
        "patient_id": str(patient.pk) if patient else "",
        "contact": {
            "channel": "email",
            "value": "ana@mail.example",
            "verified_at": timezone.now().isoformat(),
        },
    }
    return factories.client(held.owner_key, draft), held


def test_what_was_told_before_is_not_asked_again() -> None:
    ana, other = factories.patient(), factories.patient()
    client, held = before_review(ana)
    answer = client.get("/book/review/")
    assert (answer.status_code, answer["Location"]) == (302, "/book/review/")
    held.refresh_from_db()
    assert (held.patient, held.contact_value) == (ana, "ana@mail.example")
    assert client.get("/book/review/").status_code == 200
    assert Booking.objects.filter(patient=other).count() == 0


def test_what_was_not_told_is_asked() -> None:
    client, held = before_review(None)
    answer = client.get("/book/review/")
    assert (answer.status_code, answer["Location"]) == (302, "/book/details/")
    held.refresh_from_db()
    assert held.patient is None


def test_a_contact_that_keeps_as_many_times_as_it_may_gives_this_one_back(settings) -> None:
    settings.HOLDS_PER_CONTACT = 1
    ana = factories.patient()
    client, held = before_review(ana)
    # The control: with somebody else's hold beside it the time is kept.
    factories.booking(state=BookingState.HELD, contact_value="other@mail.example")
    assert client.get("/book/review/")["Location"] == "/book/review/"

    client, held = before_review(ana)
    answer = client.get("/book/review/")
    assert (answer.status_code, answer["Location"]) == (302, "/book/times/")
    held.refresh_from_db()
    assert (held.state, held.patient) == (BookingState.RELEASED, None)
    draft = client.session["draft"]
    assert (draft["booking_id"], draft["refusal"]["code"]) == ("", "hold_limit")
