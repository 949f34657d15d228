"""Medplum's plain FHIR behavior, as measured on 5.1.12 and 5.1.13: versions, patches, deletes, Bundles, quotas."""

import base64
import json
import re
from typing import Any

import pytest

from .r4_rig import RACERS, Json, Server, at_once, ids, issue

DEFAULTS = {
    "medplum_version": "beta",
    "serialization_conflicts": True,
    "transaction_bundles": False,
    "points_per_minute": 50_000,
    "find_in_parameters": False,
    "search_lag_seconds": 0.0,
}
TAKE = [
    {"op": "test", "path": "/status", "value": "free"},
    {"op": "replace", "path": "/status", "value": "busy"},
]
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def _slot(medplum: Server) -> Json:
    return medplum.free_slots("Okonkwo", start="ge2026-11-24")[0]


def _tag(resource: Json) -> str:
    return f'W/"{resource["meta"]["versionId"]}"'


def _bundle(kind: str, *entries: tuple[str, str, Any], **request: str) -> Json:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {
                "request": {"method": method, "url": url, **request},
                **({"resource": resource} if resource else {}),
            }
            for method, url, resource in entries
        ],
    }


def test_the_switches(medplum: Server) -> None:
    assert medplum.control("GET", "switches").json() == DEFAULTS
    for body, sentence in (
        ({"medplum_version": "6"}, "medplum_version is '5.1.12' or '5.1.13' or 'beta'."),
        ({"points_per_minute": 1.5}, "points_per_minute is a whole number, 0 or more."),
    ):
        answer = medplum.control("PUT", "switches", body)
        assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_the_capability_statement_is_silent_on_operations_and_wrong_on_transactions(medplum: Server) -> None:
    statement = medplum.get("metadata").json()
    assert statement["software"] == {"name": "medplum", "version": "5.2.13-sandbox"}
    (rest,) = statement["rest"]
    assert rest["interaction"] == [{"code": "transaction"}, {"code": "batch"}]
    assert [each["type"] for each in rest["resource"] if "operation" in each] == []
    assert {each["versioning"] for each in rest["resource"]} == {"versioned"}
    medplum.switch(medplum_version="5.1.12")
    assert medplum.get("metadata").json()["software"]["version"] == "5.1.12-sandbox"


def test_a_create_answers_with_the_resource_and_its_address(medplum: Server) -> None:
    answer = medplum.post("Patient", {"resourceType": "Patient", "id": "mine"})
    made = answer.json()
    assert UUID.match(made["id"])
    assert UUID.match(made["meta"]["versionId"])
    assert (answer.status_code, answer.headers["ETag"]) == (201, _tag(made))
    assert answer.headers["Location"] == f"{medplum.base}/Patient/{made['id']}"


def test_an_update_that_changes_nothing_keeps_the_version(medplum: Server) -> None:
    made = medplum.create("Patient", active=True)
    answer = medplum.put(f"Patient/{made['id']}", made)
    assert (answer.status_code, answer.json()) == (200, made)
    assert len(medplum.log()) == 1


@pytest.mark.parametrize("form", ["{version}", '"{version}"', "*"])
def test_if_match_counts_only_in_its_weak_form(medplum: Server, form: str) -> None:
    slot = _slot(medplum)
    other = medplum.put(f"Slot/{slot['id']}", {**slot, "status": "busy"}).json()
    stale = form.format(version=slot["meta"]["versionId"])
    answer = medplum.put(f"Slot/{slot['id']}", {**other, "comment": "overwritten"}, If_Match=stale)
    assert answer.status_code == 200


def test_if_match_is_ignored_on_patch_and_delete(medplum: Server) -> None:
    slot = _slot(medplum)
    medplum.put(f"Slot/{slot['id']}", {**slot, "comment": "seen"})
    assert medplum.patch(f"Slot/{slot['id']}", TAKE, If_Match=_tag(slot)).status_code == 200
    assert medplum.call("DELETE", f"Slot/{slot['id']}", If_Match=_tag(slot)).status_code == 200


