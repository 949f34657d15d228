"""What every reply has in common: headers, bodies, errors, strictness and paging."""

import ast
import time
import uuid
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

import booking.sandbox
from booking.sandbox.framework import Bundle

from . import rig
from .rig import Clinic, issue, made


def test_the_sandbox_imports_nothing_else_of_the_portal() -> None:
    root = Path(booking.sandbox.__file__).parent
    imported = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                # No further up than the sandbox itself.
                assert node.level <= len(path.relative_to(root).parts), path
                if node.level == 0:
                    imported.add(node.module or "")
    assert not {name for name in imported if name.split(".")[0] in ("booking", "portal", "django")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metadata"),
        ("GET", "/Location"),
        ("GET", "/Appointment/none"),
        ("POST", "/auth/token/"),
        ("PATCH", "/Patient/none"),
        ("GET", "/nowhere"),
        ("GET", "/healthz"),
    ],
)
def test_every_reply_has_a_correlation_id(clinic: Clinic, method: str, path: str) -> None:
    stamp = clinic.http.request(method, path).headers["fumage-correlation-id"]
    assert str(uuid.UUID(stamp)) == stamp


def test_a_reply_is_dated_when_it_is_given(clinic: Clinic) -> None:
    """Or a record read in the second it was made in could not be written: its date would be before its making."""
    ends = time.monotonic() + 1.3
    while time.monotonic() < ends:
        before = int(time.time())
        dates = clinic.get("/Appointment/none").headers.get_list("Date")
        after = int(time.time())
        (dated,) = [parsedate_to_datetime(each).timestamp() for each in dates]
        assert before <= dated <= after


@pytest.mark.parametrize(
    "path", ["/metadata", "/Schedule", "/Practitioner", "/Location", "/Patient", "/Appointment"]
)
def test_fhir_replies_say_so(clinic: Clinic, path: str) -> None:
    assert clinic.get(path).headers["Content-Type"] == "application/fhir+json"


def test_the_capability_statement_lists_the_documented_parameters(clinic: Clinic) -> None:
    del clinic.http.headers["Authorization"]
    statement = clinic.get("/metadata").json()
    served = {
        each["type"]: (
            [interaction["code"] for interaction in each["interaction"]],
            sorted(parameter["name"] for parameter in each.get("searchParam", ())),
        )
        for each in statement["rest"][0]["resource"]
    }
    written = ["read", "update", "create", "search-type"]
    assert served == {
        "Appointment": (
            written,
            [
                "_id",
                "appointment-type",
                "date",
                "identifier",
                "location",
                "patient",
                "practitioner",
                "status",
            ],
        ),
        "Location": (["read", "search-type"], ["_id"]),
        "Patient": (
            written,
            [
                *("_id", "active", "birthdate", "email", "family", "gender", "given", "identifier"),
                *("name", "nickname", "phone"),
            ],
        ),
        "Practitioner": (
            ["read", "search-type"],
            ["_id", "active", "email", "include-non-schedulable-practitioners", "name", "npi-number"],
        ),
        "Schedule": (["search-type"], []),
        "Slot": (["search-type"], ["appointment-type", "duration", "end", "schedule", "start"]),
    }


def test_smart_configuration_names_the_token_endpoint(clinic: Clinic) -> None:
    found = clinic.get("/.well-known/smart-configuration").json()
    assert found["token_endpoint"] == f"{clinic.url}/auth/token/"


def test_a_create_answers_with_its_location_and_no_body(clinic: Clinic) -> None:
    answer = clinic.post("/Appointment", clinic.visit())
    id_ = made(answer)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"] == f"{clinic.url}/Appointment/{id_}/_history/1"
    assert answer.headers["Content-Length"] == "0"
    assert "Content-Type" not in answer.headers
    assert str(uuid.UUID(id_)) == id_


