from __future__ import annotations

from datetime import date

import pytest

from booking.scheduling.errors import EhrRejected
from booking.scheduling.terms import Directory, License, LocationListing, PractitionerListing, ScheduleListing

from . import documents
from .documents import ANA, ANA_NORTH, BEN, CANVAS, NORTH, SOUTH, bundle
from .stand_in import StandIn, gateway

CALIFORNIA = License("CA", "A12345", date(2024, 1, 1), date(2027, 12, 31))


def directory(
    practitioners: list | None = None, locations: list | None = None, schedules: list | None = None
) -> Directory:
    ehr = StandIn(
        {
            "GET Practitioner": bundle(
                *([documents.practitioner()] if practitioners is None else practitioners)
            ),
            "GET Location": bundle(*([documents.location()] if locations is None else locations)),
            "GET Schedule": bundle(*([documents.schedule()] if schedules is None else schedules)),
        }
    )
    with gateway(ehr) as opened:
        return opened.directory()


def location_of(comment: str, *places: dict, practitioner: dict | None = None) -> str:
    found = directory(
        [practitioner or documents.practitioner()], list(places), [documents.schedule(comment=comment)]
    )
    return found.schedules[0].location_ref


SOUTH_PLACE = documents.location(SOUTH, "South Clinic", "South")


def test_the_directory_reads_everything_canvas_tells():
    assert directory() == Directory(
        practitioners=(
            PractitionerListing(
                ref=f"Practitioner/{ANA}",
                name="Ana Ruiz",
                family="Ruiz",
                given="Ana",
                credentials="MD",
                photo_url="https://files.example/ana.png",
                languages=("es",),
                taxonomy_codes=("207Q00000X",),
                role_codes=("MD",),
                licenses=(CALIFORNIA,),
                room_url="https://video.example/ana",
                primary_location_ref=f"Location/{NORTH}",
                is_active=True,
            ),
        ),
        locations=(
            LocationListing(
                ref=f"Location/{NORTH}",
                name="North Clinic",
                short_name="North",
                address_lines=("12 Elm Street", "Suite 4"),
                city="Fresno",
                jurisdiction="CA",
                postal_code="93701",
                zone="",
                is_active=True,
            ),
        ),
        schedules=(
            ScheduleListing(
                ref=ANA_NORTH,
                practitioner_ref=f"Practitioner/{ANA}",
                location_ref=f"Location/{NORTH}",
                location_key="1",
                comment="Schedule for Ana Ruiz MD at North Clinic",
            ),
        ),
    )


def test_the_directory_is_three_searches_of_all_pages():
    ehr = StandIn(
        {
            "GET Practitioner": [
                bundle(documents.practitioner(), next_url="/Practitioner?active=true&_count=100&_offset=100"),
                bundle(documents.practitioner(BEN, "Ben", "Otieno", "Ben Otieno NP")),
            ],
            "GET Location": bundle(documents.location()),
            "GET Schedule": bundle(documents.schedule()),
        }
    )
    with gateway(ehr) as opened:
        found = opened.directory()
    assert [listing.name for listing in found.practitioners] == ["Ana Ruiz", "Ben Otieno"]
    assert ehr.sent == [
        ("GET", "/Practitioner", {"active": "true", "_count": "100"}),
        ("GET", "/Practitioner", {"active": "true", "_count": "100", "_offset": "100"}),
        ("GET", "/Location", {"_count": "100"}),
        ("GET", "/Schedule", {}),
    ]


@pytest.mark.parametrize("active", [False, None, "true", 1])
def test_a_practitioner_who_is_not_plainly_active_is_left_out_with_their_schedules(active):
    found = directory(
        [documents.practitioner(active=active), documents.practitioner(BEN, "Ben", "Otieno", "")]
    )
    assert [listing.ref for listing in found.practitioners] == [f"Practitioner/{BEN}"]
    assert found.schedules == ()


def test_a_closed_location_is_listed_as_such_and_its_schedules_are_left_out():
    found = directory(locations=[documents.location(status="inactive"), SOUTH_PLACE])
    assert [(place.name, place.is_active) for place in found.locations] == [
        ("North Clinic", False),
        ("South Clinic", True),
    ]
    assert found.schedules == ()


