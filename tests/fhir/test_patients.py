"""Who is found, and above all who is not."""

from __future__ import annotations

from datetime import date

import httpx
import pytest

from booking.scheduling.errors import EhrRejected

from . import documents
from .documents import PATIENT_ID, PATIENT_REF, bundle, details, patient
from .stand_in import StandIn, gateway

OURS = [{"system": "urn:self-scheduling-portal:patient", "value": str(PATIENT_ID)}]
MOBILE, EMAIL = documents.patient()["telecom"]


def search(by_identifier: list[dict], by_name: list[dict], **more: object) -> tuple[str | None, StandIn]:
    def answer(request: httpx.Request) -> dict:
        return bundle(*(by_identifier if "identifier" in request.url.params else by_name))

    ehr = StandIn({"GET Patient": answer})
    with gateway(ehr) as opened:
        return opened.find_patient(details(**more)), ehr


def found_by_name(*on_file: dict, **more: object) -> str | None:
    return search([], list(on_file), **more)[0]


def test_our_identifier_comes_first_and_is_enough():
    found, ehr = search([patient(identifier=OURS, birthDate="1999-09-09", telecom=[])], [])
    assert found == PATIENT_REF
    assert ehr.sent == [
        (
            "GET",
            "/Patient",
            {"identifier": f"urn:self-scheduling-portal:patient|{PATIENT_ID}", "_count": "100"},
        )
    ]


@pytest.mark.parametrize(
    "identifier",
    [
        None,
        [],
        [OURS[0] | {"system": "urn:another"}],
        [OURS[0] | {"value": "another"}],
        [{"value": str(PATIENT_ID)}],
    ],
)
def test_a_search_by_identifier_that_the_ehr_ignores_finds_nobody(identifier):
    stranger = patient(id="1", identifier=identifier, birthDate="1999-09-09")
    assert search([stranger], [])[0] is None


def test_two_with_our_identifier_are_nobody():
    assert (
        search([patient(id="1", identifier=OURS), patient(id="2", identifier=OURS)], [patient()])[0] is None
    )


def test_the_same_record_twice_is_one():
    assert search([patient(identifier=OURS), patient(identifier=OURS)], [])[0] == PATIENT_REF


def test_an_inactive_record_with_our_identifier_is_passed_over():
    assert search([patient(id="1", identifier=OURS, active=False)], [patient()])[0] == PATIENT_REF


def test_names_birth_date_and_a_verified_contact_find_the_person():
    found, ehr = search([], [patient()])
    assert found == PATIENT_REF
    assert ehr.sent[1] == (
        "GET",
        "/Patient",
        {"birthdate": "1980-11-13", "family": "Okafor", "given": "Sam", "active": "true", "_count": "100"},
    )


@pytest.mark.parametrize(
    "more",
    [
        {"given": "SAM", "family": "okafor"},
        {"given": " Sam ", "family": "Okafor "},
        {"given": "Sam Ike"},
        {"mobile_is_verified": False, "email_is_verified": True},
        {"mobile_is_verified": False, "email_is_verified": True, "email": "SAM.Okafor@Example.org "},
    ],
)
def test_case_spacing_and_the_kind_of_contact_do_not_matter(more):
    assert found_by_name(patient(), **more) == PATIENT_REF


@pytest.mark.parametrize(
    "number", ["5594440101", "+1 559 444 0101", "(559) 444-0101", "1-559-444-0101", "559.444.0101"]
)
@pytest.mark.parametrize("system", ["phone", "sms"])
def test_a_phone_number_is_the_same_however_it_is_written(number, system):
    assert found_by_name(patient(telecom=[{"system": system, "value": number}])) == PATIENT_REF


def test_an_accent_is_the_same_in_either_way_of_unicode():
    on_file = patient(name=[{"use": "official", "family": "Nu\u00f1ez", "given": ["Jose\u0301"]}])
    assert found_by_name(on_file, family="Nun\u0303ez", given="Jos\u00e9") == PATIENT_REF


@pytest.mark.parametrize(
    "unverified",
    [
        {"mobile_is_verified": False},
        {"mobile_is_verified": False, "email_is_verified": True, "email": ""},
        {"mobile": "", "email_is_verified": False},
        {"mobile": "not a number"},
    ],
)
def test_without_a_verified_contact_nobody_is_looked_for(unverified):
    found, ehr = search([], [patient()], **unverified)
    assert (found, len(ehr.requests)) == (None, 1)


@pytest.mark.parametrize(
    "on_file",
    [
        patient(birthDate="1981-11-13"),
        patient(birthDate="1980-11"),
        patient(birthDate=None),
        patient(active=False),
        patient(active="true"),
        patient(link=[{"other": {"reference": "Patient/1"}, "type": "replaced-by"}]),
        patient(name=[{"use": "official", "family": "Okafor", "given": ["Samuel"]}]),
        patient(name=[{"use": "official", "family": "Okafor-Lee", "given": ["Sam"]}]),
        patient(name=[{"use": "official", "family": "Okafor", "given": ["Ike", "Sam"]}]),
        patient(name=[{"use": "official", "family": "Okafor"}]),
        patient(name=[{"use": "old", "family": "Okafor", "given": ["Sam"]}]),
        patient(name=[{"use": "nickname", "family": "Okafor", "given": ["Sam"]}]),
        patient(name=[{"use": "official", "text": "Sam Okafor"}]),
        patient(telecom=[]),
        patient(telecom=[EMAIL]),
        patient(telecom=[MOBILE | {"value": "5594440102"}]),
        patient(telecom=[MOBILE | {"value": "4440101"}]),
        patient(telecom=[MOBILE | {"value": "5594440101 x22"}]),
        patient(telecom=[MOBILE | {"value": 5594440101}]),
        patient(telecom=[MOBILE | {"use": "old"}]),
        patient(telecom=[MOBILE | {"period": {"end": "2025-01-01"}}]),
        patient(telecom=[MOBILE | {"period": {"end": "once"}}]),
        patient(telecom=[MOBILE | {"system": "fax"}]),
        patient(telecom=[MOBILE | {"system": "email"}]),
        patient(id=None),
        patient(id="a/b"),
    ],
)
def test_a_record_that_is_not_this_person_beyond_doubt_is_nobody(on_file):
    assert found_by_name(on_file) is None


def test_an_unverified_contact_on_file_does_not_help_a_verified_one_that_is_not():
    assert found_by_name(patient(), mobile="+15594440999", mobile_is_verified=True) is None


def test_a_namesake_with_another_birth_date_is_told_apart():
    namesake = patient(id="1", birthDate="1990-02-02")
    assert found_by_name(namesake, patient()) == PATIENT_REF


def test_twins_on_one_phone_are_told_apart_by_given_name():
    twin = patient(id="1", name=[{"use": "official", "family": "Okafor", "given": ["Sara"]}])
    assert found_by_name(twin, patient()) == PATIENT_REF


def test_two_records_that_both_fit_are_nobody():
    assert found_by_name(patient(), patient(id="1")) is None


def test_a_contact_whose_period_is_open_or_runs_is_in_use():
    on_file = patient(
        telecom=[MOBILE | {"period": {"start": "2020-01-01", "end": date(2099, 1, 1).isoformat()}}]
    )
    assert found_by_name(on_file) == PATIENT_REF


def test_an_answer_of_broken_entries_is_an_error_and_not_a_stranger():
    broken = {"resourceType": "Bundle", "entry": [None]}
    with gateway(StandIn({"GET Patient": broken})) as opened, pytest.raises(EhrRejected):
        opened.find_patient(details())