def test_a_patch_with_a_test_is_compare_and_set(medplum: Server) -> None:
    slot = _slot(medplum)
    answer = medplum.patch(f"Slot/{slot['id']}", TAKE)
    assert (answer.status_code, answer.json()["status"]) == (200, "busy")
    assert issue(medplum.patch(f"Slot/{slot['id']}", TAKE)) == (400, "invalid", "Test failed: busy != free")


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([{"op": "replace", "path": "/nothing/here", "value": 1}], "Value does not exist: /nothing/here"),
        ([{"op": "boil", "path": "/status"}], "Invalid operation: boil"),
        ([{"op": "add", "path": "/shoe", "value": 42}], 'Invalid additional property "shoe"'),
    ],
)
def test_a_patch_that_does_not_fit(medplum: Server, steps: list[Json], text: str) -> None:
    slot = _slot(medplum)
    answer = medplum.patch(f"Slot/{slot['id']}", steps)
    assert (answer.status_code, answer.json()["issue"][0]["details"]["text"]) == (400, text)
    assert medplum.read("Slot", slot["id"]) == slot


def test_a_patch_can_add_remove_move_and_copy(medplum: Server) -> None:
    made = medplum.create("Patient", name=[{"family": "Ibsen", "given": ["Nora"]}], gender="female")
    steps = [
        {"op": "add", "path": "/name/0/given/-", "value": "Maria"},
        {"op": "remove", "path": "/gender"},
        {"op": "copy", "from": "/name/0", "path": "/name/1"},
        {"op": "move", "from": "/name/0/family", "path": "/name/0/text"},
    ]
    patched = medplum.patch(f"Patient/{made['id']}", steps).json()
    assert "gender" not in patched
    assert patched["name"] == [
        {"given": ["Nora", "Maria"], "text": "Ibsen"},
        {"family": "Ibsen", "given": ["Nora", "Maria"]},
    ]


def test_what_was_deleted_is_gone(medplum: Server) -> None:
    slot = _slot(medplum)
    answer = medplum.call("DELETE", f"Slot/{slot['id']}")
    assert (answer.status_code, answer.json()["id"]) == (200, "ok")
    assert issue(medplum.get(f"Slot/{slot['id']}")) == (410, "deleted", "Gone")
    assert issue(medplum.put(f"Slot/{slot['id']}", slot)) == (410, "deleted", "Gone")
    assert slot["id"] not in ids(medplum.search("Slot", schedule=slot["schedule"]["reference"]))


def test_an_unknown_search_parameter(medplum: Server) -> None:
    assert issue(medplum.get("Patient", shoe="42")) == (400, "invalid", "Unknown search parameter: shoe")


def test_no_total_unless_asked(medplum: Server) -> None:
    assert "total" not in medplum.get("Patient").json()
    assert medplum.get("Patient", _total="accurate", _count=2).json()["total"] == 8


def test_pages_of_twenty_at_most_a_thousand(medplum: Server) -> None:
    assert len(medplum.get("Slot").json()["entry"]) == 20
    assert len(medplum.get("Slot", _count=5000).json()["entry"]) == 1000
    answer = medplum.get("Slot", _offset=10_001)
    assert issue(answer) == (400, "invalid", "Search offset exceeds maximum (got 10001, max 10000)")


def test_slots_are_found_by_their_end_too(medplum: Server) -> None:
    slot = _slot(medplum)
    found = medplum.search("Slot", schedule=slot["schedule"]["reference"], end=slot["end"])
    assert ids(found) == [slot["id"]]


def test_a_schedule_has_no_name(medplum: Server) -> None:
    answer = medplum.post(
        "Schedule", {"resourceType": "Schedule", "name": "x", "actor": [{"reference": "Practitioner/x"}]}
    )
    assert issue(answer) == (400, "structure", 'Invalid additional property "name"')


def test_slots_that_overlap_end_early_or_hang_in_the_air(medplum: Server) -> None:
    body = {
        "schedule": {"reference": "Schedule/none"},
        "status": "busy",
        "start": "2026-11-24T18:00:00Z",
        "end": "2026-11-24T17:00:00Z",
    }
    assert medplum.create("Slot", **body)["id"] != medplum.create("Slot", **body)["id"]


