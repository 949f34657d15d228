"""The profession that letters behind a name prove. Whoever is not proved to have one uses no compact."""

from __future__ import annotations

import pytest

from booking.scheduling.professions import PROFESSIONS, profession_of


@pytest.mark.parametrize(
    ("letters", "profession"),
    [
        ("MD", "MD"),
        ("M.D., PhD", "MD"),
        ("DO, FACP", "DO"),
        ("FNP-BC", "NP"),
        ("MSN, RN, PMHNP-BC", "NP"),
        ("PA-C", "PA"),
        ("BSN, RN", "RN"),
        ("LVN", "LPN"),
        ("MA, LPC", "LPC"),
        ("LPCC-S", "LPC"),
        ("PT, DPT", "PT"),
        ("PTA", "PTA"),
        ("OTR/L", "OT"),
    ],
)
def test_letters_of_one_license_name_the_profession(letters: str, profession: str) -> None:
    assert profession_of(letters) == profession
    assert profession in PROFESSIONS


@pytest.mark.parametrize(
    "letters",
    [
        pytest.param("", id="nothing"),
        pytest.param("PhD", id="a-degree"),
        pytest.param("DNP", id="a-nursing-degree"),
        pytest.param("RN, LPC", id="two-professions"),
        pytest.param("MDiv", id="letters-inside-other-letters"),
        pytest.param("MA", id="a-master"),
    ],
)
def test_letters_that_prove_none_name_none(letters: str) -> None:
    assert profession_of(letters) == ""


@pytest.mark.parametrize(
    ("letters", "taxonomy", "profession"),
    [
        pytest.param("PhD", ("103TC0700X",), "PSYCHOLOGIST", id="doctor-of-clinical-psychology"),
        pytest.param("PsyD, ABPP", ("103T00000X",), "PSYCHOLOGIST", id="psyd"),
        pytest.param("PhD", ("207Q00000X",), "", id="doctor-of-something-else"),
        pytest.param("MA", ("103T00000X",), "", id="no-doctorate"),
        pytest.param("PhD, RN", ("103T00000X",), "", id="two-professions"),
    ],
)
def test_psychologists_need_a_doctorate_and_the_code(
    letters: str, taxonomy: tuple[str, ...], profession: str
) -> None:
    assert profession_of(letters, taxonomy_codes=taxonomy) == profession


def test_role_codes_speak_where_letters_are_silent() -> None:
    assert profession_of("", ("RN",)) == "RN"
    assert profession_of("MD", ("RN",)) == "MD"
    assert profession_of("", ("RN", "MD")) == ""