def test_one_broken_record_does_not_hide_the_others():
    found = directory(
        [documents.practitioner(name=None), documents.practitioner()],
        [documents.location(name=7), documents.location()],
        [documents.schedule(id="Location.x-Staff.y"), documents.schedule()],
    )
    assert (len(found.practitioners), len(found.locations), len(found.schedules)) == (1, 1, 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"practitioners": [documents.practitioner(name=None)]},
        {"locations": [documents.location(id=None)]},
        {"schedules": [documents.schedule(id=None)]},
    ],
)
def test_when_none_can_be_read_it_is_an_error_and_not_an_empty_clinic(broken):
    with pytest.raises(EhrRejected):
        directory(**broken)


@pytest.mark.parametrize(
    ("more", "name", "credentials"),
    [
        ({"text": "Ana Ruiz MD"}, "Ana Ruiz", "MD"),
        ({"text": "Dr. Ana María Ruiz, MD, MPH"}, "Dr. Ana María Ruiz", "MD, MPH"),
        ({"text": "Ana Ruiz", "suffix": ["MD"]}, "Ana Ruiz", "MD"),
        ({"text": None, "suffix": ["MD", "MPH"]}, "Ana Ruiz", "MD, MPH"),
        ({"text": "Ana Ruizsson MD"}, "Ana Ruizsson MD", ""),
        ({"text": "Ana \x00Ruiz\n MD\ud800"}, "Ana Ruiz", "MD"),
    ],
)
def test_credentials_are_told_from_the_name(more, name, credentials):
    named = {"use": "usual", "family": "Ruiz", "given": ["Ana"]} | more
    found = directory([documents.practitioner(name=[named])]).practitioners[0]
    assert (found.name, found.credentials) == (name, credentials)


def test_a_former_name_is_not_shown():
    names = [
        {"use": "maiden", "family": "Lopez", "given": ["Ana"], "text": "Ana Lopez MD"},
        {"use": "usual", "family": "Ruiz", "given": ["Ana"], "text": "Ana Ruiz MD"},
    ]
    assert directory([documents.practitioner(name=names)]).practitioners[0].name == "Ana Ruiz"


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "http://files.example/a.png", "//files.example/a", "https://a@files.example/", 7,
     "https://files.example/a\"onerror=x", "https://", "https://[::1"],
)  # fmt: skip
def test_an_address_that_is_not_plain_https_is_not_taken(url):
    room = {"url": f"{CANVAS}/practitioner-personal-meeting-room-link", "valueUrl": url}
    found = directory([documents.practitioner(photo=[{"url": url}], extension=[room])]).practitioners[0]
    assert (found.photo_url, found.room_url) == ("", "")


@pytest.mark.parametrize(
    ("communication", "languages"),
    [
        (None, ()),
        ([{"text": "Spanish"}], ("Spanish",)),
        (
            [{"coding": [{"code": "es"}]}, {"coding": [{"code": "es"}]}, {"coding": [{"code": "fr"}]}],
            ("es", "fr"),
        ),
        ([{"language": {"coding": [{"code": "vi"}]}, "preferred": True}], ("vi",)),
        ([7, {}, {"coding": 7}], ()),
    ],
)
def test_languages_are_read_where_there_are_any(communication, languages):
    found = directory([documents.practitioner(communication=communication)])
    assert found.practitioners[0].languages == languages


@pytest.mark.parametrize(
    ("comment", "place"),
    [
        ("Schedule for Ana Ruiz MD at North Clinic", NORTH),
        ("Schedule for Ana Ruiz at North Clinic", NORTH),
        ("schedule for  ana ruiz md  at NORTH CLINIC", NORTH),
        ("Schedule for Ana Ruiz MD at North", NORTH),
        ("Schedule for Ana Ruiz MD at South", SOUTH),
        ("Schedule for Someone Else at South Clinic", SOUTH),
        ("Schedule for Ana Ruiz MD at West Clinic", ""),
        ("Schedule for Ana Ruiz MD at", ""),
        ("", ""),
    ],
)
def test_a_schedules_comment_names_its_location(comment, place):
    expected = f"Location/{place}" if place else ""
    assert location_of(comment, documents.location(), SOUTH_PLACE) == expected


