"""What plain R4 and Medplum manners have in common: reads, searches, writes, paging, includes, errors."""

from itertools import chain
from typing import Any
from urllib.parse import urljoin

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome

from booking.sandbox.framework import Bundle

from .r4_rig import Server, ids, issue


def test_who_has_no_token_gets_nothing(server: Server) -> None:
    del server.http.headers["Authorization"]
    assert issue(server.get("Location")) == (401, "login", "Unauthorized")
    assert server.get("metadata").json()["fhirVersion"] == "4.0.1"


def test_every_reply_has_a_request_id(server: Server) -> None:
    for path in ("metadata", "Location", "Location/none"):
        assert len(server.get(path).headers["x-request-id"]) == 36
    assert server.call("GET", "Location", X_Request_Id="mine").headers["x-correlation-id"] == "mine"


@pytest.mark.parametrize("where", ["root", "base"])
def test_smart_configuration_names_the_token_address(server: Server, where: str) -> None:
    root = server.url if where == "root" else server.base
    found = server.http.get(f"{root}/.well-known/smart-configuration").json()
    assert found["token_endpoint"] == f"{server.url}{server.token_path}"


def test_health(server: Server) -> None:
    assert server.http.get(f"{server.url}/healthz").json() == {"status": "ok"}


def test_an_unknown_type(server: Server) -> None:
    assert issue(server.get("Observation")) == (404, "not-supported", "Unknown resource type: Observation")


def test_a_resource_that_is_not_there(server: Server) -> None:
    assert issue(server.get("Patient/none")) == (404, "not-found", "Not found")


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"family": "carter"}, 2),
        ({"family": "CARTER", "birthdate": "1990-07-08"}, 2),
        ({"family": "arter"}, 0),
        ({"family:contains": "arter"}, 2),
        ({"family:exact": "carter"}, 0),
        ({"family:exact": "Carter"}, 2),
        ({"family": "Carter", "phone": "5125550163"}, 1),
        ({"email": "ANA.delgado@mail.example"}, 1),
        ({"telecom": "5105550142"}, 1),
        ({"name": "ana del"}, 1),
        ({"given": "Jam", "family": "Carter,Delgado"}, 2),
        ({"birthdate": "1990"}, 2),
        ({"birthdate": "ge1990-07-08", "active": "true"}, 4),
        ({"birthdate": "lt1940-01-01"}, 1),
        ({"active": "false"}, 1),
        ({"identifier": "https://juniper-health.example/mrn|700000001"}, 1),
        ({"identifier": "700000001,700000002"}, 2),
        ({"identifier": "https://elsewhere.example|700000001"}, 0),
        ({"_lastUpdated": "gt2026-11-18T18:00:00Z"}, 0),
    ],
)
def test_patient_search(server: Server, params: dict[str, str], found: int) -> None:
    assert len(server.search("Patient", **params)) == found


def test_answers_are_valid_fhir(server: Server) -> None:
    CapabilityStatement.model_validate(server.get("metadata").json())
    slots = server.get("Slot", _count=2, _include="Slot:schedule").json()
    Bundle.model_validate(slots)
    OperationOutcome.model_validate(server.get("Patient/none").json())


def test_a_search_by_post(server: Server) -> None:
    form = "application/x-www-form-urlencoded"
    answer = server.post("Patient/_search", b"family=Delgado", Content_Type=form)
    assert [each["resource"]["name"][0]["given"] for each in answer.json()["entry"]] == [["Ana"]]


def test_slot_search_by_schedule_start_and_status(server: Server) -> None:
    schedule = server.schedule("Okonkwo")["id"]
    bounds = {"start": ["ge2026-11-24T17:00:00Z", "lt2026-11-24T20:00:00Z"]}
    every = server.search("Slot", schedule=f"Schedule/{schedule}", _sort="start", **bounds)
    assert len(every) == 12
    by_status = {
        status: ids(server.search("Slot", schedule=schedule, status=status, **bounds))
        for status in ("free", "busy", "busy-unavailable")
    }
    assert sorted(chain.from_iterable(by_status.values())) == sorted(ids(every))
    both = server.search("Slot", schedule=schedule, status="busy,busy-unavailable", **bounds)
    assert sorted(ids(both)) == sorted(by_status["busy"] + by_status["busy-unavailable"])
    assert by_status["free"]


def test_slot_search_over_several_schedules(server: Server) -> None:
    pair = [f"Schedule/{server.schedule(name)['id']}" for name in ("Okonkwo", "Nwosu")]
    day = {"start": ["ge2026-11-23", "lt2026-11-24"], "status": "free"}
    apart = [ids(server.search("Slot", schedule=each, **day)) for each in pair]
    assert sorted(ids(server.search("Slot", schedule=",".join(pair), **day))) == sorted(chain(*apart))
    assert all(apart)