def test_an_update_answers_with_no_body(clinic: Clinic) -> None:
    id_ = clinic.book()
    answer = clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_))
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_other_forms_of_body_and_location(clinic: Clinic) -> None:
    clinic.switch(null_body=True, relative_location_header=True)
    answer = clinic.post("/Appointment", clinic.visit())
    id_ = made(answer)
    assert (answer.status_code, answer.content) == (201, b"null")
    assert answer.headers["Location"] == f"/Appointment/{id_}"
    assert answer.headers["Content-Type"] == "application/fhir+json"
    assert clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_)).content == b"null"


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"priorty": 1}, "structure", "body -> priorty — Extra inputs are not permitted"),
        ({"comment": ""}, "value", "body -> comment — String should match pattern"),
        (
            {"reasonCode": '[{"text": "quoted, not a list"'},
            "value",
            "body -> reasonCode — Input should be a valid list",
        ),
        ({"start": "2026-11-24T17:00"}, "value", "body -> start — Value error"),
        ({"start": None}, "required", "body -> start — Field required (type=missing)"),
        ({"end": None}, "required", "body -> end — Field required (type=missing)"),
        (
            {"supportingInformation": None},
            "required",
            "body -> supportingInformation — Field required (type=missing)",
        ),
        ({"participant": None}, "required", "body -> participant — Field required (type=missing)"),
        ({"status": None}, "invalid", "body -> status — Value for the field 'status' is required."),
        ({"resourceType": "Patient"}, "invalid", "body -> resource_type —"),
    ],
)
def test_bodies_are_held_to_fhir_strictly(
    clinic: Clinic, change: dict[str, Any], code: str, text: str
) -> None:
    answer = clinic.post("/Appointment", clinic.visit(**change))
    status, found_code, found_text = issue(answer)
    assert (status, found_code, found_text[: len(text)]) == (400, code, text)


def test_a_wrapped_resource_is_refused(clinic: Clinic) -> None:
    answer = clinic.post("/Appointment", {"resource": clinic.visit()})
    assert answer.status_code == 400
    assert [each["code"] for each in answer.json()["issue"]] == ["required", "structure"]


def test_a_body_that_is_not_json_is_refused(clinic: Clinic) -> None:
    answer = clinic.http.post("/Patient", content="{", headers={"Content-Type": "application/json"})
    assert issue(answer)[:2] == (400, "structure")


def test_the_wrong_id_in_the_body_is_refused(clinic: Clinic) -> None:
    id_ = clinic.book()
    answer = clinic.put(f"/Appointment/{id_}", clinic.visit(id="another"))
    assert issue(answer) == (400, "invalid", "Logical Id in URL must match logical Id in resource")


@pytest.mark.parametrize("kind", ["Appointment", "Patient", "Practitioner", "Location"])
def test_an_unknown_resource(clinic: Clinic, kind: str) -> None:
    assert issue(clinic.get(f"/{kind}/missing")) == (404, "not-found", f"Unknown {kind} resource 'missing'")


def test_an_update_of_an_unknown_resource(clinic: Clinic) -> None:
    answer = clinic.put("/Appointment/missing", clinic.visit(id="missing"))
    assert issue(answer) == (404, "not-found", "Unknown Appointment resource 'missing'")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/Appointment/x"), ("DELETE", "/Patient/x"), ("POST", "/Slot"), ("PUT", "/Practitioner/x")],
)
def test_operations_that_are_not_there(clinic: Clinic, method: str, path: str) -> None:
    answer = clinic.http.request(method, path)
    assert issue(answer) == (405, "not-supported", "Operation is not supported")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/R4/Patient", "/api/Appointment", "/docs", "/_example"])
def test_a_wrong_path_answers_in_html(clinic: Clinic, path: str) -> None:
    answer = clinic.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_search_by_post_is_the_same_search(clinic: Clinic) -> None:
    answer = clinic.http.post("/Patient/_search", data={"family": "Carter"})
    assert answer.json()["total"] == 2


