"""The page of a visit says what became of it, and no more than the EHR has said."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from booking.models.bookings import MOVED_ONTO_ANOTHER
from booking.scheduling.lifecycle import BookingState
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_time_that_is_still_held_leads_back_to_the_last_button() -> None:
    booking = factories.booking(state=BookingState.HELD)
    answer = factories.client(booking.owner_key).get(f"/visits/{booking.pk}/")
    assert (answer.status_code, answer["Location"]) == (302, "/book/review/")
    part = factories.client(booking.owner_key).get(f"/visits/{booking.pk}/", headers={"HX-Request": "true"})
    assert part["HX-Redirect"] == "/book/review/"


def test_nobody_else_is_led_anywhere() -> None:
    booking = factories.booking(state=BookingState.HELD)
    assert factories.client("somebody-else").get(f"/visits/{booking.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("state", "since", "heading", "looks_again"),
    [
        (BookingState.BOOKED, None, "Your visit is booked", False),
        (BookingState.CANCELLING, "now", "We are canceling this visit", True),
        (BookingState.NEEDS_STAFF, "now", "Our staff are canceling this visit", False),
        (BookingState.NEEDS_STAFF, None, "Our staff are confirming your visit", False),
        (BookingState.CANCELLED, "now", "This visit was canceled", False),
    ],
)
def test_a_visit_being_canceled_is_called_neither_booked_nor_canceled(
    state, since, heading, looks_again
) -> None:
    booking = factories.booking(state=state, cancelling_at=since and datetime.now(UTC))
    page = factories.client(booking.owner_key).get(f"/visits/{booking.pk}/").content.decode()
    assert re.findall(r"<h1[^>]*>([^<]+)</h1>", page) == [heading]
    assert ('hx-trigger="every 4s"' in page) is looks_again


@pytest.mark.parametrize(
    ("attention", "heading", "calendar", "links"),
    [
        (MOVED_ONTO_ANOTHER, "The clinic is moving this visit", 404, False),
        ("One of two visits was cancelled, the other stands", "Your visit is booked", 200, True),
    ],
)
def test_a_visit_moved_to_a_time_we_cannot_write_down_is_not_called_booked_at_the_old_one(
    attention, heading, calendar, links
) -> None:
    booking = factories.booking(
        state=BookingState.BOOKED, attention=attention, video_url="https://video.clinic.example/room"
    )
    client = factories.client(booking.owner_key)
    page = client.get(f"/visits/{booking.pk}/").content.decode()
    assert re.findall(r"<h1[^>]*>([^<]+)</h1>", page) == [heading]
    assert [words in page for words in ("video.clinic.example", "calendar")] == [links, links]
    assert client.get(f"/visits/{booking.pk}/visit.ics").status_code == calendar
    assert factories.client("somebody-else").get(f"/visits/{booking.pk}/").status_code == 404
