"""What people type: taken when it can be meant only one way, and otherwise told what to do."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from booking.web.forms import CodeForm, ContactForm, DetailsForm, StateForm, ZoneForm

TODAY = date(2026, 11, 21)
WHOLE = {
    "given_name": "Ana",
    "family_name": "Ruiz",
    "birth_month": "2",
    "birth_day": "29",
    "birth_year": "1984",
    "sex": "female",
}


def details(verified: str = "email", **changes: str) -> DetailsForm:
    return DetailsForm(WHOLE | changes, verified_channel=verified, today=TODAY)


def test_whole_details_are_taken() -> None:
    form = details()
    assert form.is_valid(), form.errors
    assert form.cleaned_data["birth_date"] == date(1984, 2, 29)


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        pytest.param(
            {"birth_day": "30"},
            {"birth_day": ["That month has no such day. Check the date of birth."]},
            id="February 30",
        ),
        pytest.param(
            {"birth_year": "1985"},
            {"birth_day": ["That month has no such day. Check the date of birth."]},
            id="no leap year",
        ),
        pytest.param(
            {"birth_month": "13"}, {"birth_month": ["The month must be from 1 to 12."]}, id="month 13"
        ),
        pytest.param(
            {"birth_year": "84"},
            {"birth_year": ["Enter the year as four digits, such as 1985."]},
            id="two digits",
        ),
        pytest.param(
            {"birth_year": "2026", "birth_month": "11", "birth_day": "22"},
            {"birth_year": ["The date of birth must be in the past."]},
            id="tomorrow",
        ),
        pytest.param(
            {"birth_year": "1884"}, {"birth_year": ["Check the year of birth."]}, id="142 years old"
        ),
        pytest.param(
            {"birth_month": "May"}, {"birth_month": ["Enter the month as a number."]}, id="in words"
        ),
        pytest.param({"given_name": " "}, {"given_name": ["Enter your first name."]}, id="blank name"),
        pytest.param({"family_name": "1234"}, {"family_name": ["Enter a name."]}, id="digits for a name"),
        pytest.param({"sex": "x"}, None, id="not on the list"),
        pytest.param(
            {"mobile": "12"},
            {"mobile": ["Enter a mobile number with its area code, such as (510) 555-0142."]},
            id="short number",
        ),
    ],
)
def test_details_that_cannot_be_meant_are_named(
    changes: dict[str, str], errors: dict[str, list[str]] | None
) -> None:
    form = details(**changes)
    assert not form.is_valid()
    if errors is not None:
        assert form.errors == errors


def test_today_is_a_birth_date() -> None:
    assert details(birth_year="2026", birth_month="11", birth_day="21").is_valid()


@pytest.mark.parametrize("name", ["Žofie", "李", "O'Shaughnessy", "Ana María", "de la Cruz-Núñez"])
def test_names_of_people_are_taken_as_they_are(name: str) -> None:
    form = details(given_name=name)
    assert form.is_valid(), form.errors
    assert form.cleaned_data["given_name"] == name


def test_contact_that_was_proved_is_not_asked_for_again() -> None:
    assert ("email" in details().fields, "mobile" in details().fields) == (False, True)
    assert ("email" in details("mobile").fields, "text_consent" in details("mobile").fields) == (True, True)
    assert "text_consent" not in details().fields


def test_without_consent_to_texts_an_address_is_needed() -> None:
    said = {"email": ["Enter an e-mail address, or agree to texts, so that we can confirm your visit."]}
    assert details("mobile").errors == said
    assert details("mobile", text_consent="on").is_valid()
    assert details("mobile", email="ana@example.com").is_valid()


@pytest.mark.parametrize(
    "typed", ["5105550142", "(510) 555-0142", "510.555.0142", "+1 510 555 0142", "1-510-555-0142"]
)
def test_mobile_numbers_become_e164(typed: str) -> None:
    form = ContactForm({"channel": "mobile", "mobile": typed})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["mobile"] == "+15105550142"


def test_numbers_abroad_are_not_texted() -> None:
    form = ContactForm({"channel": "mobile", "mobile": "+44 7911 123456"})
    assert form.errors == {
        "mobile": ["We can only text numbers in the United States. Use your e-mail instead."]
    }


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({}, {"channel": ["Choose e-mail or text message."]}),
        ({"channel": "email"}, {"email": ["Enter your e-mail address."]}),
        ({"channel": "mobile"}, {"mobile": ["Enter your mobile number."]}),
        (
            {"channel": "email", "email": "ana@"},
            {"email": ["Enter an e-mail address such as name@example.com."]},
        ),
        ({"channel": "email", "email": "ana@example.com", "mobile": "12"}, {}),
    ],
)
def test_only_the_chosen_contact_is_looked_at(data: dict[str, Any], errors: dict[str, list[str]]) -> None:
    assert ContactForm(data).errors == errors


@pytest.mark.parametrize(
    ("typed", "taken"), [("123456", "123456"), ("123 456", "123456"), (" 123-456 ", "123456")]
)
def test_code_is_taken_however_it_is_spaced(typed: str, taken: str) -> None:
    form = CodeForm({"code": typed})
    assert form.is_valid()
    assert form.cleaned_data["code"] == taken


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef"])
def test_code_of_another_length_is_named(typed: str) -> None:
    assert CodeForm({"code": typed}).is_valid() is False


def test_every_state_and_territory_can_be_chosen() -> None:
    groups = dict(StateForm().fields["state"].choices[1:])  # type: ignore[attr-defined]
    assert {name: len(places) for name, places in groups.items()} == {"States": 51, "Territories": 5}
    assert StateForm({"state": "XX"}).errors == {"state": ["Choose a state from the list."]}


def test_zones_offered_are_those_of_the_state() -> None:
    form = ZoneForm({"zone": "America/New_York"}, jurisdiction="TX")
    assert form.fields["zone"].choices == [  # type: ignore[attr-defined]
        ("America/Chicago", "Central time"),
        ("America/Denver", "Mountain time"),
    ]
    assert not form.is_valid()
