"""Plain R4: what its CapabilityStatement says, what its switches change, and how a Slot is taken."""

from typing import Any

import pytest

from .r4_rig import RACERS, Json, Server, at_once, ids, issue

DEFAULTS = {
    "identifier_search": True,
    "conditional_update": True,
    "conditional_create": True,
    "json_patch": False,
    "slot_includes": True,
    "appointment_takes_slots": False,
    "relative_next_links": False,
    "search_lag_seconds": 0.0,
}
SLOT = {"start": "ge2026-11-24"}


def _resource(server: Server, kind: str) -> Json:
    (found,) = [each for each in server.get("metadata").json()["rest"][0]["resource"] if each["type"] == kind]
    return found


def _tag(resource: Json) -> str:
    return f'W/"{resource["meta"]["versionId"]}"'


def test_the_switches(plain: Server) -> None:
    assert plain.control("GET", "switches").json() == DEFAULTS
    answer = plain.control("PUT", "switches", {"medplum_version": "beta"})
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "There is no switch named 'medplum_version'."},
    )


def test_the_capability_statement(plain: Server) -> None:
    assert {
        each["type"]: [code["code"] for code in each["interaction"]]
        for each in plain.get("metadata").json()["rest"][0]["resource"]
    } == {
        "Patient": ["read", "search-type", "create", "update"],
        "Practitioner": ["read", "search-type"],
        "PractitionerRole": ["read", "search-type"],
        "Location": ["read", "search-type"],
        "HealthcareService": ["read", "search-type"],
        "Schedule": ["read", "search-type"],
        "Slot": ["read", "search-type", "update"],
        "Appointment": ["read", "search-type", "create", "update"],
    }
    slot = _resource(plain, "Slot")
    assert (slot["versioning"], slot["searchInclude"]) == ("versioned-update", ["Slot:schedule"])
    assert sorted(each["name"] for each in slot["searchParam"]) == [
        "appointment-type",
        "identifier",
        "schedule",
        "service-category",
        "service-type",
        "specialty",
        "start",
        "status",
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "Patient/x"), ("POST", "Slot"), ("PUT", "Practitioner/x"), ("PATCH", "Slot/x"), ("POST", "")],
)
def test_what_it_does_not_do(plain: Server, method: str, path: str) -> None:
    answer = plain.call(method, path, {})
    assert issue(answer)[:2] == (405, "not-supported")


def test_scheduling_operations_are_medplums(plain: Server) -> None:
    assert issue(plain.get("Appointment/$find")) == (404, "not-found", "Not found")


def test_versions_count_from_one(plain: Server) -> None:
    made = plain.post("Patient", {"resourceType": "Patient"})
    assert made.headers["Location"] == f"{plain.base}/Patient/{made.json()['id']}/_history/1"
    again = plain.put(f"Patient/{made.json()['id']}", made.json())
    assert (made.headers["ETag"], again.headers["ETag"]) == ('W/"1"', 'W/"2"')


