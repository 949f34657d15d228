"""Many clients at once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .rig import TODAY, Clinic

RACERS = 20


def _at_once(clinic: Clinic, body: dict[str, Any]) -> Counter[int]:
    start = threading.Barrier(RACERS)

    def race(_: int) -> int:
        start.wait()
        return clinic.post("/Appointment", body).status_code

    with ThreadPoolExecutor(RACERS) as pool:
        return Counter(pool.map(race, range(RACERS)))


@pytest.mark.parametrize(("allowed", "outcome"), [(False, {201: 1, 422: 19}), (True, {201: 20})])
def test_twenty_racers_for_one_time(clinic: Clinic, allowed: bool, outcome: dict[int, int]) -> None:
    clinic.switch(allow_double_booking=allowed)
    assert _at_once(clinic, clinic.visit()) == outcome
    booked = clinic.search("Appointment", date="2026-11-24T17:00:00Z", _count=100)
    assert len(booked) == len(clinic.log()) == outcome[201]


def test_fifty_searches_beside_writes(clinic: Clinic) -> None:
    schedules = [each["id"] for each in clinic.search("Schedule")][:50]
    body = clinic.visit()

    def search(schedule: str) -> int:
        return clinic.get("/Slot", schedule=schedule, start=TODAY, end="2026-12-02").status_code

    def write(_: int) -> int:
        return clinic.post("/Appointment", body).status_code

    with ThreadPoolExecutor(60) as pool:
        reads, writes = pool.map(search, schedules), pool.map(write, range(10))
        assert (Counter(reads), Counter(writes)) == ({200: 50}, {201: 10})
