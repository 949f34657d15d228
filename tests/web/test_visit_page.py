"""The page of a visit says what became of it, and no more than the EHR has said."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

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
