"""Who can be booked where, as a plain R4 server tells it, and what it proves of their licenses."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from booking.fhir.licenses import role_licenses, stated_licenses
from booking.scheduling.terms import License, LocationListing, PractitionerListing, ScheduleListing

from .little_ehr import LittleEhr, gateway, statement

Json = dict[str, Any]

PLAN_NET = "http://hl7.org/fhir/us/davinci-pdex-plan-net/StructureDefinition/practitioner-qualification"
DEGREES = "http://terminology.hl7.org/CodeSystem/v2-0360"
TAXONOMY = "http://nucc.org/provider-taxonomy"
ZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
WHOLE_STATE = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "jdn"}]
}
PERIOD = {"start": "2024-01-01", "end": "2027-12-31"}
CALIFORNIA = License("CA", "A1", date(2024, 1, 1), date(2027, 12, 31))


def validity(*states: str, status: str | None = "active", url: str = PLAN_NET, ref: str = "") -> Json:
    parts: list[Json] = [] if status is None else [{"url": "status", "valueCode": status}]
    parts += [
        {
            "url": "whereValid",
            "valueCodeableConcept": {"coding": [{"system": "https://www.usps.com/", "code": state}]},
        }
        for state in states
    ]
    parts += [{"url": "whereValid", "valueReference": {"reference": ref}}] if ref else []
    return {"url": url, "extension": parts}


def qualification(*extensions: Json, degree: str = "MD", issuer: str = "", **more: Any) -> Json:
    found: Json = {
        "identifier": [{"value": "A1"}],
        "code": {"coding": [{"system": DEGREES, "code": degree}], "text": degree},
        "period": PERIOD,
    }
    if extensions:
        found["extension"] = list(extensions)
    if issuer:
        found["issuer"] = {"display": issuer}
    return found | more


def person(key: str = "ana", **more: Any) -> Json:
    return {
        "resourceType": "Practitioner",
        "id": key,
        "active": True,
        "name": [{"family": "Ruiz", "given": ["Ana"], "suffix": ["MD"]}],
    } | more


def place(key: str = "north", **more: Any) -> Json:
    return {"resourceType": "Location", "id": key, "status": "active", "name": key.title()} | more


def state(code: str, **more: Any) -> Json:
    return place(f"us-{code.lower()}", physicalType=WHOLE_STATE, identifier=[{"value": code}], **more)


def role(key: str = "r", who: str = "ana", where: tuple[str, ...] = ("north",), **more: Any) -> Json:
    return {
        "resourceType": "PractitionerRole",
        "id": key,
        "active": True,
        "practitioner": {"reference": f"Practitioner/{who}"},
        "location": [{"reference": f"Location/{each}"} for each in where],
    } | more


def calendar(*actors: str, key: str = "s", **more: Any) -> Json:
    return {"resourceType": "Schedule", "id": key, "actor": [{"reference": ref} for ref in actors]} | more


BOTH_WAYS = [statement(), statement(includes=("Schedule:actor",))]


def directory(*resources: Json, says: Json | None = None) -> Any:
    with gateway(LittleEhr(*resources, says=says)) as opened:
        return opened.directory()


@pytest.mark.parametrize("says", BOTH_WAYS)
def test_the_directory_reads_what_r4_has_room_for(says):
    found = directory(
        person(
            qualification=[qualification(validity("CA")), {"code": {"coding": [{"system": TAXONOMY, "code": "207Q00000X"}]}}],
            communication=[{"coding": [{"code": "es"}]}],
            photo=[{"url": "https://files.example/ana.png"}],
        ),
        role(
            specialty=[{"coding": [{"system": TAXONOMY, "code": "208D00000X"}]}],
            code=[{"coding": [{"code": "doctor"}]}],
        ),
        place(
            extension=[{"url": ZONE, "valueCode": "America/Los_Angeles"}],
            alias=["N"],
            address={"line": ["12 Elm"], "city": "Fresno", "state": "California", "postalCode": "93701"},
        ),
        calendar("Practitioner/ana", "Location/north", comment="Mornings"),
        says=says,
    )  # fmt: skip
    assert found.practitioners == (
        PractitionerListing(
            ref="Practitioner/ana",
            name="Ana Ruiz",
            family="Ruiz",
            given="Ana",
            credentials="MD",
            photo_url="https://files.example/ana.png",
            languages=("es",),
            taxonomy_codes=("208D00000X", "207Q00000X"),
            role_codes=("MD", "doctor"),
            licenses=(CALIFORNIA,),
        ),
    )
    assert found.locations == (
        LocationListing(
            ref="Location/north",
            name="North",
            short_name="N",
            address_lines=("12 Elm",),
            city="Fresno",
            jurisdiction="CA",
            postal_code="93701",
            zone="America/Los_Angeles",
        ),
    )
    assert found.schedules == (
        ScheduleListing("Schedule/s", "Practitioner/ana", "Location/north", comment="Mornings"),
    )


@pytest.mark.parametrize("honors_includes", [True, False])
def test_with_includes_only_what_has_to_do_with_a_schedule_is_read(honors_includes):
    ehr = LittleEhr(
        person(),
        person("idle"),
        person("ben"),
        role(),
        role("rb", "ben", ("south",)),
        place(),
        place("south"),
        place("attic"),
        calendar("Practitioner/ana"),
        calendar("PractitionerRole/rb", key="t"),
        says=statement(includes=("Schedule:actor",)),
    )
    ehr.honors_includes = honors_includes
    with gateway(ehr) as opened:
        found = opened.directory()
    assert {each.ref for each in found.practitioners} == {"Practitioner/ana", "Practitioner/ben"}
    assert {each.ref for each in found.locations} == {"Location/north", "Location/south"}
    assert [(each.practitioner_ref, each.location_ref) for each in found.schedules] == [
        ("Practitioner/ana", "Location/north"),
        ("Practitioner/ben", "Location/south"),
    ]


@pytest.mark.parametrize("says", [statement(), statement(without=("PractitionerRole.search-type",))])
@pytest.mark.parametrize(
    ("actors", "more", "location"),
    [
        (["Practitioner/ana", "Location/south"], [], "Location/south"),
        (["Practitioner/ana"], [], ""),
        (["Practitioner/ana"], [role()], "Location/north"),
        (["Practitioner/ana"], [role(), role("q", where=("south",))], ""),
        (["Practitioner/ana"], [role(), role("q", where=("south",), active=False)], "Location/north"),
        (["Practitioner/ana"], [role(), role("q", where=("south",), period={"end": "2020"})], "Location/north"),
        (["Practitioner/ana"], [role(), role("q", where=("closed",))], "Location/north"),
        (["Practitioner/ana"], [role(), role("q", where=("us-ca",))], "Location/north"),
        (["PractitionerRole/q"], [role(), role("q", where=("south",))], "Location/south"),
        (["PractitionerRole/q", "Location/north"], [role("q", where=("south",))], "Location/north"),
    ],
)  # fmt: skip
def test_a_schedules_location_is_its_own_else_the_roles(actors, more, location, says):
    places = [place(), place("south"), place("closed", status="inactive"), state("CA")]
    found = directory(person(), *places, *more, calendar(*actors), says=says)
    has_roles = says == statement()
    if not has_roles:
        wanted = (
            "" if actors[0].startswith("PractitionerRole") else location if "Location" in actors[-1] else ""
        )
        assert [each.location_ref for each in found.schedules] == (
            [] if actors[0].startswith("PractitionerRole") else [wanted]
        )
        return
    assert [each.location_ref for each in found.schedules] == [location]
    assert {each.ref for each in found.locations} == {"Location/north", "Location/south", "Location/closed"}


def test_the_only_place_there_is_is_meant():
    found = directory(person(), place(), place("old", status="inactive"), calendar("Practitioner/ana"))
    assert [each.location_ref for each in found.schedules] == ["Location/north"]


@pytest.mark.parametrize("says", BOTH_WAYS)
@pytest.mark.parametrize(
    "left_out",
    [
        calendar("Practitioner/ana", "Location/north", active=False),
        calendar("Practitioner/ana", "Location/north", planningHorizon={"end": "2020-01-01"}),
        calendar("Practitioner/gone", "Location/north"),
        calendar("Practitioner/nobody", "Location/north"),
        calendar("Practitioner/ana", "Location/closed"),
        calendar("Practitioner/ana", "Practitioner/ben"),
        calendar("PractitionerRole/over", "Location/north"),
        calendar("Location/north"),
        calendar("Device/x"),
    ],
)
def test_a_schedule_of_nobody_of_several_or_of_the_past_is_left_out(left_out, says):
    found = directory(
        person(),
        person("ben"),
        person("gone", active=False),
        place(),
        place("closed", status="suspended"),
        role("over", period={"end": "2020-01-01"}),
        left_out,
        says=says,
    )
    assert found.schedules == ()
    assert "Practitioner/gone" not in {each.ref for each in found.practitioners}


@pytest.mark.parametrize(
    ("schedule_zone", "person_zone", "zone"),
    [("America/Denver", "America/New_York", "America/Denver"), ("", "America/New_York", "America/New_York"), ("", "", "")],
)  # fmt: skip
def test_a_place_without_a_zone_has_the_one_its_schedules_state(schedule_zone, person_zone, zone):
    def stated(value: str) -> Json:
        return {"extension": [{"url": ZONE, "valueCode": value}]} if value else {}

    found = directory(
        person(**stated(person_zone)),
        place(),
        calendar("Practitioner/ana", "Location/north", **stated(schedule_zone)),
    )
    assert [each.zone for each in found.locations] == [zone]


def test_photos_are_https_or_the_ehrs_own():
    photo = [{"url": "Binary/7"}, {"url": "http://elsewhere.example/x"}, {"url": "http://127.0.0.1:9/photo"}]
    ehr = LittleEhr(person(photo=photo), calendar("Practitioner/ana"))
    with gateway(ehr, base_url="http://127.0.0.1:9/fhir") as opened:
        assert [each.photo_url for each in opened.directory().practitioners] == ["http://127.0.0.1:9/photo"]
    assert [each.photo_url for each in directory(person(photo=photo)).practitioners] == [""]


STATES = {"Location/us-ca": "CA", "Location/us-tx": "TX"}


def read(*given: Any) -> list[str]:
    return [
        each.jurisdiction
        for each in stated_licenses(person(qualification=list(given)), {**STATES, "Location/county": ""})
    ]


@pytest.mark.parametrize(
    ("given", "states"),
    [
        (qualification(validity("CA")), ["CA"]),
        (qualification(validity("CA", "TX")), ["CA", "TX"]),
        (qualification(validity(ref="Location/us-tx")), ["TX"]),
        (qualification(validity("CA", url="http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-practitioner-qualification")), ["CA"]),
        (qualification(validity("CA"), degree="PHD", code={"text": "Psychologist license"}), ["CA"]),
        (qualification(validity("CA"), code={"text": "Licensed Clinical Social Worker"}), ["CA"]),
        # Medplum's own example: where it is valid, but no status.
        (qualification(validity("NY", status=None), issuer="State of New York"), ["NY"]),
        (qualification(issuer="State of New York"), ["NY"]),
        (qualification(issuer="Medical Board of California"), ["CA"]),
        (qualification(issuer="Texas"), ["TX"]),
    ],
)  # fmt: skip
def test_a_license_is_read_from_what_proves_it(given, states):
    assert read(given) == states


@pytest.mark.parametrize(
    "given",
    [
        qualification(validity("CA", status="inactive"), issuer="Medical Board of California"),
        qualification(validity("CA", status=None)),
        qualification(validity("CA", status=None), issuer="State of New York"),
        qualification(validity("CA"), validity("CA", status="issued-in-error")),
        qualification(validity(), issuer="Medical Board of California"),
        qualification(validity("ZZ")),
        qualification(validity(ref="Location/county")),
        qualification(validity(ref="Location/elsewhere")),
        qualification(validity("CA"), period={"end": "31.12.2027"}),
        qualification(validity("CA"), period="2024/2027"),
        qualification(validity("CA"), degree="PHD"),
        qualification(validity("CA"), degree="BSN"),
        qualification(validity("CA"), degree="CER"),
        qualification(validity("CA"), code={"coding": [{"system": TAXONOMY, "code": "207R00000X"}], "text": "Board certified"}),
        qualification(validity("CA"), code={"text": "Unlicensed assistant"}),
        qualification(validity("CA"), code={"text": "DEA license"}),
        qualification(validity("CA"), code={"text": "Driver's license"}),
        qualification(validity("CA"), code={"text": "Medical license (revoked)"}),
        qualification(validity("CA"), code={"text": "License applied for"}),
        qualification(validity("CA"), code=None),
        qualification(issuer="University of California, San Francisco"),
        qualification(issuer="California"" Institute of Technology, Board of Trustees"),
        qualification(issuer="Kansas City Hospital"),
        qualification(issuer="Georgia Smith"),
        qualification(issuer="American Board of Internal Medicine"),
        qualification(issuer="Boards of Nevada and California"),
        qualification(),
    ],
)  # fmt: skip
def test_what_does_not_prove_a_license_gives_none(given):
    assert read(given) == []


def test_an_ended_license_stays_ended_and_one_without_dates_is_open():
    ended, none_given = stated_licenses(
        person(
            qualification=[
                qualification(validity("CA"), period={"end": "2020-06-30"}),
                qualification(validity("TX"), period={}),
            ]
        ),
        {},
    )
    assert (ended.covers(date(2020, 6, 30)), ended.covers(date(2020, 7, 1))) == (True, False)
    assert none_given == License("TX", "A1")


@pytest.mark.parametrize(
    ("roles", "states"),
    [
        ([role(where=("us-ca", "us-tx"))], ["CA", "TX"]),
        ([role(where=("us-ca",)), role("q", where=("us-tx",))], ["CA", "TX"]),
        ([role(where=("north",))], []),
        ([role(where=("county",))], []),
        ([role(where=("us-ca",), active=False)], []),
        ([role(where=("us-ca",), period={"end": "soon"})], []),
        ([role(where=("us-ca", "us-tx"), healthcareService=[{"reference": "HealthcareService/a"}])], ["CA", "TX"]),
        (
            [
                role(where=("us-ca", "us-tx"), healthcareService=[{"reference": "HealthcareService/a"}]),
                role(where=("us-ca",), healthcareService=[{"reference": "HealthcareService/b"}]),
            ],
            ["CA", "CA"],
        ),
        (
            [
                role(where=("us-ca",), healthcareService=[{"reference": "HealthcareService/a"}]),
                role(where=("us-tx",), healthcareService=[{"reference": "HealthcareService/b"}]),
            ],
            [],
        ),
    ],
)  # fmt: skip
def test_a_role_at_a_whole_state_is_a_license_for_all_the_services_it_names(roles, states):
    known = {**STATES, "Location/county": ""}
    found = role_licenses([each | {"id": "x"} for each in roles], known)
    assert sorted(each.jurisdiction for each in found) == sorted(set(states))


def test_only_medplum_documents_roles_as_licenses():
    resources = [person(), role(where=("us-ca",)), state("CA"), place(), calendar("Practitioner/ana")]
    assert [each.licenses for each in directory(*resources).practitioners] == [()]


def test_a_place_that_is_a_state_is_no_place_to_go_to():
    county = place("county", physicalType=WHOLE_STATE, address={"state": "CA", "district": "Fresno"})
    found = directory(person(), place(), state("CA"), county, calendar("Practitioner/ana"))
    assert [each.ref for each in found.locations] == ["Location/north"]


@pytest.mark.parametrize("says", BOTH_WAYS)
def test_a_room_is_found_at_the_house_it_is_part_of(says):
    found = directory(
        person(),
        place("house", address={"city": "Fresno"}),
        place("floor", partOf={"reference": "Location/house"}),
        place("room", partOf={"reference": "Location/floor"}),
        place("annex", partOf={"reference": "Location/house"}, address={"city": "Clovis"}),
        place("lost", partOf={"reference": "Location/nowhere"}),
        place("ring", partOf={"reference": "Location/ring"}),
        *(
            calendar("Practitioner/ana", f"Location/{key}", key=key)
            for key in ("room", "house", "annex", "lost", "ring")
        ),
        says=says,
    )
    assert {each.ref.removeprefix("Schedule/"): each.location_ref for each in found.schedules} == {
        "room": "Location/house",
        "house": "Location/house",
        "annex": "Location/annex",
        "lost": "Location/lost",
        "ring": "Location/ring",
    }
    assert {each.ref for each in found.locations} == {
        f"Location/{key}" for key in ("house", "annex", "lost", "ring")
    }
