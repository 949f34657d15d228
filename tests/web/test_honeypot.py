"""A program that fills in every field of the form that sends codes is sent none; a person never meets that field."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.core import mail
from django.test import Client

from booking.models import Booking
from booking.scheduling.lifecycle import BookingState
from booking.web.forms import ContactForm
from tests import factories

PERSON = {"channel": "email", "email": "ana@mail.example"}


def is_taken(typed: Mapping[str, str]) -> bool:
    return ContactForm(typed).is_valid()


def test_only_who_fills_in_the_hidden_field_is_turned_away() -> None:
    assert [
        is_taken(PERSON | extra) for extra in ({}, {"website": ""}, {"website": "https://x.example"})
    ] == [
        True,
        True,
        False,
    ]


@pytest.fixture
def holder(db: None) -> Client:
    """Somebody with a time held, on their way to the form."""
    held = factories.booking(state=BookingState.HELD, patient=None, contact_value="", contact_channel="")
    Booking.objects.update(hold_expires_at=held.starts_at, hold_full_expires_at=held.starts_at)
    draft = {"booking_id": str(held.pk), "reason": held.reason.code, "jurisdiction": "CA"}
    return factories.client(held.owner_key, draft)


def test_a_program_is_sent_no_code_and_a_person_after_it_is(holder: Client, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    page = holder.post("/book/contact/", PERSON | {"website": "https://x.example"})
    assert (page.status_code, mail.outbox) == (422, [])
    assert "https://x.example" not in page.content.decode()
    assert holder.post("/book/contact/", PERSON | {"website": ""}).headers["Location"] == "/book/code/"
    assert [message.to for message in mail.outbox] == [["ana@mail.example"]]


def test_the_field_is_out_of_sight_reach_and_hearing(holder: Client) -> None:
    page = holder.get("/book/contact/?change=1").content.decode()
    hidden = page.split('<div hidden aria-hidden="true">')[1].split("</div>")[0]
    assert hidden.count("<input") == 1
    assert 'name="website" type="text" tabindex="-1" autocomplete="off"' in hidden
    assert page.count('name="website"') == 1
