"""The invented clinic as R4 resources: licenses, roles, schedules, and the traps among them."""

from datetime import UTC, date, datetime, timedelta

import orjson
import pytest

from booking.sandbox.r4.checking import checked
from booking.sandbox.r4.clinic import Manners
from booking.sandbox.r4.seeding import first_resources
from booking.sandbox.seed import build_directory

from .r4_rig import PLAN_NET, USPS, Json, Server, ids
from .rig import NOON, TODAY

TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"


def _licenses(person: Json) -> dict[str, tuple[str, str | None]]:
    """State to status and last day, for whatever says in which state it is valid."""
    found = {}
    for row in person.get("qualification", []):
        parts = {
            part["url"]: part
            for extension in row.get("extension", [])
            if extension["url"] == PLAN_NET
            for part in extension["extension"]
        }
        if "whereValid" in parts and "valueCodeableConcept" in parts["whereValid"]:
            (coding,) = parts["whereValid"]["valueCodeableConcept"]["coding"]
            assert coding["system"] == USPS
            found[coding["code"]] = (parts["status"]["valueCode"], row.get("period", {}).get("end"))
    return found


@pytest.mark.parametrize("manners", ["medplum", "r4"])
def test_everything_seeded_is_valid_fhir(manners: Manners) -> None:
    slots = 0
    for resource in first_resources(build_directory(TODAY), manners, TODAY, NOON):
        slots += resource["resourceType"] == "Slot"
        # Slots are alike by the hundred.
        if resource["resourceType"] != "Slot" or slots % 40 == 0:
            assert checked(orjson.loads(orjson.dumps(resource)), resource["resourceType"]) == resource


