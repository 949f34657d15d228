"""The places a patient can be in: fifty states, the District and five territories, with zones that exist."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from booking.scheduling.clock import ZONE_NAMES, zone_words
from booking.scheduling.jurisdictions import JURISDICTIONS

STATES = """
AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI
SC SD TN TX UT VT VA WA WV WI WY
"""
TERRITORIES = {"AS", "GU", "MP", "PR", "VI"}


def test_there_are_fifty_states_the_district_and_five_territories():
    states = STATES.split()
    assert len(states) == 50
    assert set(JURISDICTIONS) == {*states, "DC", *TERRITORIES}
    assert {place.code for place in JURISDICTIONS.values() if place.is_territory} == TERRITORIES


def test_each_is_found_by_its_own_code():
    assert [code for code, place in JURISDICTIONS.items() if place.code != code] == []


def test_names_differ():
    names = [place.name for place in JURISDICTIONS.values()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("AK", "Alaska"),
        ("AL", "Alabama"),
        ("AR", "Arkansas"),
        ("AS", "American Samoa"),
        ("AZ", "Arizona"),
        ("DC", "District of Columbia"),
        ("IA", "Iowa"),
        ("IN", "Indiana"),
        ("MA", "Massachusetts"),
        ("MD", "Maryland"),
        ("ME", "Maine"),
        ("MI", "Michigan"),
        ("MN", "Minnesota"),
        ("MO", "Missouri"),
        ("MP", "Northern Mariana Islands"),
        ("MS", "Mississippi"),
        ("MT", "Montana"),
        ("NC", "North Carolina"),
        ("ND", "North Dakota"),
        ("NE", "Nebraska"),
        ("NV", "Nevada"),
        ("VA", "Virginia"),
        ("VI", "U.S. Virgin Islands"),
        ("WV", "West Virginia"),
    ],
)
def test_codes_that_are_easily_confused_have_their_names(code, name):
    assert JURISDICTIONS[code].name == name


@pytest.mark.parametrize("place", JURISDICTIONS.values(), ids=lambda place: place.code)
def test_every_zone_exists_once_and_has_a_common_name(place):
    assert place.zones != ()
    assert [ZoneInfo(zone).key for zone in place.zones] == list(dict.fromkeys(place.zones))
    assert [zone for zone in place.zones if zone not in ZONE_NAMES] == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AK", ["Alaska", "Hawaii-Aleutian"]),
        ("AZ", ["Arizona", "Mountain"]),
        ("FL", ["Eastern", "Central"]),
        ("ID", ["Mountain", "Pacific"]),
        ("IN", ["Eastern", "Central"]),
        ("KS", ["Central", "Mountain"]),
        ("KY", ["Eastern", "Central"]),
        ("MI", ["Eastern", "Central"]),
        ("ND", ["Central", "Mountain"]),
        ("NE", ["Central", "Mountain"]),
        ("NV", ["Pacific", "Mountain"]),
        ("OR", ["Pacific", "Mountain"]),
        ("SD", ["Central", "Mountain"]),
        ("TN", ["Central", "Eastern"]),
        ("TX", ["Central", "Mountain"]),
    ],
)
def test_places_with_two_zones_begin_with_the_most_peopled(code, words):
    assert [zone_words(zone) for zone in JURISDICTIONS[code].zones] == words


def test_all_other_places_have_one_zone():
    split = [code for code, place in JURISDICTIONS.items() if len(place.zones) > 1]
    assert " ".join(sorted(split)) == "AK AZ FL ID IN KS KY MI ND NE NV OR SD TN TX"