def test_an_update_by_criteria(medplum: Server) -> None:
    slot = _slot(medplum)
    criteria = f"Slot?_id={slot['id']}&status=free"
    taken = {**slot, "status": "busy"}
    assert medplum.put(criteria, taken).status_code == 200
    assert issue(medplum.put(criteria, taken))[:2] == (400, "invalid")
    without_id = {name: value for name, value in taken.items() if name not in ("id", "meta")}
    again = medplum.put(criteria, without_id)
    assert again.status_code == 201
    assert again.json()["id"] != slot["id"]


def test_a_batch(medplum: Server) -> None:
    slot = _slot(medplum)
    patch = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(json.dumps(TAKE).encode()).decode(),
    }
    entries = (
        ("POST", "Patient", {"resourceType": "Patient"}),
        ("PATCH", f"Slot/{slot['id']}", patch),
        ("PATCH", f"Slot/{slot['id']}", patch),
        ("GET", "Patient?family=Delgado", None),
        ("GET", "Patient/none", None),
    )
    answer = medplum.post("", _bundle("batch", *entries))
    bundle = answer.json()
    assert (answer.status_code, bundle["type"]) == (200, "batch-response")
    assert [each["response"]["status"] for each in bundle["entry"]] == ["201", "200", "400", "200", "404"]
    assert bundle["entry"][0]["response"]["location"].startswith(f"{medplum.base}/Patient/")
    assert (
        bundle["entry"][2]["response"]["outcome"]["issue"][0]["details"]["text"]
        == "Test failed: busy != free"
    )
    assert len(bundle["entry"][3]["resource"]["entry"]) == 1


def test_a_transaction_is_silently_a_batch(medplum: Server) -> None:
    slot = _slot(medplum)
    medplum.put(f"Slot/{slot['id']}", {**slot, "comment": "changed"})
    booking = _bundle(
        "transaction",
        ("PUT", f"Slot/{slot['id']}", {**slot, "status": "busy"}),
        ("POST", "Appointment", medplum.visit(slot)),
    )
    booking["entry"][0]["request"]["ifMatch"] = _tag(slot)
    answer = medplum.post("", booking)
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    assert [each["response"]["status"] for each in answer.json()["entry"]] == ["412", "201"]
    assert len(medplum.search("Appointment", slot=f"Slot/{slot['id']}")) == 1


def test_a_transaction_with_the_feature_is_all_or_nothing(medplum: Server) -> None:
    medplum.switch(transaction_bundles=True)
    slot = _slot(medplum)
    booking = _bundle(
        "transaction",
        ("POST", "Appointment", medplum.visit(slot)),
        ("PUT", f"Slot/{slot['id']}", {**slot, "status": "busy"}),
    )
    booking["entry"][1]["request"]["ifMatch"] = _tag(slot)
    assert medplum.post("", booking).status_code == 200
    assert issue(medplum.post("", booking)) == (412, "conflict", "Precondition Failed")
    assert len(medplum.search("Appointment", slot=f"Slot/{slot['id']}")) == 1


def test_entries_of_a_bundle_can_refer_to_each_other(medplum: Server) -> None:
    slot = _slot(medplum)
    named = "urn:uuid:0b0f9f0e-0000-4000-8000-000000000001"
    visit = medplum.visit(slot, participant=[{"actor": {"reference": named}, "status": "accepted"}])
    bundle = _bundle(
        "batch", ("POST", "Patient", {"resourceType": "Patient"}), ("POST", "Appointment", visit)
    )
    bundle["entry"][0]["fullUrl"] = named
    patient, made = [each["resource"] for each in medplum.post("", bundle).json()["entry"]]
    assert made["participant"][0]["actor"] == {"reference": f"Patient/{patient['id']}"}