def test_licenses_are_qualifications_that_say_where_they_are_valid(server: Server) -> None:
    later = {"CA": 400, "OR": 430, "WA": 460}
    expected = {
        state: ("active", (TODAY + timedelta(days=days)).isoformat()) for state, days in later.items()
    }
    person = server.one("Practitioner", family="Okonkwo")
    assert _licenses(person) == expected
    first = person["qualification"][0]
    assert first["code"]["coding"] == [
        {"system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "MD"}
    ]
    assert first["issuer"] == {"display": "Medical Board of California"}
    assert first["identifier"] == [{"value": "CA011000"}]


@pytest.mark.parametrize(
    ("family", "state", "expected"),
    [
        ("Yazzie", "CA", ("active", (TODAY - timedelta(days=30)).isoformat())),
        ("Adeyemi", "GA", ("active", (TODAY + timedelta(days=8)).isoformat())),
        ("Kahananui", "OR", ("active", None)),
        ("Balogun", "GA", ("inactive", (TODAY + timedelta(days=430)).isoformat())),
    ],
)
def test_licenses_with_a_catch(server: Server, family: str, state: str, expected: tuple[str, str]) -> None:
    assert _licenses(server.one("Practitioner", family=family))[state] == expected


def test_a_license_that_names_no_state(server: Server) -> None:
    person = server.one("Practitioner", family="Halvorsen")
    assert set(_licenses(person)) == {"TX", "CO"}
    assert "North Carolina Medical Board" in [row["issuer"]["display"] for row in person["qualification"]]


def test_a_certificate_from_a_state_is_no_license(server: Server) -> None:
    with_nevada = [
        person
        for person in server.search("Practitioner")
        for row in person.get("qualification", [])
        if row["issuer"]["display"] == "Nevada State Board of Health"
    ]
    assert len(with_nevada) == 5
    assert {state for person in with_nevada for state in _licenses(person)}.isdisjoint({"NV"})


def test_some_licenses_stand_on_roles(server: Server) -> None:
    states = {
        each["id"]: each["identifier"][0]["value"]
        for each in server.search("Location", identifier=f"{USPS}|")
    }
    person = server.one("Practitioner", family="Lindqvist")
    assert _licenses(person) == {}
    roles = server.search("PractitionerRole", practitioner=person["id"])
    places = {role["location"][0]["reference"].removeprefix("Location/"): role for role in roles}
    licensed = {states[place]: role["period"]["end"] for place, role in places.items() if place in states}
    assert set(licensed) == {"OR", "WA", "CA"}
    assert licensed["CA"] == (TODAY + timedelta(days=5)).isoformat()
    # The site she works at is in California, which says nothing of her license there.
    (site,) = [role for place, role in places.items() if place not in states]
    assert "period" not in site


def test_roles_carry_specialty_site_and_activity(server: Server) -> None:
    oakland = server.one("Location", name="Juniper Health Oakland")
    role = server.one("PractitionerRole", **{"practitioner.family": "Okonkwo"})
    assert role["specialty"][0]["coding"] == [
        {"system": "http://nucc.org/provider-taxonomy", "code": "207Q00000X", "display": "Family Medicine"}
    ]
    assert role["location"] == [
        {"reference": f"Location/{oakland['id']}", "display": "Juniper Health Oakland"}
    ]
    ended = server.search("PractitionerRole", active="false")
    assert sorted(each["practitioner"]["display"] for each in ended) == [
        "Benjamin Castellanos-Worthington",
        "Harold Finch",
        "Patrick O'Shaughnessy",
    ]


def test_places_and_people_name_their_zone(server: Server) -> None:
    austin = server.one("Location", name="Juniper Health Austin")
    person = server.one("Practitioner", family="Reyes")
    for resource in (austin, person):
        assert resource["extension"] == [{"url": TIMEZONE, "valueCode": "America/Chicago"}]


def test_somebody_who_left_is_inactive_with_a_schedule_left_behind(server: Server) -> None:
    (left,) = server.search("Practitioner", active="false")
    assert left["name"][0]["text"] == "Harold Finch MD"
    (schedule,) = server.search("Schedule", actor=f"Practitioner/{left['id']}")
    assert server.search("Slot", schedule=schedule["id"], status="free", _count=1)


def test_a_schedule_that_is_over_still_has_free_slots(server: Server) -> None:
    (over,) = server.search("Schedule", active="false")
    assert over["comment"] == "Until last year"
    assert server.search("Slot", schedule=over["id"], status="free", _count=1)


def test_a_classic_schedule_has_a_person_and_a_place(server: Server) -> None:
    schedule = server.schedule("Okonkwo")
    assert [actor["reference"].partition("/")[0] for actor in schedule["actor"]] == [
        "Practitioner",
        "Location",
    ]


def test_slots_lie_on_a_grid_of_fifteen_or_thirty_minutes(server: Server) -> None:
    for family, minutes in (("Okonkwo", 15), ("Delacroix", 30)):
        slots = server.search("Slot", schedule=server.schedule(family)["id"])
        lengths = {
            datetime.fromisoformat(slot["end"]) - datetime.fromisoformat(slot["start"]) for slot in slots
        }
        days = {datetime.fromisoformat(slot["start"]).astimezone(UTC).date() for slot in slots}
        assert lengths == {timedelta(minutes=minutes)}
        assert (min(days), max(days)) >= (TODAY, date(2026, 12, 1))


def test_a_video_person_takes_only_telehealth(plain: Server) -> None:
    slots = plain.search("Slot", schedule=plain.schedule("Raghunathan")["id"], _count=50)
    kinds = {tuple(each["coding"][0]["code"] for each in slot["serviceType"]) for slot in slots}
    assert kinds == {("448337001",)}


def test_the_first_visits_hold_their_slots(server: Server) -> None:
    visits = server.search("Appointment", status="booked")
    assert len(visits) == 5
    for visit in visits:
        slots = [server.read("Slot", each["reference"].removeprefix("Slot/")) for each in visit["slot"]]
        assert {slot["status"] for slot in slots} == {"busy"}
        assert (slots[0]["start"], slots[-1]["end"]) == (visit["start"], visit["end"])


def test_medplum_has_half_its_people_on_operations_schedules(medplum: Server) -> None:
    everybody = medplum.search("Schedule", active="true")
    with_parameters = [each for each in everybody if "extension" in each]
    assert (len(everybody), len(with_parameters)) == (47, 20)
    assert {len(each["actor"]) for each in with_parameters} == {1}
    free = medplum.search("Slot", schedule=",".join(ids(with_parameters)), status="free")
    # One extra opening is all that is free as a row.
    assert len(free) == 1


def test_medplum_services_are_one_for_each_kind_and_length(medplum: Server) -> None:
    names = [each["name"] for each in medplum.search("HealthcareService", active="true")]
    expected = [
        f"{kind} {minutes} minutes"
        for kind in ("Office visit", "Telehealth", "Phone")
        for minutes in (15, 20, 30, 40, 45, 60)
    ]
    assert names == expected
