"""Which qualifications prove a license, and above all which do not."""

from __future__ import annotations

from datetime import date

import pytest

from booking.fhir.licenses import licenses as read_licenses
from booking.fhir.licenses import taxonomy_codes
from booking.scheduling.terms import License

from . import documents
from .documents import CANVAS, qualification

CALIFORNIA = License("CA", "A12345", date(2024, 1, 1), date(2027, 12, 31))


def licenses(*qualifications: object) -> tuple[License, ...]:
    return read_licenses(documents.practitioner(qualification=list(qualifications)))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (qualification(), CALIFORNIA),
        (qualification("State"), CALIFORNIA),
        (qualification("License"), CALIFORNIA),
        (qualification(state="ca"), CALIFORNIA),
        (qualification(state="California"), CALIFORNIA),
        (qualification(state=None), CALIFORNIA),
        (qualification(state="NV", issuer="Medical Board of California"), License("NV", "A12345", CALIFORNIA.starts_on, CALIFORNIA.ends_on)),
        (qualification(period={}), License("CA", "A12345")),
        (qualification(period={"end": "2027"}), License("CA", "A12345", None, date(2027, 12, 31))),
        (qualification(period={"start": "2024-02", "end": "2028-02"}), License("CA", "A12345", date(2024, 2, 1), date(2028, 2, 29))),
        (qualification(period={"end": "2027-06-30T23:59:59-07:00"}), License("CA", "A12345", None, date(2027, 6, 30))),
    ],
)  # fmt: skip
def test_a_license_is_read(given, read):
    assert licenses(given) == (read,)


@pytest.mark.parametrize(
    "given",
    [
        qualification("DEA"),
        qualification("CLIA"),
        qualification("PTAN"),
        qualification("SPI"),
        qualification("OTHER"),
        qualification("TAXONOMY"),
        qualification(""),
        qualification(state=""),
        qualification(state="ZZ"),
        qualification(state="CA NV"),
        qualification(state=None, issuer=""),
        qualification(state=None, issuer="State Board"),
        qualification(state=None, issuer="National Board of Medical Examiners"),
        qualification(state=None, issuer="Nevada and California Medical Boards"),
        qualification(state=None, issuer="Boards of Arkansasville"),
        qualification(period="2024/2027"),
        qualification(period={"end": "31.12.2027"}),
        qualification(period={"end": "2027-13-01"}),
        qualification(period={"end": 2027}),
        qualification(period={"start": "soon"}),
        qualification() | {"code": None},
        qualification() | {"issuer": None},
        qualification() | {"issuer": "Medical Board of California"},
    ],
)
def test_what_does_not_prove_a_license_gives_none(given):
    assert licenses(given) == ()


@pytest.mark.parametrize(
    ("issuer", "jurisdiction"),
    [
        ("Medical Board of California", "CA"),
        ("West Virginia Board of Medicine", "WV"),
        ("Virginia Board of Medicine", "VA"),
        ("Arkansas State Medical Board", "AR"),
        ("Kansas Board of Healing Arts", "KS"),
        ("New York State Education Department", "NY"),
        ("Washington Medical Commission", "WA"),
        ("Washington, D.C. Board of Medicine", "DC"),
        ("Washington DC Department of Health", "DC"),
        ("District of Columbia Board of Medicine", "DC"),
        ("PUERTO RICO Board of Medical Licensure", "PR"),
        ("U.S. Virgin Islands Board of Medical Examiners", "VI"),
        ("Board of Medicine of California, Sacramento, California", "CA"),
    ],
)
def test_an_issuers_name_tells_its_state(issuer, jurisdiction):
    assert [found.jurisdiction for found in licenses(qualification(state=None, issuer=issuer))] == [
        jurisdiction
    ]


def test_two_statements_of_the_state_that_differ_prove_neither():
    given = qualification()
    given["issuer"]["extension"].append({"url": f"{CANVAS}/issuing-authority-state", "valueString": "NV"})
    assert licenses(given) == ()


def test_a_license_that_ended_or_is_another_states_does_not_cover():
    ended, elsewhere = licenses(
        qualification(period={"start": "2020-01-01", "end": "2026-11-30"}),
        qualification(state="NV"),
    )
    assert (ended.jurisdiction, ended.covers(date(2026, 11, 30)), ended.covers(date(2026, 12, 1))) == (
        "CA",
        True,
        False,
    )
    assert elsewhere.jurisdiction == "NV"


@pytest.mark.parametrize("number", ["not a code", "", "207Q00000", "207q00000x1"])
def test_a_taxonomy_that_is_no_code_is_left_out(number):
    person = documents.practitioner(qualification=[qualification("TAXONOMY", number)])
    assert taxonomy_codes(person) == ()
