"""Our copy of the EHR's directory: what the EHR owns is rewritten, what the desk owns stays, nobody is deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import pytest

from booking import ehr
from booking.flows.sync_directory import sync_directory
from booking.models import ClinicianRecord, LicenseRecord, LocationRecord, ScheduleRecord
from booking.scheduling.errors import EhrRejected, EhrUnavailable
from booking.scheduling.terms import (
    Directory,
    License,
    LocationListing,
    PractitionerListing,
    ScheduleListing,
)
from tests import factories

pytestmark = pytest.mark.django_db

FAMILY, SKIN = "207Q00000X", "207N00000X"


@dataclass
class Listed:
    """An EHR that has a directory and nothing else. Change it between two calls."""

    found: Directory

    def directory(self) -> Directory:
        return self.found

    def change(self, kind: str, **changes) -> None:
        """Change the first listing of a kind."""
        first, *others = getattr(self.found, kind)
        self.found = replace(self.found, **{kind: (replace(first, **changes), *others)})


def small() -> Directory:
    return Directory(
        practitioners=(
            PractitionerListing(
                ref="Practitioner/1",
                name="Grace Kim",
                family="Kim",
                given="Grace",
                credentials="MD",
                taxonomy_codes=(FAMILY,),
                licenses=(License("CA", "A1", date(2020, 1, 1), date(2027, 1, 1)), License("NV", "N1")),
                room_url="https://rooms.example/grace",
                languages=("English", "Korean"),
            ),
        ),
        locations=(
            LocationListing(
                ref="Location/1",
                name="Oakland",
                address_lines=("2140 Juniper Way",),
                city="Oakland",
                jurisdiction="CA",
                postal_code="94612",
            ),
        ),
        schedules=(ScheduleListing("Schedule/1", "Practitioner/1", "Location/1", "1"),),
    )


@pytest.fixture
def listed(settings, monkeypatch) -> Listed:
    fake = Listed(small())
    settings.EHR_BASE_URL = "https://listed.example"
    monkeypatch.setitem(ehr._gateways, ehr.configured(), fake)
    factories.specialty("family", taxonomy_codes=FAMILY)
    factories.specialty("dermatology", taxonomy_codes=SKIN)
    return fake


def only(model):
    return model.objects.get()


def test_a_directory_is_written_down(listed):
    report = sync_directory()
    assert (report.clinicians, report.licenses, report.locations, report.schedules, report.retired) == (
        1,
        2,
        1,
        1,
        0,
    )
    assert (report.unmatched_schedules, report.without_license, report.without_specialty) == ([], [], [])
    grace = only(ClinicianRecord)
    assert (grace.ehr_ref, grace.full_name, grace.family_name) == ("Practitioner/1", "Grace Kim, MD", "Kim")
    assert (grace.languages, grace.fixed_room_url) == ("English, Korean", "https://rooms.example/grace")
    assert [specialty.code for specialty in grace.specialties.all()] == ["family"]
    assert [each.to_term() for each in grace.licenses.all()] == list(listed.found.practitioners[0].licenses)
    place = only(LocationRecord)
    assert (place.address, place.jurisdiction, place.time_zone) == (
        "2140 Juniper Way\nOakland, CA 94612",
        "CA",
        "America/Los_Angeles",
    )
    schedule = only(ScheduleRecord)
    assert (schedule.ehr_ref, schedule.clinician, schedule.location) == ("Schedule/1", grace, place)


def test_syncing_again_changes_nothing(listed):
    sync_directory()
    before = [list(model.objects.values()) for model in (ClinicianRecord, LocationRecord, ScheduleRecord)]
    assert sync_directory().retired == 0
    assert [
        list(model.objects.values()) for model in (ClinicianRecord, LocationRecord, ScheduleRecord)
    ] == before
    assert LicenseRecord.objects.count() == 2


def test_what_the_ehr_owns_is_rewritten(listed):
    sync_directory()
    listed.change("practitioners", name="Grace Kim-Lee", credentials="DO", licenses=(License("OR", "O1"),))
    listed.change("locations", name="Oakland Uptown", city="")
    sync_directory()
    grace, place = only(ClinicianRecord), only(LocationRecord)
    assert (grace.full_name, place.name, place.address) == (
        "Grace Kim-Lee, DO",
        "Oakland Uptown",
        "2140 Juniper Way",
    )
    assert [(each.jurisdiction, each.number) for each in grace.licenses.all()] == [("OR", "O1")]


def test_what_the_desk_owns_is_kept(listed):
    sync_directory()
    desk = {
        "is_bookable": False,
        "room_url": "https://rooms.example/desk",
        "by_video": False,
        "in_person": False,
        "by_phone": False,
        "accepts_new_patients": False,
    }
    ClinicianRecord.objects.update(**desk)
    declined = factories.reason("rash")
    only(ClinicianRecord).declined_reasons.add(declined)
    LocationRecord.objects.update(time_zone="America/Boise", ehr_key="9")
    listed.change("locations", zone="America/New_York")
    sync_directory()
    grace, place = only(ClinicianRecord), only(LocationRecord)
    assert {name: getattr(grace, name) for name in desk} == desk
    assert list(grace.declined_reasons.all()) == [declined]
    assert (place.time_zone, place.ehr_key) == ("America/Boise", "9")


@pytest.mark.parametrize(
    ("kind", "model", "ref"),
    [
        pytest.param("practitioners", ClinicianRecord, "Practitioner/1", id="clinician"),
        pytest.param("locations", LocationRecord, "Location/1", id="location"),
        pytest.param("schedules", ScheduleRecord, "Schedule/1", id="schedule"),
    ],
)
def test_who_is_gone_from_the_ehr_is_retired_and_comes_back_as_they_were(listed, kind, model, ref):
    sync_directory()
    made = factories.booking(clinician=only(ClinicianRecord))
    whole = listed.found
    somebody_else = (replace(whole.practitioners[0], ref="Practitioner/2"),)
    listed.found = replace(whole, **{kind: somebody_else if kind == "practitioners" else ()})
    sync_directory()
    record = model.objects.get(ehr_ref=ref)
    assert record.is_active is False
    bookable = ClinicianRecord.objects.bookable().with_directory()
    assert [schedule for each in bookable for schedule in each.to_term().schedules] == []
    made.refresh_from_db()
    assert made.clinician.ehr_ref == "Practitioner/1"
    listed.found = whole
    sync_directory()
    back = model.objects.get(ehr_ref=ref)
    assert (back.pk, back.is_active) == (record.pk, True)


def test_directory_that_lists_nobody_changes_nothing(listed):
    """A client that lost its scope, say, must not retire the whole clinic."""
    sync_directory()
    listed.found = replace(listed.found, practitioners=(), schedules=())
    with pytest.raises(EhrRejected):
        sync_directory()
    assert (only(ClinicianRecord).is_active, only(ScheduleRecord).is_active) == (True, True)


def test_retired_rows_are_counted_once(listed):
    sync_directory()
    listed.found = replace(listed.found, locations=(), schedules=())
    assert [sync_directory().retired, sync_directory().retired] == [2, 0]


def test_a_schedule_whose_place_is_not_known_is_listed_and_not_booked(listed):
    listed.change("schedules", location_ref="", location_key="7")
    report = sync_directory()
    assert (report.unmatched_schedules, report.schedules, ScheduleRecord.objects.count()) == (
        ["Schedule/1"],
        0,
        0,
    )


def test_the_desk_can_tell_which_place_a_key_means(listed):
    listed.change("schedules", location_ref="", location_key="7")
    sync_directory()
    LocationRecord.objects.update(ehr_key="7")
    report = sync_directory()
    assert (report.unmatched_schedules, only(ScheduleRecord).location) == ([], only(LocationRecord))


def test_a_schedule_of_nobody_we_list_is_left_out(listed):
    listed.change("schedules", practitioner_ref="Practitioner/9")
    assert (sync_directory().schedules, ScheduleRecord.objects.count()) == (0, 0)


def test_those_who_can_never_be_offered_are_named(listed):
    listed.change("practitioners", licenses=(), taxonomy_codes=("999999999X",))
    report = sync_directory()
    assert (report.without_license, report.without_specialty) == (["Grace Kim"], ["Grace Kim"])


def test_a_specialty_set_at_the_desk_stays_where_the_ehr_names_none(listed):
    listed.change("practitioners", taxonomy_codes=())
    sync_directory()
    only(ClinicianRecord).specialties.set([factories.specialty("dermatology")])
    report = sync_directory()
    assert [each.code for each in only(ClinicianRecord).specialties.all()] == ["dermatology"]
    assert report.without_specialty == []


def test_a_specialty_set_at_the_desk_stays_where_the_ehr_names_one_we_do_not_know(listed):
    listed.change("practitioners", taxonomy_codes=("999999999X",))
    sync_directory()
    only(ClinicianRecord).specialties.set([factories.specialty("dermatology")])
    sync_directory()
    assert [each.code for each in only(ClinicianRecord).specialties.all()] == ["dermatology"]


def test_a_location_of_an_unknown_state_gets_a_zone_that_exists(listed):
    listed.change("locations", jurisdiction="", zone="")
    sync_directory()
    assert only(LocationRecord).time_zone == "UTC"


def test_an_ehr_that_is_away_changes_nothing(portal_ehr):
    before = factories.clinician()
    portal_ehr.faults("403-html", times=None)
    with pytest.raises(EhrUnavailable):
        sync_directory()
    before.refresh_from_db()
    assert (before.is_active, ClinicianRecord.objects.count()) == (True, 1)


def test_the_sandboxs_whole_directory_is_read(portal_ehr):
    factories.specialty("family")
    report = sync_directory()
    assert (report.clinicians, report.locations, report.schedules) == (41, 2, 82)
    assert (report.unmatched_schedules, report.without_license) == ([], ["Procedure Room A"])
    priya = ClinicianRecord.objects.get(family_name="Raghunathan")
    assert sorted(each.jurisdiction for each in priya.licenses.all()) == ["CA", "FL", "NY", "TX", "WA"]
    assert sorted(each.location.name for each in priya.schedules.all()) == [
        "Juniper Health Austin",
        "Juniper Health Oakland",
    ]
