"""The availability board: fetched once for many, honest about its age, and never waited for beyond the deadline."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from booking import board, ehr
from booking.board import Want
from booking.scheduling.terms import Directory

from .conftest import TELEHEALTH


@pytest.fixture
def wants(directory: Directory) -> list[Want]:
    """Three schedules, next week."""
    first_on = datetime.now(UTC).date() + timedelta(days=2)
    return [
        Want(listing.ref, 30, TELEHEALTH, first_on, first_on + timedelta(days=12))
        for listing in directory.schedules[:3]
    ]


@pytest.fixture
def searches(portal_ehr):
    """How many slot searches the EHR has had since the test began."""

    def count() -> int:
        calls = {(each["method"], each["type"]): each["count"] for each in portal_ehr.calls()["calls"]}
        return calls.get(("GET", "Slot"), 0)

    before = count()
    return lambda: count() - before


def read(wants, seconds: float = 5.0) -> board.BoardView:
    return board.read(wants, deadline_seconds=seconds)


def make_old(wants, seconds: float) -> None:
    """As if the readings had been made that much earlier."""
    for want in wants:
        read_at, starts = cache.get(want.key)
        cache.set(want.key, (read_at - seconds, starts))


def eventually(look, seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)


def counts(view: board.BoardView) -> tuple[int, int, bool]:
    return view.pending, view.unreachable, view.is_stale


def test_the_board_shows_what_the_ehr_has_free(wants, searches):
    view = read(wants)
    for want in wants:
        span = {"first_on": want.first_on, "last_on": want.last_on, "minutes": 30}
        assert view.slots[want.schedule_ref] == ehr.gateway().free_slots(
            want.schedule_ref, **span, appointment_type=TELEHEALTH
        )
    assert (counts(view), datetime.now(UTC) - view.read_at < timedelta(seconds=10)) == ((0, 0, False), True)


def test_what_was_read_a_moment_ago_is_not_read_again(wants, searches):
    views = [read(wants) for _ in range(3)]
    assert (searches(), views[0], views[1]) == (3, views[1], views[2])


def test_many_readers_at_once_make_one_search_of_each_schedule(portal_ehr, wants, searches):
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.3, times=None)
    views, start = [], threading.Barrier(16)

    def work() -> None:
        start.wait()
        views.append(read(wants))

    readers = [threading.Thread(target=work) for _ in range(16)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert (len(views), searches()) == (16, 3)
    assert {counts(view) for view in views} == {(0, 0, False)}
    assert all(view.slots == views[0].slots for view in views)


def test_no_more_schedules_are_read_at_once_than_is_set(portal_ehr, directory, settings, searches):
    first_on = datetime.now(UTC).date() + timedelta(days=2)
    many = [Want(each.ref, 30, TELEHEALTH, first_on, first_on) for each in directory.schedules[:24]]
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.1, times=None)
    assert counts(read(many)) == (0, 0, False)
    found = portal_ehr.calls()
    assert [each["count"] for each in found["calls"] if each["type"] == "Slot"] == [24]
    assert found["most_at_once"] <= settings.GRID_PARALLEL_READS


@pytest.mark.parametrize(
    ("age", "read_again"), [pytest.param(50, 0, id="fresh"), pytest.param(61, 3, id="no-longer-fresh")]
)
def test_a_reading_is_fresh_for_as_long_as_is_set(wants, searches, settings, age, read_again):
    settings.GRID_FRESH_SECONDS = 60
    read(wants)
    make_old(wants, age)
    before = searches()
    read(wants)
    assert searches() - before == read_again


def test_when_the_ehr_fails_the_old_times_are_shown_with_their_age(portal_ehr, wants):
    fresh = read(wants)
    make_old(wants, 300)
    portal_ehr.faults("403-html", type="Slot", times=None)
    view = read(wants)
    assert (view.slots, counts(view)) == (fresh.slots, (0, 0, True))
    assert abs(fresh.read_at - view.read_at - timedelta(seconds=300)) < timedelta(seconds=1)


def test_the_age_shown_is_that_of_the_oldest_reading(portal_ehr, wants):
    fresh = read(wants)
    make_old(wants[1:2], 40)
    assert abs(fresh.read_at - read(wants).read_at - timedelta(seconds=40)) < timedelta(seconds=1)


def test_when_the_ehr_fails_and_nothing_is_known_the_board_says_so(portal_ehr, wants):
    portal_ehr.faults("403-html", type="Slot", times=None)
    view = read(wants)
    assert (view.slots, view.read_at, counts(view)) == ({}, None, (0, 3, False))


def test_one_schedule_that_fails_does_not_hide_the_others(portal_ehr, wants):
    portal_ehr.faults("403-html", type="Slot", times=1)
    view = read(wants)
    assert (len(view.slots), counts(view)) == (2, (0, 1, False))


def test_a_schedule_that_failed_is_left_alone_for_a_while(portal_ehr, wants, searches):
    portal_ehr.faults("403-html", type="Slot", times=1)
    views = [read(wants[:1]) for _ in range(5)]
    assert ({counts(view) for view in views}, searches()) == ({(0, 1, False)}, 1)
    # As when that while is over.
    cache.clear()
    assert (counts(read(wants[:1])), searches()) == ((0, 0, False), 2)


def test_after_three_failures_in_a_row_nothing_is_asked_of_the_ehr(portal_ehr, wants, searches):
    portal_ehr.faults("403-html", type="Slot", times=None)
    for want in wants:
        read([want])
    another = replace(wants[0], minutes=45)
    assert (counts(read([another])), searches()) == ((0, 1, False), 3)
    portal_ehr.clear_faults()
    assert (counts(read([another])), searches()) == ((0, 1, False), 3)
    cache.clear()
    assert (counts(read([another])), searches()) == ((0, 0, False), 4)


def test_failures_with_an_answer_in_between_are_not_in_a_row(portal_ehr, wants, searches):
    first, second, third = wants
    for want in (first, second):
        portal_ehr.faults("403-html", type="Slot", times=1)
        assert counts(read([want])) == (0, 1, False)
    assert counts(read([third])) == (0, 0, False)
    for minutes in (45, 60):
        portal_ehr.faults("403-html", type="Slot", times=1)
        assert counts(read([replace(third, minutes=minutes)])) == (0, 1, False)
    assert (counts(read([replace(third, minutes=15)])), searches()) == ((0, 0, False), 6)


def test_an_ehr_that_counts_as_away_leaves_fresh_times_as_they_are(portal_ehr, wants):
    fresh = read(wants[:1])
    portal_ehr.faults("403-html", type="Slot", times=None)
    for minutes in (15, 45, 60):
        read([replace(wants[0], minutes=minutes)])
    view = read(wants[:1])
    assert (view.slots, counts(view)) == (fresh.slots, (0, 0, False))


def test_what_is_not_in_by_the_deadline_is_pending_and_comes_later(portal_ehr, wants, searches):
    portal_ehr.faults("slow", type="Slot", delay_seconds=2.5, times=1)
    began = time.monotonic()
    view = read(wants, seconds=1.0)
    assert (time.monotonic() - began < 2.0, counts(view), len(view.slots)) == (True, (1, 0, False), 2)
    eventually(lambda: all(cache.get(want.key) for want in wants))
    view = read(wants, seconds=1.0)
    assert (counts(view), len(view.slots), searches()) == ((0, 0, False), 3, 3)


def test_old_times_are_shown_as_pending_while_new_ones_are_on_their_way(portal_ehr, wants):
    fresh = read(wants)
    make_old(wants, 300)
    portal_ehr.faults("slow", type="Slot", delay_seconds=1.0, times=3)
    view = read(wants, seconds=0.2)
    assert (view.slots, counts(view)) == (fresh.slots, (3, 0, False))
    eventually(lambda: counts(read(wants)) == (0, 0, False))


def test_a_schedule_marked_as_stale_is_read_again_and_the_others_are_not(wants, searches):
    read(wants)
    board.mark_stale([wants[0].schedule_ref])
    assert counts(read(wants)) == (0, 0, False)
    assert searches() == 4


def test_a_time_booked_in_the_ehr_is_gone_once_its_schedule_is_marked_stale(portal_ehr, directory, wants):
    before = read(wants)
    want = next(each for each in wants if before.slots.get(each.schedule_ref))
    slot = before.slots[want.schedule_ref][0]
    listing = next(each for each in directory.schedules if each.ref == want.schedule_ref)
    portal_ehr.staff_books(listing.practitioner_ref, slot.starts_at, slot.ends_at)
    assert slot in read(wants).slots[want.schedule_ref]
    board.mark_stale([want.schedule_ref])
    assert slot not in read(wants).slots[want.schedule_ref]


def test_a_reading_under_way_when_its_schedule_is_marked_stale_does_not_count_as_fresh(
    portal_ehr, wants, searches
):
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.6, times=1)
    reader = threading.Thread(target=read, args=(wants[:1],))
    reader.start()
    eventually(lambda: searches() == 1)
    board.mark_stale([wants[0].schedule_ref])
    reader.join()
    read(wants[:1])
    assert searches() == 2


def test_different_lengths_types_and_days_are_kept_apart(wants, settings):
    one = wants[0]
    others = [
        replace(one, minutes=45),
        replace(one, schedule_ref="Schedule/other"),
        replace(one, appointment_type=replace(TELEHEALTH, code="308335008")),
        replace(one, first_on=one.first_on + timedelta(days=1)),
        replace(one, last_on=one.last_on - timedelta(days=1)),
    ]
    keys = {want.key for want in (one, *others)}
    settings.EHR_BASE_URL = "http://another.example"
    assert len({one.key, *keys}) == 7


def test_nothing_wanted_is_nothing_read(portal_ehr):
    assert read([]) == board.BoardView({}, None, 0, 0, is_stale=False)
