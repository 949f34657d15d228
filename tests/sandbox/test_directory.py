"""Schedules, practitioners and locations of the invented clinic."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from .rig import TODAY, Clinic

EXTENSIONS = "http://schemas.canvasmedical.com/fhir/extensions/"


def _everyone(clinic: Clinic, **params: Any) -> list[dict[str, Any]]:
    return clinic.search("Practitioner", _count=100, **params)


def _named(clinic: Clinic, name: str) -> dict[str, Any]:
    (found,) = clinic.search("Practitioner", name=name)
    return found


def _extension(resource: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in resource["extension"] if each["url"] == EXTENSIONS + name]
    return found


def _licenses(practitioner: dict[str, Any], kind: str = "STATE") -> list[dict[str, Any]]:
    return [each for each in practitioner["qualification"] if each["code"]["text"] == kind]


class TestSchedules:
    def test_every_location_with_every_schedulable_member_of_staff(self, clinic: Clinic) -> None:
        schedules = clinic.search("Schedule", _count=5)
        staff = [each["id"] for each in _everyone(clinic)]
        assert [each["id"] for each in schedules] == [
            f"Location.{key}-Staff.{id_}" for key in (1, 2) for id_ in staff
        ]
        assert len(staff) == 41

    def test_a_schedule_names_its_location_in_words_only(self, clinic: Clinic) -> None:
        id_ = clinic.staff("Castellanos")
        (found,) = [each for each in clinic.search("Schedule") if each["id"] == f"Location.2-Staff.{id_}"]
        words = "Schedule for Benjamin Castellanos-Worthington MD at Juniper Health Austin"
        assert found == {
            "resourceType": "Schedule",
            "id": f"Location.2-Staff.{id_}",
            "text": {"status": "generated", "div": f"<div>{words}</div>"},
            "actor": [{"reference": f"Practitioner/{id_}", "type": "Practitioner"}],
            "comment": words,
        }


class TestPractitioners:
    def test_active_and_schedulable_unless_told(self, clinic: Clinic) -> None:
        usual = _everyone(clinic)
        widened = _everyone(clinic, **{"include-non-schedulable-practitioners": "true"})
        inactive = _everyone(clinic, active="false")
        misspelled = _everyone(clinic, **{"include-non-scheduled-practitioners": "true"})
        assert (len(usual), len(widened), len(misspelled)) == (41, 43, 41)
        assert [each["name"][0]["text"] for each in inactive] == ["Harold Finch MD"]

    @pytest.mark.parametrize(
        ("params", "names"),
        [
            ({"name": "nguyen"}, ["Linh Nguyen DO"]),
            ({"name": "ZOË"}, ["Zoë Lindqvist MD"]),
            ({"email": "staff05@juniper-health.example"}, ["Samuel Adeyemi PA-C"]),
            ({"npi-number": "1999900012"}, ["Grace Kim PA-C"]),
            ({"name": "Lindqvist", "npi-number": "1999900012"}, []),
        ],
    )
    def test_searches(self, clinic: Clinic, params: dict[str, str], names: list[str]) -> None:
        assert [each["name"][0]["text"] for each in _everyone(clinic, **params)] == names

    def test_a_search_and_a_read_show_the_same(self, clinic: Clinic) -> None:
        found = _named(clinic, "Okonkwo")
        assert clinic.read("Practitioner", found["id"]) == found
        assert len(found["id"]) == 32
        assert clinic.search("Practitioner", _id=found["id"]) == [found]

    def test_extensions(self, clinic: Clinic) -> None:
        found = _named(clinic, "Okonkwo")
        assert _extension(found, "practitioner-personal-meeting-room-link")["valueUrl"] == (
            f"https://video.juniper-health.example/room/{found['id'][:10]}"
        )
        assert _extension(found, "practitioner-primary-practice-location")["valueReference"] == {
            "reference": f"Location/{clinic.place('Oakland')}",
            "type": "Location",
            "display": "Juniper Health Oakland",
        }
        assert _extension(found, "roles")["extension"] == [
            {
                "url": "code",
                "valueCoding": {"system": "http://schemas.canvasmedical.com/fhir/roles", "code": "MD"},
            }
        ]

    def test_specialties(self, clinic: Clinic) -> None:
        taxonomies = Counter(
            qualification["identifier"][0]["value"]
            for practitioner in _everyone(clinic)
            for qualification in practitioner.get("qualification", ())
            if qualification["code"]["text"] == "TAXONOMY"
        )
        assert taxonomies == {
            "207Q00000X": 9,
            "363LF0000X": 3,
            "363AM0700X": 2,
            "207N00000X": 5,
            "2084P0800X": 7,
            "207RC0000X": 4,
            "208000000X": 5,
            "207V00000X": 5,
        }

    def test_a_license(self, clinic: Clinic) -> None:
        found = _licenses(_named(clinic, "Okonkwo"))[0]
        assert found == {
            "identifier": [{"system": f"{EXTENSIONS}issuing-authority-url", "value": "CA011000"}],
            "code": {"text": "STATE"},
            "period": {"start": "2021-03-01", "end": (TODAY + timedelta(400)).isoformat()},
            "issuer": {
                "display": "Medical Board of California",
                "extension": [
                    {"url": f"{EXTENSIONS}issuing-authority-short-name", "valueString": "MBC"},
                    {"url": f"{EXTENSIONS}issuing-authority-state", "valueString": "CA"},
                    {"url": f"{EXTENSIONS}license-primary", "valueBoolean": True},
                ],
            },
        }

    def test_licenses_cover_twelve_states_with_telling_dates(self, clinic: Clinic) -> None:
        states, ends, starts, unnamed = set(), Counter(), Counter(), []
        for practitioner in _everyone(clinic):
            for found in _licenses(practitioner) if "qualification" in practitioner else ():
                named = {
                    each["url"]: each.get("valueString") for each in found["issuer"].get("extension", ())
                }
                states.add(named.get(f"{EXTENSIONS}issuing-authority-state"))
                if f"{EXTENSIONS}issuing-authority-state" not in named:
                    unnamed.append(found["issuer"])
                ends[(date.fromisoformat(found["period"]["end"]) - TODAY).days] += 1
                starts[(date.fromisoformat(found["period"]["start"]) - TODAY).days > 0] += 1
        assert states == {*["CA", "TX", "NY", "WA", "OR", "CO", "FL", "IL", "AZ", "MA", "GA", "NC"], None}
        assert unnamed == [{"display": "North Carolina Medical Board"}]
        assert {days: count for days, count in ends.items() if days < 60} == {5: 1, 8: 1, 12: 1, -30: 2}
        assert starts[True] == 1

    def test_not_every_row_with_a_state_is_a_license(self, clinic: Clinic) -> None:
        kinds = Counter(
            qualification["code"]["text"]
            for practitioner in _everyone(clinic)
            for qualification in practitioner.get("qualification", ())
        )
        assert (kinds["TAXONOMY"], kinds["DEA"], kinds["CLIA"]) == (40, 20, 5)
        (clia,) = _licenses(_named(clinic, "Herrera"), "CLIA")
        assert {"url": f"{EXTENSIONS}issuing-authority-state", "valueString": "NV"} in clia["issuer"][
            "extension"
        ]

    def test_a_room_poses_as_staff(self, clinic: Clinic) -> None:
        room = _named(clinic, "Procedure")
        assert "qualification" not in room
        assert _extension(room, "roles")["extension"][0]["valueCoding"]["code"] == "ROOM"


def test_locations(clinic: Clinic) -> None:
    oakland, austin = clinic.search("Location")
    assert oakland == {
        "resourceType": "Location",
        "id": "3f2b6c1e-8d47-4a90-b5c3-1e7a9d2f4061",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1999990011"}],
        "status": "active",
        "name": "Juniper Health Oakland",
        "alias": ["Oakland"],
        "description": "Juniper Health: Juniper Health Oakland",
        "address": {
            "use": "work",
            "line": ["2140 Juniper Way"],
            "city": "Oakland",
            "state": "CA",
            "postalCode": "94612",
            "country": "US",
        },
    }
    assert clinic.read("Location", austin["id"]) == austin
    assert clinic.search("Location", _id=austin["id"]) == [austin]
