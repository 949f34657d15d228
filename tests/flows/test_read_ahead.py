"""What people look at is read before it grows old, what nobody looks at while there is room; never over the budget."""

from __future__ import annotations

import threading
import time

import pytest

from booking import board, ehr
from booking.board import budget, demand
from booking.board.shared import ask
from booking.flows import find_times, kept_times
from booking.models import standing

from .test_board import counts, eventually, make_old, read, searches, want, wants  # noqa: F401


def watch(wants) -> None:  # noqa: F811
    board.watch(board.Wants(wants))


def test_what_is_watched_is_read_again_half_way_to_being_old(wants, searches, settings):  # noqa: F811
    settings.GRID_FRESH_SECONDS = 60
    fresh = read(wants)
    watch(wants)
    assert board.read_ahead([]) == board.ReadAhead(3, 0, 0)
    make_old(wants, 20)
    assert board.read_ahead([]).due == 0
    make_old(wants, 11)
    assert (board.read_ahead([]), searches()) == (board.ReadAhead(3, 3, 3), 6)
    assert read(wants).read_at > fresh.read_at


def test_pages_leave_what_has_grown_old_to_the_job_while_it_is_at_work(wants, searches, settings):  # noqa: F811
    read(wants)
    board.read_ahead([])
    make_old(wants, settings.GRID_FRESH_SECONDS + 1)
    assert (counts(read(wants)), searches()) == ((0, 0, False), 3)
    # Where no such job is, as on one machine, they see to it themselves.
    board.forget()
    read(wants)
    make_old(wants, settings.GRID_FRESH_SECONDS + 1)
    read(wants)
    eventually(lambda: searches() == 9)


def test_what_nobody_watches_any_more_is_left_alone(wants, searches, monkeypatch):  # noqa: F811
    read(wants)
    watch(wants)
    make_old(wants, 300)
    monkeypatch.setattr(demand, "WATCHED_SECONDS", -1)
    assert (board.read_ahead([]), searches()) == (board.ReadAhead(0, 0, 0), 3)


def test_coming_days_are_read_before_anybody_asks(wants, searches, settings):  # noqa: F811
    assert (board.read_ahead(wants), searches()) == (board.ReadAhead(0, 3, 3), 3)
    assert (counts(read(wants)), searches()) == ((0, 0, False), 3)
    make_old(wants, settings.GRID_KEEP_SECONDS * demand.WARM_SHARE + 1)
    assert (board.read_ahead(wants), searches()) == (board.ReadAhead(0, 3, 3), 6)


def test_what_is_watched_comes_before_what_is_not(wants, searches, settings):  # noqa: F811
    settings.EHR_CALLS_PER_MINUTE = 10
    watched = wants[2:]
    watch(watched)
    for _ in range(5):
        ask(lambda store: store.note_call())
    # Of ten calls a minute reading ahead may use up six, five of which are gone.
    board.read_ahead(wants[:2], seconds=0.5)
    # The EHR has been asked a moment before its answer is on the board.
    eventually(lambda: read(watched, 0.0).read_at is not None)
    assert searches() == 1


def test_one_process_reads_ahead_at_a_time(wants, portal_ehr, searches):  # noqa: F811
    portal_ehr.faults("slow", type="Slot", delay_seconds=0.5, times=None)
    done = []
    threads = [threading.Thread(target=lambda: done.append(board.read_ahead(wants))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(each.asked for each in done), searches()) == ([0, 0, 0, 3], 3)


def test_an_ehr_that_is_away_is_not_read_ahead(wants, portal_ehr, searches):  # noqa: F811
    portal_ehr.faults("403-html", type="Slot", times=None)
    read(wants)
    assert (
        board.read_ahead([want(each.line.schedule_ref, minutes=45) for each in wants]).asked,
        searches(),
    ) == (0, 3)


def test_the_coming_days_of_a_clinic_are_those_its_pages_show(clinic, clock, settings, searches):  # noqa: F811
    settings.GRID_DEADLINE_SECONDS = 8.0
    lines = {each.line.key for each in find_times._coming_wants(clock())}
    found = find_times.find_times(clinic.visit(), block_number=0, now=clock(), stands=standing())
    shown = {each.line.key for kept in kept_times._kept.values() for each in kept.scope.wants}
    assert (bool(found.offers), shown <= lines, len(lines)) == (True, True, 6)


@pytest.mark.parametrize(("per_second", "per_minute"), [(4, 1000), (1000, 6)])
def test_pages_and_reading_ahead_together_stay_inside_the_budget(
    portal_ehr,
    directory,
    settings,
    per_second,
    per_minute,
    searches,  # noqa: F811
):
    settings.EHR_CALLS_PER_SECOND, settings.EHR_CALLS_PER_MINUTE = per_second, per_minute
    ehr.gateway().free_slots(
        directory.schedules[0].ref, first_on=want("x").first_on, last_on=want("x").last_on, minutes=30
    )
    before, began = searches(), time.monotonic()
    many = [want(each.ref) for each in directory.schedules[:40]]
    views = []
    threads = [threading.Thread(target=lambda: views.append(read(many, 2.0))) for _ in range(12)]
    threads += [threading.Thread(target=lambda: board.read_ahead(many, seconds=2.0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    asked = searches() - before
    assert asked <= min(per_minute - 1, per_second * (int(seconds) + 1))
    # Nothing is wrong for it: what is not in yet is said to be on its way.
    assert {(view.pending + len(view.starts), view.unreachable) for view in views} == {(40, 0)}
    assert budget.READING_AHEAD < 1
