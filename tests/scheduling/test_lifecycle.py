"""The life of a booking (DESIGN, section 4): every move that is allowed, and none besides."""

from __future__ import annotations

from itertools import product

import pytest

from booking.scheduling.lifecycle import CLAIMING, TRANSITIONS, BookingState, IllegalTransition, check

ALLOWED = """
held        -> submitting expired released
submitting  -> booked refused unconfirmed held
unconfirmed -> booked refused needs_staff unconfirmed
needs_staff -> booked refused cancelled
booked      -> cancelling
cancelling  -> cancelled booked needs_staff
expired     ->
released    ->
refused     ->
cancelled   ->
"""
TABLE = {
    BookingState(old.strip()): {BookingState(new) for new in news.split()}
    for old, news in (line.split("->") for line in ALLOWED.strip().splitlines())
}
MOVES = [pytest.param(old, new, id=f"{old}-to-{new}") for old, new in product(BookingState, BookingState)]


def is_allowed(old: BookingState, new: BookingState) -> bool:
    try:
        check(old, new)
    except IllegalTransition:
        return False
    return True


@pytest.mark.parametrize(("old", "new"), MOVES)
def test_a_move_is_allowed_or_forbidden_as_designed(old, new):
    assert is_allowed(old, new) is (new in TABLE[old])


def test_every_state_has_its_moves():
    assert set(TRANSITIONS) == set(BookingState)


def test_a_forbidden_move_says_which():
    with pytest.raises(IllegalTransition, match="a booking cannot go from expired to booked"):
        check(BookingState.EXPIRED, BookingState.BOOKED)


def test_a_state_takes_its_time_until_it_ends_without_a_visit():
    ended = {state for state in BookingState if not TRANSITIONS[state]}
    assert ended == {
        BookingState.EXPIRED,
        BookingState.RELEASED,
        BookingState.REFUSED,
        BookingState.CANCELLED,
    }
    assert set(BookingState) - ended == CLAIMING


def test_booked_is_never_reached_from_a_hold_alone():
    assert {old for old in BookingState if BookingState.BOOKED in TRANSITIONS[old]} == {
        BookingState.SUBMITTING,
        BookingState.UNCONFIRMED,
        BookingState.NEEDS_STAFF,
        BookingState.CANCELLING,
    }