def test_a_location_name_that_holds_at_is_matched_whole():
    inner = documents.location(NORTH, "North", "")
    outer = documents.location(SOUTH, "Annex at North", "")
    assert location_of("Schedule for Ana Ruiz MD at Annex at North", inner, outer) == f"Location/{SOUTH}"
    assert location_of("Schedule for Ana Ruiz MD at Annex at North", inner) == ""
    assert location_of("Schedule for A. Ruiz at Annex at North", inner, outer) == f"Location/{SOUTH}"


def test_a_practitioner_name_that_holds_at_is_known_for_one():
    ana = documents.practitioner(text="Ana Ruiz at North MD")
    places = documents.location(NORTH, "North MD at South", ""), documents.location(SOUTH, "South", "")
    assert (
        location_of("Schedule for Ana Ruiz at North MD at South", *places, practitioner=ana)
        == f"Location/{SOUTH}"
    )


def test_a_full_name_goes_before_anothers_short_name():
    full = documents.location(NORTH, "North", "N")
    short = documents.location(SOUTH, "North Clinic", "North")
    assert location_of("Schedule for Ana Ruiz MD at North", full, short) == f"Location/{NORTH}"
    assert location_of("Schedule for A. Ruiz at North", full, short) == f"Location/{NORTH}"


def test_two_locations_of_one_name_are_left_to_the_admin():
    twin = documents.location(SOUTH, "North Clinic", "South")
    assert location_of("Schedule for Ana Ruiz MD at North Clinic", documents.location(), twin) == ""


def settled(*schedules: dict) -> list[tuple[str, str]]:
    ben = documents.practitioner(BEN, "Ben", "Otieno", "Ben Otieno NP")
    found = directory([documents.practitioner(), ben], [documents.location(), SOUTH_PLACE], list(schedules))
    return [(listing.location_key, listing.location_ref) for listing in found.schedules]


def test_one_schedule_that_names_the_location_settles_it_for_all_of_its_number():
    ana = documents.schedule()
    ben = documents.schedule(1, BEN, "Calendar of Ben")
    assert settled(ana, ben) == [("1", f"Location/{NORTH}"), ("1", f"Location/{NORTH}")]


def test_a_number_that_two_comments_place_differently_is_left_to_the_admin():
    ana = documents.schedule()
    ben = documents.schedule(1, BEN, "Schedule for Ben Otieno NP at South Clinic")
    assert settled(ana, ben) == [("1", ""), ("1", "")]


def test_a_location_that_two_numbers_claim_is_left_to_the_admin():
    ana = documents.schedule()
    ben = documents.schedule(2, BEN, "Schedule for Ben Otieno NP at North")
    assert settled(ana, ben) == [("1", ""), ("2", "")]


@pytest.mark.parametrize(
    "id",
    [
        f"Location.{NORTH}-Staff.{ANA}",
        "Location.1-Staff.ana",
        f"Location.1-Staff.{ANA}0",
        f"Staff.{ANA}",
        f"Location.-1-Staff.{ANA}",
        f"Location.1-Staff.{ANA}/../x",
        "",
        7,
        None,
    ],
)
def test_a_schedule_id_of_another_form_is_left_out(id):  # noqa: A002
    found = directory(schedules=[documents.schedule(id=id), documents.schedule()])
    assert [listing.ref for listing in found.schedules] == [ANA_NORTH]


def test_a_schedule_whose_actor_is_not_the_one_in_its_id_is_left_out():
    odd = documents.schedule(actor=[{"reference": f"Practitioner/{BEN}"}])
    assert directory(schedules=[odd, documents.schedule(2)]).schedules[0].location_key == "2"


@pytest.mark.parametrize("state", ["California", "ca"])
def test_a_locations_state_is_a_code(state):
    address = documents.location()["address"] | {"state": state}
    for written in (address, [address]):
        found = directory(locations=[documents.location(address=written)]).locations[0]
        assert (found.jurisdiction, found.city) == ("CA", "Fresno")
