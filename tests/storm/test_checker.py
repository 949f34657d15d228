"""The checker finds what it is there to find: each kind of fault, alone, in a history that is otherwise in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from .checker import Delivered, Findings, Row, Visit, compare
from .people import BOOKED, Patient, Said

AT = datetime(2027, 1, 4, 17, tzinfo=UTC)
HALF = timedelta(minutes=30)
ROW = Row("b1", "booked", "ana@example.com", AT, AT + HALF / 60)
VISIT = Visit("a1", "b1", "Practitioner/1", AT, AT + HALF)
OTHER = Visit("a2", "b2", "Practitioner/1", AT + HALF, AT + 2 * HALF)
LATER = replace(OTHER, starts_at=AT + HALF / 2)
MAIL = Delivered("ana@example.com", "m1")
ANOTHER, MAIL_TOO = replace(ROW, id="b2", contact="bo@example.com"), Delivered("bo@example.com")


def history(*said: tuple[str, str]) -> list[Patient]:
    words = [Said(0, 0, what, 200, booking_id) for what, booking_id in said]
    return [Patient(1, "s", "ana@example.com", words)]


TOLD = history((BOOKED, "b1"))


def test_what_is_in_order_is_no_fault() -> None:
    found = compare(TOLD, [ROW], [VISIT], [MAIL], ["Number1"])
    assert found.faults == {}
    assert (found.counts["booked"], found.counts["appointments"], found.counts["messages"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (compare([], [ROW], [], [MAIL]), {"lost": ["b1"]}),
        (compare(TOLD, [ROW], [], [MAIL]), {"lost": ["b1"], "told_booked_but_absent": ["b1"]}),
        (
            compare(TOLD, [ROW], [replace(VISIT, is_live=False)], [MAIL]),
            {"lost": ["b1"], "told_booked_but_absent": ["b1"]},
        ),
        (
            compare(TOLD, [ROW], [VISIT, replace(VISIT, id="a9", practitioner="Practitioner/2")], [MAIL]),
            {"duplicates": ["b1"]},
        ),
        (compare(TOLD, [ROW, ANOTHER], [VISIT, LATER], [MAIL, MAIL_TOO]), {"overlaps": ["a2"]}),
        # Staff took the first away, and its time was another's to take.
        (compare(TOLD, [ROW, ANOTHER], [replace(VISIT, stands=False), LATER], [MAIL, MAIL_TOO]), {}),
        (compare(history((BOOKED, "b7")), [ROW], [VISIT], [MAIL]), {"told_and_unknown": ["b7"]}),
        (compare(TOLD, [ROW], [VISIT, OTHER], [MAIL]), {"unknown_to_us": ["b2"]}),
        (
            compare(TOLD, [replace(ROW, state="refused")], [VISIT], []),
            {"unknown_to_us": ["b1"]},
        ),
        (compare([], [replace(ROW, state="submitting")], [], []), {"undecided": ["b1"]}),
        (
            compare(TOLD, [replace(ROW, booked_at=AT + timedelta(minutes=16))], [VISIT], [MAIL]),
            {"late": ["b1"]},
        ),
        (compare(TOLD, [ROW], [VISIT], []), {"messages_lost": ["ana@example.com"]}),
        (compare(TOLD, [ROW], [VISIT], [MAIL, MAIL]), {"messages_twice": ["ana@example.com"]}),
        (
            compare([], [replace(ROW, state="refused")], [], [MAIL]),
            {"messages_for_nothing": ["ana@example.com"]},
        ),
        (compare(TOLD, [ROW], [VISIT], [MAIL], ["Number1", "Number1"]), {"people_twice": ["Number1"]}),
    ],
)
def test_each_fault_is_found_and_nothing_else(found: Findings, faults: dict[str, list[str]]) -> None:
    assert found.faults == faults
