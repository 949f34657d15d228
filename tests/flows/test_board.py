"""The availability board: fetched once for many, honest about its age, and never waited for beyond the deadline."""

from __future__ import annotations

import random
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from booking import board, ehr
from booking.board import Line, Want, budget, fetching
from booking.board.known import Known
from booking.board.readings import Reading, monday_of, week_of
from booking.board.shared import ask
from booking.scheduling.openings import instant
from booking.scheduling.terms import Coding, Directory, Slot

from .conftest import TELEHEALTH

PACIFIC = "America/Los_Angeles"


def next_monday() -> date:
    """Of the week after this one as the board counts, where the first half of a Monday in UTC belongs to the week before."""
    return monday_of(week_of((datetime.now(UTC) - timedelta(hours=12)).date()) + 1)


def want(ref: str, *, minutes: int = 30, kind: Coding = TELEHEALTH, weeks: int = 1, begin: int = 0) -> Want:
    first_on = next_monday() + timedelta(days=7 * begin)
    return Want(Line(ref, PACIFIC, minutes, kind), first_on, first_on + timedelta(days=7 * weeks - 1))


@pytest.fixture
def wants(directory: Directory) -> list[Want]:
    """Three schedules, next week."""
    return [want(listing.ref) for listing in directory.schedules[:3]]


def of_length(known: Want, minutes: int) -> Want:
    return want(known.line.schedule_ref, minutes=minutes)


@pytest.fixture
def searches(portal_ehr):
    """How many slot searches the EHR has had since the test began."""

    def count() -> int:
        calls = {(each["method"], each["type"]): each["count"] for each in portal_ehr.calls()["calls"]}
        return calls.get(("GET", "Slot"), 0)

    before = count()
    return lambda: count() - before


def read(wants, seconds: float = 5.0) -> board.BoardView:
    return board.read(board.Wants(wants), deadline_seconds=seconds)


def make_old(wants, seconds: float) -> None:
    """As if the readings had been made that much earlier."""
    keys = [key for each in wants for key in each.keys]
    values = zip(keys, ask(lambda store: store.get(keys)), strict=True)
    readings = {key: Reading.from_bytes(value) for key, value in values if value}
    older = {key: replace(each, read_at=each.read_at - seconds) for key, each in readings.items()}
    ask(lambda store: store.put({key: each.to_bytes() for key, each in older.items()}, 900))


def slots(view: board.BoardView, known: Want) -> list[Slot]:
    length = timedelta(minutes=known.line.minutes)
    ref = known.line.schedule_ref
    return [Slot(ref, instant(start), instant(start) + length) for start in view.starts.get(ref, ())]


def eventually(look, seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)


def counts(view: board.BoardView) -> tuple[int, int, bool]:
    return view.pending, view.unreachable, view.is_stale


def test_the_board_shows_what_the_ehr_has_free(wants, searches):
    view = read(wants)
    for each in wants:
        span = {"first_on": each.first_on, "last_on": each.last_on, "minutes": 30}
        free = ehr.gateway().free_slots(each.line.schedule_ref, **span, appointment_type=TELEHEALTH)
        assert slots(view, each) == free
    assert any(view.starts.values())
    assert (counts(view), datetime.now(UTC) - view.read_at < timedelta(seconds=10)) == ((0, 0, False), True)


def test_what_was_read_a_moment_ago_is_not_read_again(wants, searches):
    views = [read(wants) for _ in range(3)]
    assert (searches(), views[0].starts, views[1].read_at) == (3, views[1].starts, views[2].read_at)


def read_at_once(wants, readers: int) -> list[tuple[board.BoardView, float]]:
    """What each was shown, and after how many seconds."""
    start = threading.Barrier(readers)

    def work(_number: int) -> tuple[board.BoardView, float]:
        start.wait()
        began = time.monotonic()
        return read(wants), time.monotonic() - began

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(work, range(readers)))


@pytest.mark.parametrize("most", [pytest.param(2, id="two-wait"), pytest.param(16, id="control-all-wait")])
def test_only_some_pages_wait_and_the_others_are_shown_what_there_is(portal_ehr, wants, monkeypatch, most):
    monkeypatch.setattr(board, "_waiting", threading.BoundedSemaphore(most))
    portal_ehr.faults("slow", type="Slot", delay_seconds=1.5, times=None)
    looks = read_at_once(wants, 8)
    at_once = [view.pending for view, took in looks if took < 1]
    assert at_once == [3] * (8 - most if most < 8 else 0)
    assert [counts(view) for view, took in looks if took >= 1] == [(0, 0, False)] * min(most, 8)
    assert counts(read(wants)) == (0, 0, False)


def test_many_readers_at_once_make_one_search_of_each_schedule(portal_ehr, wants, searches, monkeypatch):
    monkeypatch.setattr(board, "_waiting", threading.BoundedSemaphore(16))
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.3, times=None)
    views = [view for view, _ in read_at_once(wants, 16)]
    assert (len(views), searches()) == (16, 3)
    assert {counts(view) for view in views} == {(0, 0, False)}
    assert all(view.starts == views[0].starts for view in views)