class TestPaging:
    def test_ten_by_default_with_relative_links(self, clinic: Clinic) -> None:
        bundle = clinic.get("/Practitioner").json()
        assert (bundle["type"], bundle["total"], len(bundle["entry"])) == ("searchset", 41, 10)
        assert bundle["link"] == [
            {"relation": "self", "url": "/Practitioner?_count=10&_offset=0"},
            {"relation": "first", "url": "/Practitioner?_count=10&_offset=0"},
            {"relation": "next", "url": "/Practitioner?_count=10&_offset=10"},
            {"relation": "last", "url": "/Practitioner?_count=10&_offset=40"},
        ]

    def test_following_the_links_finds_everyone_once(self, clinic: Clinic) -> None:
        url, found = "/Practitioner?_count=7", []
        while url:
            bundle = clinic.http.get(url).json()
            found += [entry["resource"]["id"] for entry in bundle["entry"]]
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        assert (len(found), len(set(found))) == (41, 41)

    def test_links_keep_the_search(self, clinic: Clinic) -> None:
        patient = clinic.patient("Delgado")
        bundle = clinic.get("/Appointment", patient=f"Patient/{patient}", _count=1).json()
        assert bundle["link"][2]["url"] == f"/Appointment?patient=Patient%2F{patient}&_count=1&_offset=1"

    def test_a_hundred_at_most(self, clinic: Clinic) -> None:
        assert (
            clinic.get("/Practitioner", _count=5000)
            .json()["link"][0]["url"]
            .startswith("/Practitioner?_count=100&")
        )

    def test_an_empty_result_has_neither_links_nor_entries(self, clinic: Clinic) -> None:
        bundle = clinic.get("/Patient", family="Nobody").json()
        assert bundle == {"resourceType": "Bundle", "type": "searchset", "total": 0}

    def test_entries_hold_a_resource_and_nothing_else(self, clinic: Clinic) -> None:
        for kind in ("Patient", "Practitioner", "Location", "Appointment", "Schedule"):
            assert {tuple(entry) for entry in clinic.get(f"/{kind}").json()["entry"]} == {("resource",)}

    def test_a_bad_count_is_refused(self, clinic: Clinic) -> None:
        answer = clinic.get("/Patient", _count="many")
        assert issue(answer) == (400, "invalid", "_count must be a whole number of at least 1.")

    def test_parameters_nobody_knows_are_ignored(self, clinic: Clinic) -> None:
        assert clinic.get("/Location", status="inactive", near="here").json()["total"] == 2


def test_ready_made_json_is_what_the_models_would_write(clinic: Clinic) -> None:
    """The short way to the wire changes nothing: the models read each bundle and write the same back."""
    clinic.book()
    schedule = f"Location.1-Staff.{clinic.staff('Okonkwo')}"
    for path in (
        "/Schedule",
        f"/Slot?schedule={schedule}",
        "/Practitioner?_count=100&include-non-schedulable-practitioners=true",
        "/Location",
        "/Patient",
        "/Appointment",
    ):
        body = clinic.http.get(path).json()
        assert Bundle.model_validate(body).model_dump(mode="json") == _z_for_utc(body), path


def test_xml_when_asked(clinic: Clinic) -> None:
    answer = clinic.get("/Location", _format="xml")
    assert answer.headers["Content-Type"] == "application/fhir+xml"
    assert answer.text.count("<Location") == 2


def test_two_sandboxes_have_the_same_ids(clinic: Clinic, tmp_path: Path) -> None:
    with rig.running(tmp_path / "other.sqlite3") as other:
        for kind in ("Practitioner", "Patient", "Location", "Schedule", "Appointment"):
            assert clinic.get(f"/{kind}", _count=100).json() == other.get(f"/{kind}", _count=100).json()


def test_without_control_there_is_no_control_address(tmp_path: Path) -> None:
    with rig.running(tmp_path / "ehr.sqlite3") as plain:
        for method, path in (("GET", "switches"), ("POST", "faults"), ("POST", "reset"), ("GET", "log")):
            answer = plain.http.request(method, f"/_control/{path}")
            assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_data_outlives_the_process(tmp_path: Path) -> None:
    with rig.running(tmp_path / "ehr.sqlite3") as before:
        id_ = before.book()
        written = before.read("Appointment", id_)
    with rig.running(tmp_path / "ehr.sqlite3") as after:
        assert after.read("Appointment", id_) == written


def _z_for_utc(value: Any) -> Any:
    """pydantic writes UTC as Z where Canvas writes +00:00."""
    if isinstance(value, dict):
        return {name: _z_for_utc(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_z_for_utc(each) for each in value]
    return value.replace("+00:00", "Z") if isinstance(value, str) else value
