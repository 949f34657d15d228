"""The database is away for a moment just as the EHR has said something: it is written down once the database is back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import OperationalError, connection
from django.test import Client

from booking import crash_points
from booking.flows import confirm_booking, database_away
from booking.models import Booking
from booking.scheduling.errors import EhrUnavailable
from tests.journeys.steps import eventually

AWAY_SECONDS = 1.0
CREATE = {"method": "POST", "type": "Appointment"}


@pytest.fixture
def crash_at(crash_database, monkeypatch) -> Callable[[str], None]:
    """The database is away from when a process comes to this point for the first time."""

    def plan(point: str) -> None:
        left = [point]

        def reach(name: str) -> None:
            if name in left:
                left.remove(name)
                crash_database(AWAY_SECONDS)

        monkeypatch.setattr(crash_points, "reach", reach)

    return plan


@pytest.fixture(params=[False, True], ids=["control: no patience", "patient"])
def is_patient(request, monkeypatch) -> bool:
    if not request.param:
        monkeypatch.setattr(database_away, "PAGE_SECONDS", 0)
    return request.param


def submit(held: Booking, visitor, clock) -> str:
    """What whoever pressed the button meets."""
    try:
        return confirm_booking.submit(held, visitor=visitor, clock=clock).state
    except (OperationalError, EhrUnavailable) as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "point", "told", "expected"),
    [
        pytest.param(None, "create answered", "booked", "booked", id="booked"),
        pytest.param(None, "attempt on record", "booked", "booked", id="last look"),
        pytest.param("422", "create about to be sent", "refused", "refused", id="time taken"),
        pytest.param("429", "create about to be sent", "EhrUnavailable", "held", id="EHR did nothing"),
        pytest.param(
            "commit-then-no-answer", "create about to be sent", "unconfirmed", "unconfirmed", id="no answer"
        ),
    ],
)
def test_what_the_ehr_said_is_recorded(
    crash_at, is_patient, clinic, visitor, clock, fault, point, told, expected
):
    """Without patience the page fails, and the booking is in doubt until reconcile takes it over minutes later."""
    held = clinic.hold(visitor, now=clock())
    if fault:
        clinic.sandbox.faults(fault, **CREATE)
    crash_at(point)
    found = submit(held, visitor, clock)
    wait_for_the_database()
    state = Booking.objects.get(pk=held.pk).state
    assert (found, state) == ((told, expected) if is_patient else ("OperationalError", "submitting"))


def wait_for_the_database() -> None:
    """On a connection of its own, as the next request would."""
    connection.close()

    def is_back() -> bool:
        with suppress(OperationalError):
            connection.ensure_connection()
        return connection.connection is not None

    eventually(is_back)


def test_a_booking_that_was_found_is_recorded_and_given_back(
    crash_at, is_patient, clinic, visitor, clock, reconcile_at
):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("commit-then-no-answer", **CREATE)
    submit(held, visitor, clock)
    clinic.sandbox.clear_faults()
    crash_at("look-up answered")
    if is_patient:
        assert reconcile_at(120) == 1
    else:
        with pytest.raises(OperationalError):
            reconcile_at(120)
    wait_for_the_database()
    found = Booking.objects.get(pk=held.pk)
    assert (found.state, found.lease_until is None) == (
        ("booked", True) if is_patient else ("unconfirmed", False)
    )
    assert len(clinic.appointments(found)) == 1


def test_a_guest_whose_page_failed_as_their_time_was_held_has_it_when_they_press_again(crash_at, clinic):
    """Their bookings are found by a secret in the session. One that came with the hold would be lost with its page."""
    client = Client(raise_request_exception=False)
    client.post("/book/reason/", {"reason": clinic.reason.code})
    client.post("/book/state/", {"state": "CA"})
    choice = clinic.choice()
    slot = f"{choice.schedule_id}.{int(choice.starts_at.timestamp())}.video"
    crash_at("hold written")
    failed = client.post("/book/times/", {"slot": slot})
    wait_for_the_database()
    again = client.post("/book/times/", {"slot": slot})
    assert (failed.status_code, again.status_code, again["Location"]) == (500, 302, "/book/contact/")
    assert list(Booking.objects.values_list("state", flat=True)) == ["held"]