def test_no_more_schedules_are_read_at_once_than_is_set(portal_ehr, directory, settings, searches):
    many = [want(each.ref) for each in directory.schedules[:24]]
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
    eventually(lambda: not fetching._under_way)
    assert searches() - before == read_again


def test_when_the_ehr_fails_the_old_times_are_shown_with_their_age(portal_ehr, wants):
    fresh = read(wants)
    make_old(wants, 300)
    portal_ehr.faults("403-html", type="Slot", times=None)
    read(wants)
    eventually(lambda: not fetching._under_way)
    view = read(wants)
    assert (view.starts, counts(view)) == (fresh.starts, (0, 0, True))
    assert abs(fresh.read_at - view.read_at - timedelta(seconds=300)) < timedelta(seconds=1)


def test_the_age_shown_is_that_of_the_oldest_reading(portal_ehr, wants):
    fresh = read(wants)
    make_old(wants[1:2], 40)
    assert abs(fresh.read_at - read(wants).read_at - timedelta(seconds=40)) < timedelta(seconds=1)


def test_when_the_ehr_fails_and_nothing_is_known_the_board_says_so(portal_ehr, wants):
    portal_ehr.faults("403-html", type="Slot", times=None)
    view = read(wants)
    assert (view.starts, view.read_at, counts(view)) == ({}, None, (0, 3, False))


def test_one_schedule_that_fails_does_not_hide_the_others(portal_ehr, wants):
    portal_ehr.faults("403-html", type="Slot", times=1)
    view = read(wants)
    assert (len(view.starts), counts(view)) == (2, (0, 1, False))


def test_a_schedule_that_failed_is_left_alone_for_a_while(portal_ehr, wants, searches):
    portal_ehr.faults("403-html", type="Slot", times=1)
    views = [read(wants[:1]) for _ in range(5)]
    assert ({counts(view) for view in views}, searches()) == ({(0, 1, False)}, 1)
    # As when that while is over.
    board.forget()
    assert (counts(read(wants[:1])), searches()) == ((0, 0, False), 2)


def test_after_three_failures_in_a_row_nothing_is_asked_of_the_ehr(portal_ehr, wants, searches):
    portal_ehr.faults("403-html", type="Slot", times=None)
    for each in wants:
        read([each])
    another = of_length(wants[0], 45)
    assert (counts(read([another])), searches()) == ((0, 1, False), 3)
    portal_ehr.clear_faults()
    assert (counts(read([another])), searches()) == ((0, 1, False), 3)
    board.forget()
    assert (counts(read([another])), searches()) == ((0, 0, False), 4)


def test_failures_with_an_answer_in_between_are_not_in_a_row(portal_ehr, wants, searches):
    first, second, third = wants
    for each in (first, second):
        portal_ehr.faults("403-html", type="Slot", times=1)
        assert counts(read([each])) == (0, 1, False)
    assert counts(read([third])) == (0, 0, False)
    for minutes in (45, 60):
        portal_ehr.faults("403-html", type="Slot", times=1)
        assert counts(read([of_length(third, minutes)])) == (0, 1, False)
    assert (counts(read([of_length(third, 15)])), searches()) == ((0, 0, False), 6)


def test_an_ehr_that_counts_as_away_leaves_fresh_times_as_they_are(portal_ehr, wants):
    fresh = read(wants[:1])
    portal_ehr.faults("403-html", type="Slot", times=None)
    for minutes in (15, 45, 60):
        read([of_length(wants[0], minutes)])
    view = read(wants[:1])
    assert (view.starts, counts(view)) == (fresh.starts, (0, 0, False))


def test_what_is_not_in_by_the_deadline_is_pending_and_comes_later(portal_ehr, wants, searches):
    portal_ehr.faults("slow", type="Slot", delay_seconds=2.5, times=1)
    began = time.monotonic()
    view = read(wants, seconds=1.0)
    assert (time.monotonic() - began < 2.0, counts(view), len(view.starts)) == (True, (1, 0, False), 2)
    eventually(lambda: not fetching._under_way)
    view = read(wants, seconds=1.0)
    assert (counts(view), len(view.starts), searches()) == ((0, 0, False), 3, 3)


def test_a_page_does_not_wait_for_what_there_is_no_room_to_ask(wants, searches, settings):
    settings.EHR_CALLS_PER_MINUTE = 1
    budget.note()
    began = time.monotonic()
    view = read(wants, seconds=5.0)
    took = time.monotonic() - began
    assert (view.pending, searches(), took < 2) == (3, 0, True), took


def test_old_times_are_shown_at_once_and_read_again_meanwhile(portal_ehr, wants, searches):
    fresh = read(wants)
    make_old(wants, 300)
    portal_ehr.faults("slow", type="Slot", delay_seconds=1.0, times=3)
    began = time.monotonic()
    view = read(wants)
    assert (view.starts, counts(view), time.monotonic() - began < 0.9) == (fresh.starts, (0, 0, False), True)
    eventually(lambda: read(wants).read_at > fresh.read_at)
    assert searches() == 6