def test_a_minimal_reply_on_request(plain: Server) -> None:
    answer = plain.post("Patient", {"resourceType": "Patient"}, Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (201, b"")


def test_an_unknown_parameter_is_passed_over_and_left_out_of_the_self_link(plain: Server) -> None:
    answer = plain.get("Patient", family="Delgado", shoe="42", _count=5)
    assert answer.json()["total"] == 1
    assert answer.json()["link"] == [
        {"relation": "self", "url": f"{plain.base}/Patient?family=Delgado&_count=5"}
    ]


def test_an_unknown_parameter_is_refused_on_request(plain: Server) -> None:
    answer = plain.call("GET", "Patient?shoe=42", Prefer="handling=strict")
    assert issue(answer) == (400, "invalid", "Unknown search parameter: shoe")


def test_medplums_end_parameter_is_unknown(plain: Server) -> None:
    schedule = plain.schedule("Okonkwo")["id"]
    every = plain.get("Slot", schedule=schedule, _count=1).json()["total"]
    assert plain.get("Slot", schedule=schedule, end="le2026-11-19", _count=1).json()["total"] == every


def test_a_count_alone(plain: Server) -> None:
    answer = plain.get("Patient", _summary="count").json()
    assert (answer["total"], "entry" in answer) == (8, False)


def test_relative_links(plain: Server) -> None:
    plain.switch(relative_next_links=True)
    links = {each["relation"]: each["url"] for each in plain.get("Patient", _count=2).json()["link"]}
    assert links["next"] == "Patient?_count=2&_offset=2"
    assert links["self"] == f"{plain.base}/Patient?_count=2"


def test_without_identifier_search_the_parameter_is_as_unknown_as_any(plain: Server) -> None:
    before = len(plain.search("Appointment"))
    assert "identifier" in [each["name"] for each in _resource(plain, "Appointment")["searchParam"]]
    plain.switch(identifier_search=False)
    assert "identifier" not in [each["name"] for each in _resource(plain, "Appointment")["searchParam"]]
    assert len(plain.search("Appointment", identifier="urn:portal|b-1")) == before
    assert len(plain.search("Patient", identifier="700000001")) == 1
    body = plain.visit(plain.free_slots("Okonkwo", **SLOT)[0])
    refused = plain.post("Appointment", body, If_None_Exist="identifier=urn:portal|b-1")
    assert issue(refused) == (400, "invalid", "Unknown search parameter: identifier")


def test_without_conditional_update_nothing_keeps_a_stale_writer_out(plain: Server) -> None:
    plain.switch(conditional_update=False)
    assert _resource(plain, "Slot")["versioning"] == "no-version"
    slot = plain.free_slots("Okonkwo", **SLOT)[0]
    assert "etag" not in plain.get(f"Slot/{slot['id']}").headers
    for status in ("busy-tentative", "busy"):
        answer = plain.put(f"Slot/{slot['id']}", {**slot, "status": status}, If_Match=_tag(slot))
        assert answer.status_code == 200


def test_without_conditional_create_twins_are_made(plain: Server) -> None:
    plain.switch(conditional_create=False)
    assert _resource(plain, "Patient")["conditionalCreate"] is False
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:portal", "value": "b-1"}]}
    made = [plain.post("Patient", body, If_None_Exist="identifier=b-1").status_code for _ in range(2)]
    assert made == [201, 201]


def test_without_includes_a_search_gives_slots_only(plain: Server) -> None:
    plain.switch(slot_includes=False)
    schedule = plain.schedule("Okonkwo")["id"]
    answer = plain.get("Slot", schedule=schedule, _include="Slot:schedule", _count=2).json()
    assert [each["resource"]["resourceType"] for each in answer["entry"]] == ["Slot", "Slot"]
    assert "searchInclude" not in _resource(plain, "Slot")


def test_a_patch_by_switch(plain: Server) -> None:
    plain.switch(json_patch=True)
    slot = plain.free_slots("Okonkwo", **SLOT)[0]
    steps = [
        {"op": "test", "path": "/status", "value": "free"},
        {"op": "replace", "path": "/status", "value": "busy"},
    ]
    assert plain.patch(f"Slot/{slot['id']}", steps).json()["status"] == "busy"
    assert issue(plain.patch(f"Slot/{slot['id']}", steps)) == (400, "invalid", "Test failed: busy != free")
    assert plain.get("metadata").json()["patchFormat"] == ["application/json-patch+json"]


def test_by_switch_the_server_takes_slots_itself(plain: Server) -> None:
    plain.switch(appointment_takes_slots=True)
    first, second = plain.free_slots("Okonkwo", **SLOT)[:2]
    made = plain.create("Appointment", **plain.visit(first))
    assert plain.read("Slot", first["id"])["status"] == "busy"
    refused = plain.post("Appointment", plain.visit(first))
    assert issue(refused) == (409, "conflict", f"Slot/{first['id']} is not free")
    moved = {**made, "slot": [{"reference": f"Slot/{second['id']}"}]}
    assert plain.put(f"Appointment/{made['id']}", moved).status_code == 200
    assert [plain.read("Slot", each["id"])["status"] for each in (first, second)] == ["free", "busy"]
    plain.put(f"Appointment/{made['id']}", {**moved, "status": "cancelled"})
    assert plain.read("Slot", second["id"])["status"] == "free"


def test_by_switch_one_of_twenty_gets_the_slot(plain: Server) -> None:
    plain.switch(appointment_takes_slots=True)
    body = plain.visit(plain.free_slots("Okonkwo", **SLOT)[0])
    assert at_once(lambda _: plain.post("Appointment", body).status_code) == {201: 1, 409: RACERS - 1}


def test_twenty_writers_with_if_match_leave_one(plain: Server) -> None:
    slot = plain.free_slots("Okonkwo", **SLOT)[0]
    body = {**slot, "status": "busy-tentative"}

    def claim(_: int) -> int:
        return plain.put(f"Slot/{slot['id']}", body, If_Match=_tag(slot)).status_code

    assert at_once(claim) == {200: 1, 412: RACERS - 1}
    assert plain.read("Slot", slot["id"])["status"] == "busy-tentative"


def test_twenty_naive_bookings_are_twenty_appointments(plain: Server) -> None:
    slot = plain.free_slots("Okonkwo", **SLOT)[0]

    def book(_: int) -> Any:
        if plain.read("Slot", slot["id"])["status"] != "free":
            return "seen"
        return plain.post("Appointment", plain.visit(slot)).status_code

    assert at_once(book) == {201: RACERS}
    assert len(ids(plain.search("Appointment", slot=f"Slot/{slot['id']}"))) == RACERS
