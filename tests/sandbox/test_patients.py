"""Patients: what a create needs, what an update destroys, and how they are found."""

from typing import Any

import pytest

from booking.sandbox.framework import Patient

from .rig import Clinic, issue, made

BIRTHSEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
EXTENSIONS = "http://schemas.canvasmedical.com/fhir/extensions/"
TZ_CODE = "http://hl7.org/fhir/StructureDefinition/tz-code"


def _body(**changes: Any) -> dict[str, Any]:
    body = {
        "resourceType": "Patient",
        "extension": [{"url": BIRTHSEX, "valueCode": "UNK"}],
        "name": [{"use": "official", "family": "Lee", "given": ["Sam"]}],
        "gender": "unknown",
        "birthDate": "1980-11-13",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def _create(clinic: Clinic, **changes: Any) -> str:
    answer = clinic.post("/Patient", _body(**changes))
    assert answer.status_code == 201, answer.text
    return made(answer)


class TestCreate:
    def test_the_smallest_body(self, clinic: Clinic) -> None:
        id_ = _create(clinic)
        found = clinic.read("Patient", id_)
        (mrn,) = found.pop("identifier")
        assert mrn["system"] == "http://canvasmedical.com"
        assert found == {**_body(), "id": id_, "active": True}
        assert len(id_) == 32

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"extension": None}, "extension -> us-core-birthsex"),
            ({"name": [{"family": "Lee", "given": ["Sam"]}]}, "name"),
            ({"name": [{"use": "official", "given": ["Sam"]}]}, "name -> family"),
            ({"name": [{"use": "official", "family": "Lee"}]}, "name -> given"),
            ({"gender": None}, "gender"),
            ({"birthDate": None}, "birthDate"),
            ({"identifier": [{"value": "1"}]}, "identifier -> 0 -> system"),
            ({"telecom": [{"system": "phone"}]}, "telecom -> 0 -> value"),
        ],
    )
    def test_what_canvas_requires(self, clinic: Clinic, change: dict[str, Any], where: str) -> None:
        answer = clinic.post("/Patient", _body(**change))
        assert issue(answer) == (400, "required", f"body -> {where} — Field required (type=missing)")

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (
                {"extension": [{"url": BIRTHSEX, "valueCode": "ASKU"}]},
                "Patient birthsex ASKU is not one of F, M, OTH, UNK.",
            ),
            ({"gender": "none"}, "Patient gender none is not one of female, male, other, unknown."),
            (
                {"telecom": [{"system": "phone", "value": "(510) 555-0142"}]},
                "Telecom phone values must be digits only.",
            ),
        ],
    )
    def test_what_canvas_refuses(self, clinic: Clinic, change: dict[str, Any], text: str) -> None:
        assert issue(clinic.post("/Patient", _body(**change))) == (422, "business-rule", text)

    def test_contacts_get_ids_and_defaults(self, clinic: Clinic) -> None:
        consent = {"url": f"{EXTENSIONS}has-consent", "valueBoolean": True}
        telecom = [
            {"system": "sms", "value": "5105550100", "extension": [consent]},
            {"system": "email", "value": "Sam@mail.example", "use": "work", "rank": 2},
        ]
        found = clinic.read("Patient", _create(clinic, telecom=telecom))["telecom"]
        assert [{name: value for name, value in each.items() if name != "id"} for each in found] == [
            {"use": "home", "rank": 1, "system": "phone", "value": "5105550100", "extension": [consent]},
            {"use": "work", "rank": 2, "system": "email", "value": "Sam@mail.example"},
        ]
        assert len({each["id"] for each in found}) == 2

    def test_the_same_person_twice_is_two_patients(self, clinic: Clinic) -> None:
        assert _create(clinic) != _create(clinic)
        assert len(clinic.search("Patient", family="Lee", birthdate="1980-11-13")) == 2

    def test_a_read_is_valid_fhir(self, clinic: Clinic) -> None:
        for found in clinic.search("Patient"):
            Patient.model_validate(found)


