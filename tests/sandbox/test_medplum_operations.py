"""$hold, $confirm, $book, $cancel and $reschedule, each in the versions that have it."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from .medplum_rig import NOT_AVAILABLE, at, find, hold, made, move, send, text_of, with_patient
from .r4_rig import Json, Server, issue


def _slots(medplum: Server, visit: Json) -> list[Json]:
    return [medplum.read("Slot", each["reference"].removeprefix("Slot/")) for each in visit["slot"]]


def test_a_hold_keeps_what_it_is_given(medplum: Server) -> None:
    given = with_patient(medplum, find(medplum)[0])
    visit, slot = made(send(medplum, "hold", given))
    assert (visit["status"], slot["status"]) == ("pending", "busy-tentative")
    assert visit["slot"] == [{"reference": f"Slot/{slot['id']}"}]
    assert "contained" not in visit
    for name in ("identifier", "comment", "participant", "start", "end", "serviceType"):
        assert visit[name] == given[name]
    assert given["start"] not in [each["start"] for each in find(medplum)]
    assert medplum.search("Appointment", identifier="urn:portal|b-1") == [visit]


def test_a_hold_never_ends_by_itself(medplum: Server) -> None:
    visit = hold(medplum, find(medplum)[0])
    medplum.clock.advance(days=2)
    medplum.authorize()
    assert medplum.read("Appointment", visit["id"])["status"] == "pending"


def test_a_buffer_is_held_beside_the_visit(medplum: Server) -> None:
    proposal = find(medplum, "Stein")[0]
    visit, own, after = made(send(medplum, "hold", proposal))
    assert [slot["status"] for slot in (own, after)] == ["busy-tentative", "busy-unavailable"]
    assert (after["start"], len(visit["slot"])) == (own["end"], 2)
    assert at(after["end"]) - at(after["start"]) == timedelta(minutes=10)


def test_a_confirmed_hold(medplum: Server) -> None:
    held = hold(medplum, find(medplum, "Stein")[0])
    visit, *slots = made(medplum.post(f"Appointment/{held['id']}/$confirm"), 200)
    assert (visit["id"], visit["status"]) == (held["id"], "booked")
    assert [slot["status"] for slot in slots] == ["busy", "busy-unavailable"]


@pytest.mark.parametrize(
    ("version", "status", "code"), [("beta", 409, "conflict"), ("5.1.13", 400, "invalid")]
)
def test_a_second_confirm(medplum: Server, version: str, status: int, code: str) -> None:
    medplum.switch(medplum_version=version)
    held = hold(medplum, find(medplum)[0])
    medplum.post(f"Appointment/{held['id']}/$confirm")
    again = medplum.post(f"Appointment/{held['id']}/$confirm")
    assert issue(again) == (status, code, "Appointment cannot be confirmed in 'booked' status")


@pytest.mark.parametrize(
    ("version", "served"),
    [("5.1.12", (404, 404)), ("5.1.13", (200, 404)), ("beta", (200, 200))],
)
def test_which_operations_there_are(medplum: Server, version: str, served: tuple[int, int]) -> None:
    medplum.switch(medplum_version=version)
    proposals = find(medplum)
    held = hold(medplum, proposals[0])
    confirmed = medplum.post(f"Appointment/{held['id']}/$confirm").status_code
    moved = move(medplum, held, proposals[5]["start"]).status_code
    assert (confirmed, moved) == served


def test_book_in_one_step(medplum: Server) -> None:
    given = with_patient(medplum, find(medplum)[0])
    visit, slot = made(send(medplum, "book", given))
    assert (visit["status"], slot["status"]) == ("booked", "busy")
    assert (visit["identifier"], visit["comment"]) == (given["identifier"], given["comment"])
    assert "serviceType" not in slot
    assert medplum.log()[-1]["identifier"] == ["urn:portal|b-1"]


def test_a_time_that_is_taken(medplum: Server) -> None:
    proposal = find(medplum)[0]
    (_, slot) = made(send(medplum, "book", proposal))
    for operation in ("book", "hold"):
        answer = send(medplum, operation, proposal)
        assert issue(answer) == NOT_AVAILABLE
        assert f"Slot/{slot['id']}" in answer.json()["issue"][0]["diagnostics"]


def test_a_time_too_near_to_another_through_its_buffer(medplum: Server) -> None:
    proposals = find(medplum, "Stein")
    first, second = next(
        (one, other)
        for one, other in pairwise(proposals)
        if one["contained"][1]["end"] > other["start"] >= one["start"]
    )
    made(send(medplum, "book", second))
    assert issue(send(medplum, "book", first)) == NOT_AVAILABLE


def test_a_time_outside_of_the_hours(medplum: Server) -> None:
    proposal = _moved(find(medplum)[0], timedelta(hours=-12))
    assert issue(send(medplum, "book", proposal)) == NOT_AVAILABLE


def test_a_past_time_can_be_booked(medplum: Server) -> None:
    past = find(medplum, start="2026-11-18T08:00:00Z", end="2026-11-18T18:00:00Z")[0]
    assert made(send(medplum, "book", past))[0]["status"] == "booked"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"serviceType": None}, "Appointment has no service reference"),
        ({"contained": None}, "Appointment has no contained Slot resources"),
        ({"slot": [{"reference": "Slot/x"}]}, "Proposed appointment must not have Slot references"),
    ],
)
def test_a_proposal_that_is_none(medplum: Server, changes: Json, text: str) -> None:
    changed = {**find(medplum)[0], **changes}
    proposal = {name: value for name, value in changed.items() if value is not None}
    assert issue(send(medplum, "book", proposal)) == (400, "invalid", text)


def test_a_proposal_of_another_length_or_without_its_buffer(medplum: Server) -> None:
    short = find(medplum)[0]
    short["contained"][0]["end"] = text_of(at(short["start"]) + timedelta(minutes=15))
    wrong = "Slot duration does not match scheduling parameters duration"
    assert issue(send(medplum, "book", short)) == (400, "invalid", wrong)
    bare = find(medplum, "Stein")[0]
    del bare["contained"][1]
    assert issue(send(medplum, "hold", bare))[2].endswith("(bufferAfter)")


def test_a_canceled_visit_loses_its_slots(medplum: Server) -> None:
    proposal = find(medplum, "Stein")[0]
    visit = made(send(medplum, "book", proposal))[0]
    answer = medplum.post(f"Appointment/{visit['id']}/$cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["slot"] == visit["slot"]
    for each in visit["slot"]:
        assert medplum.get(each["reference"]).status_code == 410
    again = medplum.post(f"Appointment/{visit['id']}/$cancel")
    assert issue(again) == (400, "invalid", "Loading slots failed")
    assert proposal["start"] in [each["start"] for each in find(medplum, "Stein")]


def test_cancel_on_a_classic_appointment_deletes_the_clinics_own_slot(medplum: Server) -> None:
    slot = medplum.free_slots("Okonkwo", start="ge2026-11-24")[0]
    visit = medplum.create("Appointment", **medplum.visit(slot))
    assert medplum.post(f"Appointment/{visit['id']}/$cancel").status_code == 200
    assert medplum.get(f"Slot/{slot['id']}").status_code == 410


def test_cancel_takes_only_what_still_stands(medplum: Server) -> None:
    slot = medplum.free_slots("Okonkwo", start="ge2026-11-24")[0]
    visit = medplum.create("Appointment", **medplum.visit(slot, status="arrived"))
    answer = medplum.post(f"Appointment/{visit['id']}/$cancel")
    assert issue(answer) == (400, "invalid", "Appointment cannot be canceled in 'arrived' status")
    assert medplum.post("Appointment/none/$cancel").status_code == 404
    assert medplum.post("Appointment/$cancel", {}).status_code == 404


def _old_book(medplum: Server, proposal: Json, **changes: Json) -> Any:
    patient = medplum.one("Patient", family="Delgado")["id"]
    return medplum.post(
        "Appointment/$book",
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "slot", "resource": {**proposal["contained"][0], **changes}},
                {"name": "patient-reference", "valueReference": {"reference": f"Patient/{patient}"}},
            ],
        },
    )


def test_the_oldest_book_takes_slots_and_keeps_nothing_else(medplum: Server) -> None:
    medplum.switch(medplum_version="5.1.12")
    proposal = find(medplum)[0]
    answer = _old_book(medplum, proposal)
    assert answer.status_code == 201
    visit, slot = [entry["resource"] for entry in answer.json()["entry"]]
    assert (visit["status"], slot["status"]) == ("booked", "busy")
    assert [each["status"] for each in visit["participant"]] == ["tentative", "accepted"]
    assert set(visit) == {"resourceType", "id", "meta", "status", "slot", "participant", "start", "end"}
    taken = (409, "conflict", "Requested time slot is no longer available")
    assert issue(_old_book(medplum, proposal)) == taken


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (timedelta(hours=-12), "No availability found at this time"),
        (None, "No matching scheduling parameters found"),
    ],
)
def test_the_oldest_book_refuses(medplum: Server, changes: timedelta | None, text: str) -> None:
    medplum.switch(medplum_version="5.1.12")
    proposal = find(medplum)[0]
    if changes is None:
        proposal["contained"][0]["end"] = text_of(at(proposal["start"]) + timedelta(minutes=25))
    else:
        proposal = _moved(proposal, changes)
    assert issue(_old_book(medplum, proposal)) == (400, "invalid", text)


@pytest.mark.parametrize(
    ("version", "by_slot", "by_appointment"), [("5.1.12", 201, 400), ("5.1.13", 201, 201), ("beta", 400, 201)]
)
def test_which_form_of_book_a_version_takes(
    medplum: Server, version: str, by_slot: int, by_appointment: int
) -> None:
    medplum.switch(medplum_version=version)
    one, other = find(medplum)[0:9:8]
    # From the beta on, $find's Slots have no serviceType; here it makes no odds.
    assert _old_book(medplum, one).status_code == by_slot
    assert send(medplum, "book", other).status_code == by_appointment


@pytest.mark.parametrize(
    ("version", "old_form", "orphans"),
    [("5.1.12", True, 1), ("5.1.13", True, 1), ("5.1.13", False, 0), ("beta", False, 0)],
)
def test_what_cancel_leaves_of_a_buffer(medplum: Server, version: str, old_form: bool, orphans: int) -> None:
    medplum.switch(medplum_version=version)
    proposal = find(medplum, "Stein")[0]
    answer = _old_book(medplum, proposal) if old_form else send(medplum, "book", proposal)
    visit = answer.json()["entry"][0]["resource"]
    medplum.post(f"Appointment/{visit['id']}/$cancel")
    left = medplum.search(
        "Slot", schedule=proposal["contained"][0]["schedule"]["reference"], start=proposal["end"]
    )
    assert len(left) == orphans


def test_a_move_keeps_the_appointment_and_changes_its_slots(medplum: Server) -> None:
    proposals = find(medplum)
    before = made(send(medplum, "book", with_patient(medplum, proposals[0])))[0]
    visit, slot = made(move(medplum, before, proposals[-1]["start"]), 200)
    changed = {"meta", "start", "end", "slot"}
    assert {name for name in visit if visit[name] != before[name]} == changed
    assert (visit["start"], visit["end"]) == (proposals[-1]["start"], proposals[-1]["end"])
    assert visit["slot"] == [{"reference": f"Slot/{slot['id']}"}]
    assert medplum.get(before["slot"][0]["reference"]).status_code == 410
    assert proposals[0]["start"] in [each["start"] for each in find(medplum)]


def test_a_move_of_a_hold_stays_a_hold(medplum: Server) -> None:
    proposals = find(medplum)
    visit, slot = made(move(medplum, hold(medplum, proposals[0]), proposals[-1]["start"]), 200)
    assert (visit["status"], slot["status"]) == ("pending", "busy-tentative")


def test_a_move_into_its_own_time(medplum: Server) -> None:
    """A quarter of an hour later overlaps the visit itself, which is what ignore-appointment is for."""
    proposals = find(medplum)
    first, second = next(
        (one, other)
        for one, other in pairwise(proposals)
        if at(other["start"]) - at(one["start"]) == timedelta(minutes=15)
    )
    visit = made(send(medplum, "book", first))[0]
    assert second["start"] not in [each["start"] for each in find(medplum)]
    ignoring = find(medplum, **{"ignore-appointment": f"Appointment/{visit['id']}"})
    assert ignoring == proposals
    assert issue(send(medplum, "hold", second)) == NOT_AVAILABLE
    assert made(move(medplum, visit, second["start"]), 200)[0]["start"] == second["start"]


def test_a_move_to_somebody_else(medplum: Server) -> None:
    visit = made(send(medplum, "book", with_patient(medplum, find(medplum)[0])))[0]
    other = find(medplum, "Srinivasan")[0]
    moved = made(move(medplum, visit, other["start"], "Srinivasan"), 200)[0]
    assert [each["actor"]["reference"] for each in moved["participant"]] == [
        visit["participant"][1]["actor"]["reference"],
        other["participant"][0]["actor"]["reference"],
    ]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (5, "Start time is not aligned to the scheduling grid"),
        (-12 * 60, "Requested time slot is not available"),
    ],
)
def test_a_move_that_cannot_be(medplum: Server, minutes: int, text: str) -> None:
    proposal = find(medplum)[0]
    visit = made(send(medplum, "book", proposal))[0]
    start = text_of(at(proposal["start"]) + timedelta(minutes=minutes))
    assert issue(move(medplum, visit, start)) == (400, "invalid", text)
    assert _slots(medplum, medplum.read("Appointment", visit["id"]))[0]["start"] == proposal["start"]


def test_a_move_of_what_has_ended_or_has_no_service(medplum: Server) -> None:
    proposals = find(medplum)
    visit = made(send(medplum, "book", proposals[0]))[0]
    medplum.post(f"Appointment/{visit['id']}/$cancel")
    answer = move(medplum, visit, proposals[-1]["start"])
    assert issue(answer) == (400, "invalid", "Appointment cannot be rescheduled in 'cancelled' status")
    classic = medplum.create("Appointment", **medplum.visit(medplum.free_slots("Okonkwo")[-1]))
    answer = move(medplum, classic, proposals[-1]["start"])
    assert issue(answer) == (400, "invalid", "Appointment has no service reference")


def _moved(proposal: Json, by: timedelta) -> Json:
    def shifted(resource: Json) -> Json:
        return {**resource, **{name: text_of(at(resource[name]) + by) for name in ("start", "end")}}

    return {**shifted(proposal), "contained": [shifted(each) for each in proposal["contained"]]}
