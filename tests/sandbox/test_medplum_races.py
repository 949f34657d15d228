"""Many clients at once: who wins, and what the losers are told."""

from typing import Any

import pytest

from .medplum_rig import NOT_AVAILABLE, find, hold, send
from .r4_rig import Server, at_once


def _outcome(answer: Any) -> Any:
    if answer.status_code < 300:
        return answer.status_code
    details = answer.json()["issue"][0]["details"]
    return answer.status_code, details.get("coding", [{}])[0].get("code") or details["text"]


@pytest.mark.parametrize("operation", ["book", "hold"])
def test_twenty_at_one_time_have_one_winner(medplum: Server, operation: str) -> None:
    proposal = find(medplum)[0]
    outcome = at_once(lambda _: _outcome(send(medplum, operation, proposal)))
    assert outcome[201] == 1
    assert set(outcome) <= {201, (400, NOT_AVAILABLE[2]), (409, "40001")}
    assert len(medplum.search("Appointment", date=proposal["start"], status="booked,pending")) == 1


def test_twenty_at_twenty_times_mostly_conflict(medplum: Server) -> None:
    proposals = find(medplum)[::2][:20]
    outcome = at_once(lambda which: _outcome(send(medplum, "book", proposals[which])), 20)
    assert set(outcome) == {201, (409, "40001")}
    assert outcome[201] + outcome[409, "40001"] == 20
    medplum.switch(serialization_conflicts=False)
    rest = at_once(lambda which: _outcome(send(medplum, "book", proposals[which])), 20)
    assert rest[201] == outcome[409, "40001"]


def test_two_at_two_times_both_win(medplum: Server) -> None:
    proposals = find(medplum)[0:9:8]
    assert at_once(lambda which: _outcome(send(medplum, "book", proposals[which])), 2) == {201: 2}


def test_a_raw_slot_does_not_meet_a_booking(medplum: Server) -> None:
    """A plain create is in no serializable transaction, so it neither fails nor makes the booking fail."""
    proposal = find(medplum)[0]

    def act(which: int) -> int:
        if which:
            return int(send(medplum, "book", proposal).status_code)
        return medplum.post("Slot", proposal["contained"][0]).status_code

    outcome = at_once(act, 2)
    assert outcome in ({201: 2}, {201: 1, 400: 1})


def test_confirm_against_cancel_ends_in_one_or_the_other(medplum: Server) -> None:
    proposals = iter(find(medplum)[::3])
    seen: set[Any] = set()
    deadlock = 400, "deadlock detected"
    # As often as it takes until the two meet.
    for proposal in proposals:
        if deadlock in {outcome for _, outcome in seen}:
            break
        held = hold(medplum, proposal)

        def act(which: int, id_: str = held["id"]) -> Any:
            operation = ("$confirm", "$cancel")[which]
            return operation, _outcome(medplum.post(f"Appointment/{id_}/{operation}"))

        seen |= set(at_once(act, 2))
        visit = medplum.read("Appointment", held["id"])
        slot = medplum.get(visit["slot"][0]["reference"])
        assert (visit["status"], slot.status_code) in (("booked", 200), ("cancelled", 410))
    assert deadlock in {outcome for _, outcome in seen}