def _points(medplum: Server) -> int:
    header = medplum.http.get(f"{medplum.url}/healthz").headers["RateLimit"]
    match = re.fullmatch(r'"requests";r=\d+;t=\d+, "fhirInteractions";r=(\d+);t=(\d+)', header)
    assert match is not None
    assert int(match.group(2)) <= 60
    return int(match.group(1))


def test_interactions_cost_points(medplum: Server) -> None:
    slot = _slot(medplum)
    before = _points(medplum)
    medplum.read("Slot", slot["id"])
    assert before - _points(medplum) == 1
    medplum.search("Patient", family="Delgado")
    assert before - _points(medplum) == 21
    medplum.create("Patient")
    assert before - _points(medplum) == 121


def test_points_used_up_come_back_within_a_minute(medplum: Server) -> None:
    medplum.switch(points_per_minute=150)
    medplum.control("POST", "reset")
    medplum.switch(points_per_minute=150)
    medplum.create("Patient")
    answer = medplum.post("Patient", {"resourceType": "Patient"})
    assert issue(answer) == (429, "throttled", "Too Many Requests")
    assert "retry-after" not in answer.headers
    batch = medplum.post("", _bundle("batch", ("POST", "Patient", {"resourceType": "Patient"})))
    assert (batch.status_code, batch.json()["entry"][0]["response"]["status"]) == (200, "429")
    medplum.clock.advance(seconds=60)
    medplum.create("Patient")
    medplum.switch(points_per_minute=0)
    medplum.create("Patient")
    medplum.create("Patient")


def _naive(medplum: Server, slot: Json) -> Any:
    """The flow of many a sample: read, create, set busy; with no condition on anything."""
    if medplum.read("Slot", slot["id"])["status"] != "free":
        return "seen"
    made = medplum.post("Appointment", medplum.visit(slot))
    medplum.put(f"Slot/{slot['id']}", {**slot, "status": "busy"})
    return made.status_code


def test_twenty_naive_bookings_are_twenty_appointments(medplum: Server) -> None:
    slot = _slot(medplum)
    assert at_once(lambda _: _naive(medplum, slot)) == {201: RACERS}
    assert len(medplum.search("Appointment", slot=f"Slot/{slot['id']}")) == RACERS


def test_twenty_patches_with_a_test_have_one_winner(medplum: Server) -> None:
    slot = _slot(medplum)
    outcome = at_once(lambda _: medplum.patch(f"Slot/{slot['id']}", TAKE).status_code)
    assert outcome == {200: 1, 400: RACERS - 1}


def test_twenty_updates_with_if_match_have_one_winner(medplum: Server) -> None:
    slot = _slot(medplum)
    body = {**slot, "status": "busy"}
    outcome = at_once(lambda _: medplum.put(f"Slot/{slot['id']}", body, If_Match=_tag(slot)).status_code)
    assert outcome == {200: 1, 412: RACERS - 1}


def test_twenty_patches_of_different_slots_all_win(medplum: Server) -> None:
    slots = medplum.free_slots("Okonkwo", start="ge2026-11-24")[:RACERS]
    outcome = at_once(lambda which: medplum.patch(f"Slot/{slots[which]['id']}", TAKE).status_code)
    assert outcome == {200: RACERS}


def test_concurrent_updates_overwrite_or_conflict(medplum: Server) -> None:
    made = medplum.create("Patient")

    def write(which: int) -> int:
        return medplum.put(f"Patient/{made['id']}", {**made, "name": [{"family": f"N{which}"}]}).status_code

    outcome = at_once(write)
    assert set(outcome) <= {200, 409}
    assert outcome[200] >= 1


def test_twenty_creates_if_none_exist_leave_one_and_lose_some_to_conflicts(medplum: Server) -> None:
    slot = _slot(medplum)
    body = medplum.visit(slot)
    criteria = f"slot=Slot/{slot['id']}"
    outcome = at_once(lambda _: medplum.post("Appointment", body, If_None_Exist=criteria).status_code)
    assert (outcome[201], set(outcome) - {409}) in ((1, {200, 201}), (1, {201}))
    assert len(medplum.search("Appointment", slot=f"Slot/{slot['id']}")) == 1
