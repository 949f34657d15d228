"""Hoarding: how many times one session, contact and network may keep, counted by the database for all processes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection

from booking.flows import forget, hold_limits, hold_slot
from booking.models import Booking
from booking.models.bookings import Visitor
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState
from tests import factories

MINUTE = timedelta(minutes=1)


def held(clinic, clock, number: int, **more) -> Booking:
    starts_at = clock().replace(microsecond=0) + timedelta(days=3, hours=number)
    usual = {
        "state": BookingState.HELD,
        "clinician": clinic.clinician,
        "reason": clinic.reason,
        "starts_at": starts_at,
        "hold_expires_at": clock() + 5 * MINUTE,
        "hold_full_expires_at": clock() + 5 * MINUTE,
        "patient": None,
    }
    return factories.booking(**usual | more)


def may_hold(visitor: Visitor, now: datetime) -> bool:
    try:
        hold_limits.check(visitor, now=now)
    except Refusal as refusal:
        return refusal.code is not RefusalCode.HOLD_LIMIT
    return True


def somebody(network: str = "n") -> Visitor:
    return Visitor(uuid4().hex, network=network)


@pytest.mark.django_db
def test_a_network_keeps_as_many_times_as_the_limit_and_again_when_one_ends(clinic, clock, settings) -> None:
    settings.HOLDS_PER_NETWORK = 3
    kept = [held(clinic, clock, number, network_key="n") for number in range(2)]
    assert may_hold(somebody(), clock())
    kept.append(held(clinic, clock, 3, network_key="n"))
    assert [may_hold(somebody(each), clock()) for each in ("n", "another", "")] == [False, True, True]
    # Expiry is judged on reading: nobody has tidied anything up.
    clock.tick(301)
    assert may_hold(somebody(), clock())
    assert {each.state for each in Booking.objects.all()} == {BookingState.HELD}


@pytest.mark.django_db
def test_what_is_booked_is_no_hold_of_a_network(clinic, clock, settings) -> None:
    settings.HOLDS_PER_NETWORK = 1
    held(clinic, clock, 1, network_key="n", state=BookingState.BOOKED)
    held(clinic, clock, 2, network_key="n", state=BookingState.RELEASED)
    assert may_hold(somebody(), clock())


@pytest.mark.django_db
def test_a_session_takes_so_many_holds_an_hour_given_back_or_not(clinic, clock, settings) -> None:
    settings.HOLDS_PER_SESSION_HOUR = 3
    visitor = somebody()
    for number in range(3):
        assert may_hold(visitor, clock())
        held(clinic, clock, number, owner_key=visitor.owner_key, state=BookingState.RELEASED)
    assert [may_hold(each, clock()) for each in (visitor, somebody())] == [False, True]
    Booking.objects.update(created_at=clock() - timedelta(minutes=61))
    assert may_hold(visitor, clock())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("limit", "fits"), [pytest.param(2, False, id="limit"), pytest.param(0, True, id="control-none")]
)
def test_a_contact_keeps_as_many_times_as_the_limit(clinic, clock, settings, limit, fits) -> None:
    settings.HOLDS_PER_CONTACT = limit
    for number, written in enumerate(("ana@mail.example", "Ana@Mail.example")):
        held(clinic, clock, number, contact_value=written)
    third = held(clinic, clock, 3, contact_channel="", contact_value="", contact_verified_at=None)
    keep = partial(hold_limits.keep_contact, third, channel="email", verified_at=clock(), now=clock())
    if fits:
        keep(value="ana@mail.example")
        third.refresh_from_db()
        assert third.contact_value == "ana@mail.example"
    else:
        with pytest.raises(Refusal) as refused:
            keep(value="ana@mail.example")
        assert refused.value.code is RefusalCode.HOLD_LIMIT
        keep(value="other@mail.example")
        third.refresh_from_db()
        assert third.contact_value == "other@mail.example"


@pytest.mark.django_db
def test_a_hold_that_is_refused_leaves_the_one_before_it(clinic, clock, settings) -> None:
    settings.HOLDS_PER_SESSION_HOUR = 1
    visitor = somebody()
    first, second = (clinic.choice(slot.starts_at) for slot in clinic.free()[:2])
    kept = hold_slot.hold(clinic.visit(), first, visitor=visitor, now=clock())
    with pytest.raises(Refusal):
        hold_slot.hold(clinic.visit(), second, visitor=visitor, now=clock())
    kept.refresh_from_db()
    assert kept.is_live_hold(clock())
    assert kept.network_key == "n"


@pytest.mark.django_db
def test_the_network_is_forgotten_after_a_day(clinic, clock) -> None:
    booked = held(clinic, clock, 1, network_key="n", state=BookingState.BOOKED)
    forget.forget(before=clock() + MINUTE)
    booked.refresh_from_db()
    assert booked.network_key == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locks", [True, False], ids=["locked", "control-unlocked"])
def test_thirty_at_once_from_one_network_keep_no_more_than_the_limit(
    clinic, clock, settings, monkeypatch, locks
) -> None:
    settings.HOLDS_PER_NETWORK = 5
    # Thirty at once on two cores are no failing EHR.
    settings.EHR_READ_SECONDS, settings.EHR_TOTAL_SECONDS, settings.EHR_PAGE_SECONDS = 30, 40, 30
    settings.GRID_PARALLEL_READS = 24
    # Half an hour each, so that none is in another's way.
    slots = [slot for slot in clinic.free() if slot.starts_at.minute in (0, 30)][:30]
    is_free = hold_slot.is_free

    def is_free_and_slow(*args, **kwargs) -> bool:
        """The gap between counting and writing, held open as a busy server would."""
        time.sleep(0.5)
        return is_free(*args, **kwargs)

    monkeypatch.setattr(hold_slot, "is_free", is_free_and_slow)
    if not locks:
        monkeypatch.setattr(hold_limits, "lock", lambda what: None)
        # Another clinician each would not wait for one another; here the clinician's lock must not help either.
        monkeypatch.setattr(hold_slot, "lock_clinician", lambda clinician_id: None)

    def take(slot) -> bool:
        try:
            hold_slot.hold(clinic.visit(), clinic.choice(slot.starts_at), visitor=somebody(), now=clock())
        except Refusal:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(30) as pool:
        taken = sum(pool.map(take, slots))
    assert taken == Booking.objects.filter(state=BookingState.HELD).count()
    assert (taken == 5) if locks else (taken > 5)