def test_slot_search_by_service_type(server: Server) -> None:
    schedule = server.schedule("Beaumont")["id"]
    both = "http://snomed.info/sct|448337001"
    assert server.search("Slot", schedule=schedule, **{"service-type": "308335008"}) == []
    telehealth = server.search("Slot", schedule=schedule, **{"service-type": both})
    assert ids(telehealth) == ids(server.search("Slot", schedule=schedule))


def test_includes_reach_the_schedule_and_iterate_to_its_actors(server: Server) -> None:
    schedule = server.schedule("Okonkwo")
    answer = server.get(
        "Slot",
        schedule=schedule["id"],
        _count=3,
        _include="Slot:schedule",
        **{"_include:iterate": "Schedule:actor"},
    )
    entries = answer.json()["entry"]
    assert [each["search"]["mode"] for each in entries] == ["match"] * 3 + ["include"] * 3
    included = [(each["resource"]["resourceType"], each["resource"]["id"]) for each in entries[3:]]
    actors = {actor["reference"] for actor in schedule["actor"]}
    assert included[0] == ("Schedule", schedule["id"])
    assert {f"{kind}/{id_}" for kind, id_ in included[1:]} == actors
    assert all(each["fullUrl"].startswith(f"{server.base}/") for each in entries)


def test_a_reverse_include_and_a_chain(server: Server) -> None:
    entries = server.get(
        "Practitioner", family="Okonkwo", _revinclude="PractitionerRole:practitioner"
    ).json()["entry"]
    assert [each["resource"]["resourceType"] for each in entries] == ["Practitioner", "PractitionerRole"]
    role = server.one("PractitionerRole", **{"practitioner.family": "Okonkwo"})
    assert role["id"] == entries[1]["resource"]["id"]
    chained = server.search("Slot", **{"schedule.actor": role["practitioner"]["reference"], "status": "free"})
    assert chained
    assert {each["schedule"]["reference"] for each in chained} == {
        f"Schedule/{server.schedule('Okonkwo')['id']}"
    }


def test_pages_are_whole_and_disjoint(server: Server) -> None:
    schedule = server.schedule("Okonkwo")["id"]
    whole = ids(server.search("Slot", schedule=schedule))
    answer = server.get("Slot", schedule=schedule, _count=100)
    seen: list[str] = []
    while True:
        seen += [each["resource"]["id"] for each in answer.json()["entry"]]
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        if "next" not in links:
            break
        assert len(seen) % 100 == 0
        answer = server.http.get(urljoin(f"{server.base}/", links["next"]))
    assert seen == whole
    assert len(whole) == 420


def test_sorting(server: Server) -> None:
    born = [each["birthDate"] for each in server.search("Patient", _sort="-birthdate")]
    assert born == sorted(born, reverse=True)
    assert issue(server.get("Patient", _sort="shoe-size")) == (
        400,
        "invalid",
        "Unknown sort parameter: shoe-size",
    )


@pytest.mark.parametrize(
    ("kind", "params", "text"),
    [
        ("Slot", {"start": "tomorrow"}, "Invalid date value for search parameter start"),
        ("Patient", {"birthdate": "ge08/07/1990"}, "Invalid date value for search parameter birthdate"),
        ("Patient", {"family:sounds": "x"}, "Unsupported search modifier: sounds"),
        ("Slot", {"_include": "Slot:nothing"}, "Invalid include parameter: Slot:nothing"),
        ("Slot", {"_count": "many"}, "_count must be a whole number"),
    ],
)
def test_searches_that_make_no_sense(server: Server, kind: str, params: dict[str, str], text: str) -> None:
    assert issue(server.get(kind, **{"_count": 1, **params})) == (400, "invalid", text)


def test_create_read_and_find(server: Server) -> None:
    name, address = [{"family": "Ibsen", "given": ["Nora"]}], [{"system": "urn:portal", "value": "p-1"}]
    answer = server.post("Patient", {"resourceType": "Patient", "name": name, "identifier": address})
    made = answer.json()
    assert (answer.status_code, made["name"], made["identifier"]) == (201, name, address)
    assert answer.headers["ETag"] == f'W/"{made["meta"]["versionId"]}"'
    assert answer.headers["Location"].startswith(f"{server.base}/Patient/{made['id']}")
    assert answer.headers["Content-Type"] == "application/fhir+json"
    assert server.read("Patient", made["id"]) == made
    assert server.search("Patient", identifier="urn:portal|p-1") == [made]
    (entry,) = server.log()
    assert (entry["method"], entry["type"], entry["identifier"]) == ("POST", "Patient", ["urn:portal|p-1"])
    assert entry["resource"] == made


