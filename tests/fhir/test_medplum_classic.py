"""Medplum Schedules whose Slots the clinic made beforehand: JSON Patch claims, and transactions where they are real."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown, TimeTaken

from .documents import BOOKING_ID
from .little_ehr import BASE, LittleEhr, gateway, outcome
from .medplum_documents import schedule as kept_by_operations
from .r4_documents import MARK, OTHER_MARK, appointment, at, hold, move, request, schedule, slot
from .stand_in import StoppedClock

Json = dict[str, Any]
OURS = [str(BOOKING_ID)]


class LittleMedplum(LittleEhr):
    """Adds JSON Patch, and transactions: real ones, or batches that call themselves so."""

    def __init__(self, *resources: Json, does_transactions: bool = False) -> None:
        super().__init__(schedule(), *resources)
        self.does_transactions = does_transactions

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/fhir/")
        if request.method == "PATCH":
            return self._patch(path, request)
        if path.endswith("$reschedule"):
            return outcome(404, "not-found")
        if request.method == "POST" and not path:
            return self._bundle(request)
        return super().answer(request)

    def _patch(self, ref: str, request: httpx.Request) -> httpx.Response:
        assert request.headers["content-type"] == "application/json-patch+json"
        with self._lock:
            changed = self.plain(ref)
            for step in json.loads(request.content):
                key = step["path"].removeprefix("/")
                if step["op"] == "test" and changed.get(key) != step["value"]:
                    return outcome(400, "invalid")
                if step["op"] == "add":
                    changed[key] = step["value"]
                if step["op"] == "remove":
                    del changed[key]
            return httpx.Response(200, json=self.put(changed))

    def _bundle(self, request: httpx.Request) -> httpx.Response:
        bundle = json.loads(request.content)
        assert bundle["type"] == "transaction"
        with self._lock:
            before, done = dict(self.records), []
            for entry in bundle["entry"]:
                asked = entry["request"]
                headers = {"If-Match": asked["ifMatch"]} if "ifMatch" in asked else {}
                inner = httpx.Request(
                    asked["method"], f"{BASE}/{asked['url']}", headers=headers, json=entry["resource"]
                )
                answer = super().answer(inner)
                if answer.status_code >= 400 and self.does_transactions:
                    self.records = before
                    return answer
                response = {"status": str(answer.status_code)}
                if "location" in answer.headers:
                    response["location"] = answer.headers["location"]
                done.append({"response": response})
        return httpx.Response(
            200, json={"resourceType": "Bundle", "type": "transaction-response", "entry": done}
        )


def opened(ehr: Callable[[httpx.Request], httpx.Response], clock: StoppedClock | None = None) -> Any:
    return gateway(ehr, clock, dialect="medplum")


def clinic(*slots: Json, does_transactions: bool = False) -> LittleMedplum:
    return LittleMedplum(*(slots or (slot("a", 0), slot("b", 30))), does_transactions=does_transactions)


def statuses(ehr: LittleEhr) -> dict[str, tuple[str, list[str]]]:
    return {
        one["id"]: (one["status"], [mark["value"] for mark in one.get("identifier", [])])
        for one in ehr.all("Slot")
    }


def writes(ehr: LittleEhr) -> list[str]:
    return [line for line in ehr.lines if not line.startswith("GET")]


def test_a_slot_is_held_by_a_patch_that_tests_what_it_replaces():
    theirs = {"system": "http://clinic.example", "value": "7"}
    ehr = clinic(slot("a", 0, identifier=[theirs]))
    with opened(ehr) as medplum:
        medplum.hold_time(hold())
        medplum.release_time(hold())
    first, second = ehr.bodies("PATCH Slot/a")
    assert first == [
        {"op": "test", "path": "/status", "value": "free"},
        {"op": "test", "path": "/start", "value": at(0)},
        {"op": "test", "path": "/end", "value": at(30)},
        {"op": "test", "path": "/identifier", "value": [theirs]},
        {"op": "add", "path": "/status", "value": "busy-tentative"},
        {"op": "add", "path": "/identifier", "value": [theirs, MARK]},
    ]
    assert second[-2:] == [
        {"op": "add", "path": "/status", "value": "free"},
        {"op": "add", "path": "/identifier", "value": [theirs]},
    ]
    assert ehr.plain("Slot/a") == slot("a", 0, identifier=[theirs])
    assert ehr.sent[-1].url.path == "/fhir/Slot/a"


def test_a_mark_that_stood_alone_is_removed():
    ehr = clinic()
    with opened(ehr) as medplum:
        medplum.hold_time(hold())
        medplum.release_time(hold())
    assert ehr.bodies("PATCH Slot/a")[1][-1] == {"op": "remove", "path": "/identifier"}
    assert ehr.plain("Slot/a") == slot("a", 0)


@pytest.mark.parametrize("status", [400, 409, 412])
def test_who_is_second_is_told_by_looking_again(status):
    ehr = clinic()

    def meanwhile(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.method != "PATCH":
            return go_on(asked)
        ehr.put(slot("a", 0, status="busy", identifier=[OTHER_MARK]))
        return outcome(status, "invalid")

    ehr.trip = meanwhile
    with opened(ehr) as medplum, pytest.raises(TimeTaken):
        medplum.hold_time(hold())
    assert statuses(ehr)["a"] == ("busy", [OTHER_MARK["value"]])


def test_a_patch_that_is_refused_for_another_reason_is_no_taken_time():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15))
    ehr.trip = lambda asked, go_on: (
        outcome(400, "invalid")
        if (asked.method, asked.url.path) == ("PATCH", "/fhir/Slot/b")
        else go_on(asked)
    )
    with opened(ehr) as medplum, pytest.raises(EhrRejected) as caught:
        medplum.hold_time(hold())
    assert not isinstance(caught.value, TimeTaken)
    assert len(ehr.bodies("PATCH Slot/b")) == 4
    assert statuses(ehr) == {"a": ("free", []), "b": ("free", [])}


def test_where_transactions_are_batches_slots_go_first():
    ehr = clinic()
    with opened(ehr) as medplum:
        medplum.create_appointment(request())
        medplum.create_appointment(request(30))
    assert writes(ehr) == [
        "POST ",
        "PATCH Slot/a",
        "POST Appointment",
        "PATCH Slot/b",
        "POST Appointment",
    ]
    # The first try could do nothing at all, and nothing is left of it.
    assert len(ehr.records) == 5


def test_where_transactions_hold_slot_and_visit_are_made_together():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15), does_transactions=True)
    versions = {key: ehr.records[f"Slot/{key}"]["meta"]["versionId"] for key in "ab"}
    with opened(ehr) as medplum:
        ref = medplum.create_appointment(request())
        assert medplum.create_appointment(request()) == ref
    assert {line for line in writes(ehr) if "$" not in line} == {"POST "}
    *_, sent = ehr.bodies("POST ")
    assert [entry["request"] for entry in sent["entry"]] == [
        *({"method": "PUT", "url": f"Slot/{key}", "ifMatch": f'W/"{versions[key]}"'} for key in "ab"),
        {"method": "POST", "url": "Appointment"},
    ]
    assert [one["reference"] for one in sent["entry"][2]["resource"]["slot"]] == ["Slot/a", "Slot/b"]
    assert statuses(ehr) == {"a": ("busy", OURS), "b": ("busy", OURS)}
    assert len(ehr.all("Appointment")) == 1


def test_our_own_hold_becomes_the_visit_in_a_transaction():
    ehr = clinic(does_transactions=True)
    with opened(ehr) as medplum:
        medplum.hold_time(hold())
        medplum.create_appointment(request())
    assert statuses(ehr)["a"] == ("busy", OURS)
    assert len(ehr.all("Appointment")) == 1


def test_a_transaction_that_comes_second_leaves_nothing():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15), does_transactions=True)
    bundles = [0]

    def meanwhile(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.url.path == "/fhir/":
            bundles[0] += 1
            if bundles[0] == 3:
                ehr.put(slot("b", 15, 15, status="busy", identifier=[OTHER_MARK]))
        return go_on(asked)

    ehr.trip = meanwhile
    with opened(ehr) as medplum, pytest.raises(TimeTaken):
        medplum.create_appointment(request())
    assert statuses(ehr) == {"a": ("free", []), "b": ("busy", [OTHER_MARK["value"]])}
    assert ehr.all("Appointment") == []


def third_bundle(answer: httpx.Response | Exception) -> Any:
    """The first two are the probe's."""
    bundles = [0]

    def between(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.url.path != "/fhir/":
            return go_on(asked)
        bundles[0] += 1
        if bundles[0] != 3:
            return go_on(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return between


def rolled_back() -> httpx.Response:
    issue = {"code": "conflict", "details": {"text": "x", "coding": [{"code": "40001"}]}}
    return httpx.Response(409, json={"resourceType": "OperationOutcome", "issue": [issue]})


def answered(*statuses: str, location: str = "Appointment/nowhere") -> httpx.Response:
    entries = [{"response": {"status": status}} for status in statuses]
    entries[-1]["response"]["location"] = location
    return httpx.Response(
        200, json={"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (rolled_back(), None),
        (outcome(412, "conflict"), None),
        (httpx.Response(500), OutcomeUnknown),
        (httpx.ReadError("cut"), OutcomeUnknown),
        # Said to be stored, and is not.
        (answered("200", "201"), OutcomeUnknown),
        # A batch after all.
        (answered("412", "201"), OutcomeUnknown),
        (answered("201"), OutcomeUnknown),
        (answered("200", "201", location="Slot/1"), OutcomeUnknown),
        (outcome(429, "throttled"), EhrUnavailable),
        (outcome(422, "invalid"), EhrRejected),
    ],
)
def test_what_an_unclear_transaction_comes_to(answer, kind):
    ehr = clinic(does_transactions=True)
    ehr.trip = third_bundle(answer)
    with opened(ehr) as medplum:
        if kind is None:
            medplum.create_appointment(request())
            return
        with pytest.raises(EhrFailure) as caught:
            medplum.create_appointment(request())
        assert type(caught.value) is kind
        assert ehr.all("Appointment") == []
        assert statuses(ehr)["a"] == ("free", [])


def test_a_server_that_refuses_and_still_stores_is_not_trusted_with_transactions():
    ehr = clinic(does_transactions=True)

    def lies(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.url.path == "/fhir/":
            ehr.does_transactions = False
            go_on(asked)
            return outcome(412, "conflict")
        return go_on(asked)

    ehr.trip = lies
    with opened(ehr) as medplum:
        medplum.create_appointment(request())
    assert [one["status"] for one in ehr.all("Appointment")] == ["entered-in-error", "booked"]
    assert "PATCH Slot/a" in writes(ehr)


def test_whether_transactions_hold_is_tried_once():
    ehr = clinic(does_transactions=True)
    with opened(ehr) as medplum:
        medplum.create_appointment(request())
        medplum.create_appointment(request(30))
    assert len(ehr.bodies("POST ")) == 4


def booked(*more: Json) -> LittleMedplum:
    return LittleMedplum(
        slot("a", 0, status="busy", identifier=[MARK]), slot("b", 30), appointment("a"), *more
    )


def test_a_classic_visit_is_never_cancelled_by_the_operation():
    ehr = booked()
    with opened(ehr) as medplum:
        medplum.cancel_appointment("Appointment/visit")
    assert writes(ehr) == ["PUT Appointment/visit", "PATCH Slot/a"]
    assert ehr.plain("Slot/a") == slot("a", 0)
    assert ehr.records["Appointment/visit"]["status"] == "cancelled"


def test_a_classic_visit_moves_even_where_there_is_no_reschedule():
    ehr = booked()
    with opened(ehr) as medplum:
        medplum.move_appointment(move("Appointment/visit", 30))
    assert writes(ehr) == ["PATCH Slot/b", "PUT Appointment/visit", "PATCH Slot/a"]
    assert ehr.plain("Appointment/visit") == appointment("b", start=30)


def test_a_visit_does_not_move_between_the_two_ways_of_keeping_time():
    ehr = booked({**kept_by_operations(), "id": "ops"})
    with opened(ehr) as medplum, pytest.raises(EhrRejected, match="different ways"):
        medplum.move_appointment(move("Appointment/visit", 30, schedule_ref="Schedule/ops"))
    assert writes(ehr) == []


def test_what_a_schedule_is_is_read_once():
    ehr = clinic()
    with opened(ehr) as medplum:
        for _ in range(2):
            medplum.hold_time(hold())
            medplum.release_time(hold())
    assert ehr.lines.count("GET Schedule/ana") == 1


def test_a_state_that_a_role_names_is_a_license_here():
    jdn = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "jdn"}]
    }
    ehr = LittleMedplum(
        {"resourceType": "Practitioner", "id": "ana", "name": [{"family": "Ruiz"}]},
        {"resourceType": "Location", "id": "us-ca", "name": "California", "physicalType": jdn, "identifier": [{"value": "CA"}]},
        {
            "resourceType": "PractitionerRole",
            "id": "r",
            "practitioner": {"reference": "Practitioner/ana"},
            "location": [{"reference": "Location/us-ca"}],
        },
    )  # fmt: skip
    with opened(ehr) as medplum:
        (listing,) = medplum.directory().practitioners
    assert [each.jurisdiction for each in listing.licenses] == ["CA"]
