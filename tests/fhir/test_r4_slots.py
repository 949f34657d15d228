"""Free times on a plain R4 server, and what a look at it finds missing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from booking.scheduling.terms import Coding, Slot

from .little_ehr import LittleEhr, gateway, statement
from .r4_documents import MARK, NINE, VISIT, schedule, slot

DAY = {"first_on": date(2026, 12, 1), "last_on": date(2026, 12, 1)}
OFFICE = {"coding": [{"system": VISIT.system, "code": "OFFICE"}]}
VIDEO = {"coding": [{"system": VISIT.system, "code": "VIDEO"}]}


def starts(*slots: Any, minutes: int = 30, kind: Coding | None = None, **more: Any) -> list[int]:
    with gateway(LittleEhr(schedule(**more), *slots)) as opened:
        found = opened.free_slots("Schedule/ana", **DAY, minutes=minutes, appointment_type=kind)
    assert {each.ends_at - each.starts_at for each in found} <= {timedelta(minutes=minutes)}
    return [int((each.starts_at - NINE).total_seconds()) // 60 for each in found]


def test_the_search_names_the_schedule_and_the_span():
    ehr = LittleEhr(schedule(), slot("a", 0))
    with gateway(ehr) as opened:
        assert opened.free_slots("Schedule/ana", **DAY, minutes=30) == [
            Slot("Schedule/ana", NINE, NINE + timedelta(minutes=30))
        ]
    assert ehr.lines == ["GET Schedule/ana", "GET Slot"]
    assert ehr.sent[1].url.params.multi_items() == [
        ("schedule", "Schedule/ana"),
        ("start", "ge2026-11-30T10:00:00Z"),
        ("start", "lt2026-12-02T12:00:00Z"),
        ("_count", "100"),
    ]
    assert ehr.sent[1].headers["accept"] == "application/fhir+json"


@pytest.mark.parametrize(
    ("slots", "minutes", "wanted"),
    [
        ([slot("a", 0), slot("b", 30)], 30, [0, 30]),
        ([slot("a", 0), slot("b", 30)], 60, [0]),
        ([slot("a", 0), slot("b", 30)], 45, []),
        ([slot("a", 0), slot("b", 35)], 60, []),
        ([slot("a", 0, 20), slot("b", 20, 20), slot("c", 40, 20)], 40, [0, 20]),
        ([slot("a", 0, 15), slot("b", 15, 30), slot("c", 0, 45)], 45, [0]),
        ([slot("a", 0, 10), slot("b", 0, 20), slot("c", 10, 20), slot("d", 20, 10)], 30, [0]),
        ([slot("a", 0), slot("b", 0)], 30, [0]),
        ([slot("a", 0), slot("b", 30, status="busy"), slot("c", 60)], 30, [0, 60]),
        ([slot("a", 0), slot("b", 30), slot("x", 45, 60, status="busy-unavailable")], 30, [0]),
        ([slot("a", 0), slot("x", 0, status="busy-tentative", identifier=[MARK])], 30, []),
        ([slot("a", 0, status="entered-in-error")], 30, []),
        ([slot("a", 0, schedule={"reference": "Schedule/ben"})], 30, []),
        ([slot("a", -5_000_000)], 30, []),
    ],
)
def test_times_are_slots_of_the_length_or_runs_that_add_up_to_it(slots, minutes, wanted):
    ehr = LittleEhr(schedule(), *slots)
    # Whatever it is asked for, it sends everything.
    ehr.trip = lambda asked, go_on: (
        go_on(asked)
        if asked.url.path.endswith("ana")
        else httpx.Response(
            200,
            json={"resourceType": "Bundle", "entry": [{"resource": one} for one in ehr.all("Slot")]},
        )
    )
    with gateway(ehr) as opened:
        found = opened.free_slots("Schedule/ana", **DAY, minutes=minutes)
    assert [int((each.starts_at - NINE).total_seconds()) // 60 for each in found] == wanted


@pytest.mark.parametrize(
    ("for_slot", "for_schedule", "is_offered"),
    [
        ({}, {}, True),
        ({"serviceType": [VIDEO]}, {}, True),
        ({"serviceType": [OFFICE]}, {}, False),
        ({"serviceType": [OFFICE, VIDEO]}, {}, True),
        ({"appointmentType": VIDEO, "serviceType": [OFFICE]}, {}, True),
        ({}, {"serviceType": [OFFICE]}, False),
        ({}, {"serviceType": [VIDEO]}, True),
    ],
)
def test_a_slot_or_a_schedule_that_says_what_it_is_for_is_for_that(for_slot, for_schedule, is_offered):
    assert starts(slot("a", 0, **for_slot), kind=VISIT, **for_schedule) == ([0] if is_offered else [])
    assert starts(slot("a", 0, **for_slot), **for_schedule) == [0]


def test_a_search_outside_the_terms_is_not_made():
    with gateway(LittleEhr(schedule())) as opened:
        for wrong in ({"minutes": 0}, {"first_on": date(2026, 12, 2)}, {"last_on": date(2026, 12, 30)}):
            with pytest.raises(ValueError, match="free_slots"):
                opened.free_slots("Schedule/ana", **{**DAY, "minutes": 30, **wrong})


def examined(**says: Any) -> list[str]:
    with gateway(LittleEhr(says=statement(**says))) as opened:
        return [sentence.split(",")[0] for sentence in opened.examine().findings]


@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        ({}, []),
        ({"includes": ("Schedule:actor",)}, []),
        ({"without": ("Appointment?identifier",)}, ["Appointment cannot be searched by identifier"]),
        ({"without": ("Patient?identifier",)}, ["Patient cannot be searched by identifier"]),
        ({"without": ("Slot.update",)}, ["Slots cannot be updated"]),
        ({"versioning": "no-version"}, ["Slot updates do not depend on versions"]),
        ({"without": ("Appointment.create",)}, ["The server does not take new Appointments"]),
        ({"without": ("Appointment.update",)}, ["Appointments cannot be updated"]),
        ({"without": ("Patient.create",)}, ["The server does not take new Patients"]),
        ({"without": ("Slot.search-type",)}, ["The server does not search Slot"]),
        ({"without": ("Schedule.search-type",)}, ["The server does not search Schedule"]),
        ({"without": ("Slot?start", "Slot?schedule")}, ["Slot cannot be searched by schedule and start"]),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(says, wanted):
    assert examined(**says) == wanted


def test_an_examination_names_the_server():
    with gateway(LittleEhr()) as opened:
        found = opened.examine()
    assert (found.software, found.fhir_version, found.findings) == ("Little", "4.0.1", ())