def test_times_older_than_the_limit_are_not_shown(portal_ehr, wants, settings):
    read(wants)
    make_old(wants, settings.GRID_KEEP_SECONDS + 1)
    portal_ehr.faults("403-html", type="Slot", times=None)
    view = read(wants)
    assert (view.starts, view.read_at, counts(view)) == ({}, None, (0, 3, False))


def test_a_schedule_marked_as_stale_is_read_again_and_the_others_are_not(wants, searches):
    read(wants)
    board.mark_stale([wants[0].line.schedule_ref])
    assert counts(read(wants)) == (0, 0, False)
    assert searches() == 4


@pytest.mark.parametrize(("days", "is_read_again"), [(None, True), (0, True), (7, False)])
def test_a_time_booked_in_the_ehr_is_gone_once_its_day_is_marked_stale(
    portal_ehr, directory, wants, days, is_read_again
):
    before = read(wants)
    known = next(each for each in wants if slots(before, each))
    slot = slots(before, known)[0]
    listing = next(each for each in directory.schedules if each.ref == known.line.schedule_ref)
    portal_ehr.staff_books(listing.practitioner_ref, slot.starts_at, slot.ends_at)
    assert slot in slots(read(wants), known)
    on = None if days is None else slot.starts_at.date() + timedelta(days=days)
    board.mark_stale([known.line.schedule_ref], on)
    assert (slot in slots(read(wants), known)) != is_read_again


def test_a_reading_under_way_when_its_schedule_is_marked_stale_does_not_count_as_fresh(
    portal_ehr, wants, searches
):
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.6, times=1)
    reader = threading.Thread(target=read, args=(wants[:1],))
    reader.start()
    eventually(lambda: searches() == 1)
    board.mark_stale([wants[0].line.schedule_ref])
    reader.join()
    read(wants[:1])
    assert searches() == 2


def test_different_schedules_lengths_and_types_are_kept_apart(wants, settings):
    one = wants[0]
    others = [
        of_length(one, 45),
        want("Schedule/other"),
        want(one.line.schedule_ref, kind=replace(TELEHEALTH, code="308335008")),
        want(one.line.schedule_ref, begin=1),
    ]
    keys = {each.keys[0] for each in (one, *others)}
    settings.EHR_BASE_URL = "http://another.example"
    assert len({want(one.line.schedule_ref).keys[0], *keys}) == 6


def test_one_search_answers_for_as_many_days_as_the_ehr_permits(wants, searches):
    """Canvas answers for fourteen days at a time: this week and the next, the two after them, and so on."""
    ref = wants[0].line.schedule_ref
    asked = [(1, 1, 1), (2, 1, 1), (1, 4, 2), (0, 1, 3)]
    found = []
    for begin, weeks, _ in asked:
        assert counts(read([want(ref, begin=begin, weeks=weeks)])) == (0, 0, False)
        found.append(searches())
    assert found == [number for *_, number in asked]


def test_a_clinicians_claims_are_told_to_whoever_kept_something_of_theirs(wants):
    view = read(wants)
    keys = frozenset([board.claims_key(7), *wants[0].keys])
    assert board.has_changed(keys, view.number) is False
    board.note_claims([8])
    assert board.has_changed(keys, view.number) is False
    board.note_claims([7])
    assert board.has_changed(keys, view.number) is True


def test_nothing_wanted_is_nothing_read(portal_ehr):
    assert replace(read([]), number=0, made_at=0.0) == board.BoardView(
        {}, None, 0, 0, is_stale=False, until=float("inf")
    )


def test_what_is_seen_anew_from_an_earlier_view_is_what_is_seen_afresh(settings):
    settings.GRID_FRESH_SECONDS, settings.GRID_KEEP_SECONDS = 60, 600
    draw, wants = random.Random(3), board.Wants(want(f"Schedule/{n}", weeks=2) for n in range(6))
    seen, began = set(), time.time()
    known = Known(wants, began)
    for step in range(120):
        one, now = draw.choice(wants), began + 5 * step
        match draw.choice(["read", "read", "failed", "marked", "nothing"]):
            case "read":
                starts = array("I", sorted(draw.sample(range(1_800_000_000, 1_800_009_000, 900), 3)))
                made = Reading(now - draw.choice([0, 30, 300, 900]), 0.0, starts)
                ask(
                    lambda store, one=one, made=made: store.put({draw.choice(one.keys): made.to_bytes()}, 900)
                )
            case "failed":
                failed = Reading(now - 100, now, array("I", [1_800_000_000]))
                ask(lambda store, one=one, failed=failed: store.put({one.keys[0]: failed.to_bytes()}, 900))
            case "marked":
                board.mark_stale([one.line.schedule_ref], one.first_on if step % 2 else None)
        known = Known(wants, now, known)
        afresh = Known(wants, now)
        assert known.view() == afresh.view()
        assert [known.unsettled(), known.aged()] == [afresh.unsettled(), afresh.aged()]
        seen.add(counts(known.view()))
    # It was not the same thing over and over.
    assert len(seen) > 10
