"""The benchmark's own arithmetic: the oracle, what counts as a quiet run, and what is read from /proc."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from .data import CELLS, HALF_BUSY, NEARLY_FULL, Clinic, first_monday, write_roster
from .figures import Sample, Series, Stopwatch, percentile
from .oracle import Oracle, Wrong, by_clinician_day, differences, require
from .usage import cpu_seconds, memory_bytes, tree

TODAY, MONDAY = date(2026, 11, 25), date(2026, 11, 30)


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return Clinic(TODAY, HALF_BUSY, size=40)


def test_the_data_are_the_same_each_time_and_a_smaller_clinic_is_the_beginning_of_a_larger(
    clinic: Clinic,
) -> None:
    assert Clinic(TODAY, HALF_BUSY, size=3).people == clinic.people[:3]
    assert (len(clinic.days), clinic.days[0]) == (25, MONDAY)
    assert all("CA" in person.states and 1 <= len(person.states) <= 5 for person in clinic.people)


@pytest.mark.parametrize("today", [date(2026, 11, 25 + number) for number in range(6)])
def test_four_whole_weeks_counted_from_today_lie_within_the_data(today: date) -> None:
    clinic = Clinic(today, HALF_BUSY, size=1)
    for number in range(4):
        assert len(clinic.week(number)) == 5
    assert {(day - today).days // 7 for day in clinic.week(0)} == {clinic.horizon_days // 7 - 4}
    assert max(clinic.days) <= today + timedelta(days=43)


@pytest.mark.parametrize(("share", "least", "most"), [(HALF_BUSY, 0.47, 0.53), (NEARLY_FULL, 0.93, 0.97)])
def test_about_the_share_that_was_asked_for_is_busy(share: float, least: float, most: float) -> None:
    cells = [cell for person in Clinic(TODAY, share, size=40).people for day in person.busy for cell in day]
    assert least < sum(cells) / len(cells) < most


@pytest.mark.parametrize(
    ("today", "monday"),
    [
        (date(2026, 11, 25), MONDAY),
        (date(2026, 11, 28), MONDAY),
        (date(2026, 11, 29), date(2026, 12, 7)),
        (date(2026, 11, 30), date(2026, 12, 7)),
    ],
)
def test_the_data_begin_on_a_monday_that_no_midnight_reaches(today: date, monday: date) -> None:
    assert first_monday(today) == monday


def test_the_oracle_against_a_day_worked_out_by_hand(clinic: Clinic) -> None:
    busy = clinic.people[0].busy[0]
    at_nine = 1_796_058_000  # 2026-11-30 09:00 in Los Angeles
    short = {at_nine + 1200 * cell for cell in range(CELLS) if not busy[cell]}
    long = {at_nine + 1200 * cell for cell in range(CELLS - 1) if not busy[cell] and not busy[cell + 1]}
    assert Oracle(clinic, 20).day(0, MONDAY) == short
    assert Oracle(clinic, 40).day(0, MONDAY) == long
    assert Oracle(clinic, 20).day(0, date(2026, 12, 5)) == frozenset()
    assert Oracle(clinic, 20).next_available([0]) == min(short)


def test_an_answer_that_misses_or_adds_one_time_is_caught(clinic: Clinic) -> None:
    oracle = Oracle(clinic, 20)
    right = oracle.answer(range(3), clinic.week(0))
    slots = [(clinician, start) for (clinician, _), starts in right.items() for start in starts]
    require(by_clinician_day(slots), right, "ours")
    for wrong in (slots[1:], [*slots, (1, slots[0][1] + 60)]):
        assert len(differences(by_clinician_day(wrong), right)) == 1
        with pytest.raises(Wrong, match="1 clinician-days differ"):
            require(by_clinician_day(wrong), right, "ours")


def test_the_roster_leaves_free_what_the_oracle_says(clinic: Clinic, tmp_path: Path) -> None:
    write_roster(clinic, tmp_path / "roster.json")
    entry = json.loads((tmp_path / "roster.json").read_text())["staff"][0]
    oracle = Oracle(clinic, 20)
    minutes = {minute for start, end in entry["busy"] for minute in range(start, end)}
    for day in clinic.days:
        free = oracle.day(0, day)
        assert not {start // 60 for start in free} & minutes
    assert entry["busy"] == sorted(entry["busy"])
    assert sum(end - start for start, end in entry["busy"]) == (
        20 * sum(map(sum, clinic.people[0].busy)) + 480 * _working_days_outside(clinic)
    )


def _working_days_outside(clinic: Clinic) -> int:
    every = (date(2026, 11, 24) + timedelta(days=number) for number in range(48))
    return sum(day.weekday() < 5 and day not in clinic.days for day in every)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.95) == 7


def test_noisy_runs_are_left_out_while_enough_remain() -> None:
    quiet = [Sample(30 + number / 10, {"ms": 10.0 + number}) for number in range(3)]
    noisy = [Sample(60, {"ms": 99.0})] * 2
    summary = Series([*noisy, *quiet]).summary(30)
    assert (summary.runs, summary.discarded, summary.is_noisy) == (3, 2, False)
    assert (summary.median, summary.least, summary.most) == ({"ms": 11}, {"ms": 10}, {"ms": 12})
    summary = Series([*noisy, *quiet[:1]]).summary(30)
    assert (summary.runs, summary.is_noisy) == (3, True)


def test_runs_take_turns_and_noisy_ones_are_done_again() -> None:
    turns: list[str] = []
    loops = iter([30.0, 60.0, 60.0, 30.0, 30.0, 30.0])

    def act(name: str) -> dict[str, float]:
        turns.append(name)
        return {"ms": 1.0}

    watch = Stopwatch(runs=2, tries=2, calibrate=lambda: next(loops))
    watch.take({("a",): lambda: act("a"), ("b",): lambda: act("b")})
    assert turns == ["a", "b", "a", "b", "b"]
    summaries = watch.summaries()
    assert (summaries["a",].discarded, summaries["b",].discarded) == (0, 0 if summaries["b",].is_noisy else 1)


def test_usage_of_this_process() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.05:
        sum(range(10_000))
    assert os.getpid() in tree(os.getppid())
    resident, shared_out = memory_bytes(os.getpid())
    assert 5_000_000 < shared_out <= resident