def test_an_update_makes_a_version_and_moves_the_index(server: Server) -> None:
    made = server.create("Patient", name=[{"family": "Ibsen"}])
    answer = server.put(f"Patient/{made['id']}", {**made, "name": [{"family": "Helmer"}]})
    changed = answer.json()
    assert (answer.status_code, changed["id"]) == (200, made["id"])
    assert changed["meta"]["versionId"] != made["meta"]["versionId"]
    assert server.search("Patient", family="Ibsen") == []
    assert server.search("Patient", family="Helmer") == [changed]


def test_an_update_never_creates(server: Server) -> None:
    body = {"resourceType": "Patient", "id": "new", "name": [{"family": "Ibsen"}]}
    assert issue(server.put("Patient/new", body)) == (404, "not-found", "Not found")


def test_an_update_under_another_id(server: Server) -> None:
    made = server.create("Patient", name=[{"family": "Ibsen"}])
    assert issue(server.put(f"Patient/{made['id']}", {**made, "id": "x"})) == (
        400,
        "invalid",
        "Incorrect ID",
    )


def test_if_match_keeps_a_stale_writer_out(server: Server) -> None:
    made = server.create("Patient", name=[{"family": "Ibsen"}])
    tag = f'W/"{made["meta"]["versionId"]}"'
    body = {**made, "active": True}
    assert server.put(f"Patient/{made['id']}", body, If_Match=tag).status_code == 200
    stale = server.put(f"Patient/{made['id']}", {**made, "active": False}, If_Match=tag)
    assert issue(stale) == (412, "conflict", "Precondition Failed")
    assert server.read("Patient", made["id"])["active"] is True


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "Ibsen"}, (400, "invalid")),
        ({"shoe": 42}, (400, "structure")),
        ({"telecom": [{"sytem": "phone"}]}, (400, "structure")),
        ({"birthDate": "yesterday"}, (400, "invalid")),
        ({"resourceType": "Slot"}, (400, "invalid")),
        ({"name": None}, (400, "structure")),
        ({"name": []}, (400, "structure")),
        ({"meta": 5}, (400, "structure")),
        ({"birthDate": 1990}, (400, "structure")),
        ({"contained": [{"resourceType": "Shoe"}]}, (400, "structure")),
    ],
)
def test_a_body_that_is_not_the_resource(
    server: Server, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = server.post("Patient", {"resourceType": "Patient", **changes})
    assert issue(answer)[:2] == expected
    assert server.log() == []


def test_a_body_that_is_no_json(server: Server) -> None:
    assert issue(server.post("Patient", b"<Patient/>")) == (400, "structure", "Content could not be parsed")


def test_if_none_exist_finds_instead_of_creating(server: Server) -> None:
    criteria = "identifier=urn:portal|b-1"
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:portal", "value": "b-1"}]}
    first = server.post("Patient", body, If_None_Exist=criteria)
    again = server.post("Patient", body, If_None_Exist=criteria)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    server.create("Patient", identifier=body["identifier"])
    several = server.post("Patient", body, If_None_Exist=criteria)
    assert several.status_code == 412


def test_appointments_are_found_by_what_they_name(server: Server) -> None:
    slot = server.free_slots("Okonkwo", start="ge2026-11-24")[0]
    patient = server.one("Patient", family="Delgado")["id"]
    made = server.create(
        "Appointment", **server.visit(slot, identifier=[{"system": "urn:portal", "value": "b-1"}])
    )
    for params in (
        {"identifier": "urn:portal|b-1"},
        {"slot": f"Slot/{slot['id']}"},
        {"patient": f"Patient/{patient}", "date": "ge2026-11-24", "status": "booked", "_sort": "date"},
        {"patient": patient, "date": slot["start"]},
    ):
        assert made["id"] in ids(server.search("Appointment", **params))
    assert server.search("Appointment", identifier="urn:portal|b-2") == []


def test_identifier_search_can_lag(server: Server) -> None:
    server.switch(search_lag_seconds=5)
    slot = server.free_slots("Okonkwo", start="ge2026-11-24")[0]
    named = [{"system": "urn:portal", "value": "b-1"}]
    made = server.create("Appointment", **server.visit(slot, identifier=named))
    assert server.search("Appointment", identifier="urn:portal|b-1") == []
    assert made["id"] in ids(server.search("Appointment", slot=f"Slot/{slot['id']}"))
    server.clock.advance(seconds=6)
    assert ids(server.search("Appointment", identifier="urn:portal|b-1")) == [made["id"]]


def test_a_server_looks_after_no_slots(server: Server) -> None:
    """Neither overlap, nor a Slot's state, nor whether a reference leads anywhere, is looked at."""
    slot = server.free_slots("Okonkwo", start="ge2026-11-24")[0]
    twins = [server.create("Appointment", **server.visit(slot)) for _ in range(2)]
    assert twins[0]["id"] != twins[1]["id"]
    assert server.read("Slot", slot["id"])["status"] == "free"
    nowhere = {"reference": "Slot/none"}
    assert server.create("Appointment", **server.visit(slot, slot=[nowhere]))["slot"] == [nowhere]