class TestUpdate:
    def test_what_is_not_sent_back_is_gone(self, clinic: Clinic) -> None:
        id_ = _create(
            clinic,
            telecom=[{"system": "phone", "value": "5105550100"}, {"system": "email", "value": "a@b.example"}],
            address=[{"line": ["1 Elm"], "city": "Oakland", "state": "CA", "postalCode": "94601"}],
            identifier=[{"system": "urn:portal", "value": "account-1"}],
        )
        before = clinic.read("Patient", id_)
        kept = {**_body(), "id": id_, "telecom": before["telecom"][:1]}
        assert clinic.put(f"/Patient/{id_}", kept).status_code == 200
        after = clinic.read("Patient", id_)
        assert after["telecom"] == before["telecom"][:1]
        assert "address" not in after
        assert [each["system"] for each in after["identifier"]] == ["http://canvasmedical.com"]
        assert clinic.search("Patient", email="a@b.example") == []
        assert clinic.search("Patient", identifier="urn:portal|account-1") == []

    def test_reading_and_writing_back_changes_nothing(self, clinic: Clinic) -> None:
        before = clinic.search("Patient", family="Delgado")[0]
        assert clinic.put(f"/Patient/{before['id']}", before).status_code == 200
        assert clinic.read("Patient", before["id"]) == before

    def test_other_optional_fields_stay(self, clinic: Clinic) -> None:
        zone = {"url": TZ_CODE, "valueCode": "America/Chicago"}
        provider = {
            "url": f"{EXTENSIONS}patient-default-provider",
            "valueReference": {"reference": "Practitioner/x"},
        }
        birthsex = {"url": BIRTHSEX, "valueCode": "UNK"}
        id_ = _create(
            clinic, extension=[birthsex, zone, provider], communication=[{"language": {"text": "Spanish"}}]
        )
        assert clinic.put(f"/Patient/{id_}", _body(id=id_)).status_code == 200
        after = clinic.read("Patient", id_)
        assert after["extension"] == [birthsex, zone]
        assert after["communication"] == [{"language": {"text": "Spanish"}}]

    def test_required_fields_come_again(self, clinic: Clinic) -> None:
        id_ = _create(clinic)
        answer = clinic.put(f"/Patient/{id_}", _body(id=id_, birthDate=None))
        assert issue(answer)[:2] == (400, "required")

    def test_if_unmodified_since(self, clinic: Clinic) -> None:
        id_ = _create(clinic)
        old = "Wed, 18 Nov 2026 17:59:59 GMT"
        answer = clinic.put(f"/Patient/{id_}", _body(id=id_), If_Unmodified_Since=old)
        assert issue(answer) == (412, "conflict", "Resource updated since If-Unmodified-Since date")
        new = "Wed, 18 Nov 2026 18:00:00 GMT"
        assert clinic.put(f"/Patient/{id_}", _body(id=id_), If_Unmodified_Since=new).status_code == 200


class TestSearch:
    @pytest.mark.parametrize(
        ("params", "count"),
        [
            ({"family": "carter", "birthdate": "1990-07-08"}, 2),
            ({"family": "Carter", "given": "James", "phone": "5125550163"}, 1),
            ({"phone": "5105550142"}, 1),
            ({"phone": "555"}, 0),
            ({"email": "ANA.DELGADO@mail.example"}, 1),
            ({"name": "berna"}, 1),
            ({"family": "berna"}, 0),
            ({"name": "thảo"}, 1),
            ({"birthdate": "ge2001-01-01"}, 2),
            ({"birthdate": "1984-03-17"}, 1),
            ({"gender": "female"}, 4),
            ({"active": "true"}, 7),
            ({"active": "false"}, 1),
            ({}, 8),
        ],
    )
    def test_parameters(self, clinic: Clinic, params: dict[str, str], count: int) -> None:
        assert len(clinic.search("Patient", **params)) == count

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("account-9", 1),
            ("urn:portal|account-9", 1),
            ("urn:portal|", 1),
            ("|account-9", 1),
            ("urn:other|account-9", 0),
            ("http://canvasmedical.com|700000001", 1),
        ],
    )
    def test_forms_of_identifier(self, clinic: Clinic, text: str, count: int) -> None:
        _create(clinic, identifier=[{"system": "urn:portal", "value": "account-9"}])
        assert len(clinic.search("Patient", identifier=text)) == count

    def test_a_bad_date_is_refused(self, clinic: Clinic) -> None:
        assert issue(clinic.get("/Patient", birthdate="1984-13-01")) == (
            400,
            "invalid",
            "birthdate must be a date.",
        )

    def test_a_new_patient_may_be_found_late(self, clinic: Clinic) -> None:
        clinic.clock.advance(minutes=1)
        clinic.switch(search_lag_seconds=30)
        id_ = _create(clinic)
        assert clinic.search("Patient", family="Lee") == []
        assert clinic.read("Patient", id_)["id"] == id_
        clinic.clock.advance(seconds=30)
        assert [each["id"] for each in clinic.search("Patient", family="Lee")] == [id_]
