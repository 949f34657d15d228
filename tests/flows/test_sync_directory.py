"""Our copy of the EHR's directory: what the EHR owns is rewritten, what the desk owns stays, nobody is deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from booking import ehr
from booking.flows import sync_directory as sync_module
from booking.flows.sync_directory import sync_directory
from booking.models import ClinicianRecord, DirectorySync, LicenseRecord, LocationRecord, ScheduleRecord
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
    LocationRecord.objects.update(ehr_key="9")
    listed.change("locations", zone="America/New_York")
    sync_directory()
    grace, place = only(ClinicianRecord), only(LocationRecord)
    assert {name: getattr(grace, name) for name in desk} == desk
    assert list(grace.declined_reasons.all()) == [declined]
    assert place.ehr_key == "9"


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


def test_a_role_says_the_specialty_of_whoever_has_no_taxonomy_code(listed):
    factories.specialty("counseling", taxonomy_codes="", role_codes="LCSW, LPC")
    listed.change("practitioners", taxonomy_codes=(), role_codes=("MA", "LPC"))
    assert sync_directory().without_specialty == []
    assert [each.code for each in only(ClinicianRecord).specialties.all()] == ["counseling"]


def test_a_role_says_nothing_beside_a_taxonomy_code(listed):
    factories.specialty("counseling", taxonomy_codes="", role_codes="LPC")
    listed.change("practitioners", role_codes=("LPC",))
    sync_directory()
    assert [each.code for each in only(ClinicianRecord).specialties.all()] == ["family"]


def set_here(record, **values):
    """What the desk's form does when somebody changes fields that the EHR fills."""
    for name, value in values.items():
        record.put(name, value)
    record.settle(values)
    record.save()


@pytest.mark.parametrize(
    ("model", "kind", "name", "here", "there", "value"),
    [
        pytest.param(ClinicianRecord, "practitioners", "name", "Dr. Grace", "name", "Grace Lee", id="name"),
        pytest.param(ClinicianRecord, "practitioners", "family_name", "Lee", "family", "Ray", id="family-name"),
        pytest.param(ClinicianRecord, "practitioners", "credentials", "MD, MPH", "credentials", "DO", id="credentials"),
        pytest.param(ClinicianRecord, "practitioners", "languages", "Korean", "languages", ("French",), id="languages"),
        pytest.param(
            ClinicianRecord, "practitioners", "photo_url", "https://clinic.example/g.jpg", "photo_url",
            "https://ehr.example/g.jpg", id="photo",
        ),
        pytest.param(
            ClinicianRecord, "practitioners", "specialties", ["dermatology"], "taxonomy_codes", (FAMILY, SKIN),
            id="specialties",
        ),
        pytest.param(LocationRecord, "locations", "name", "Uptown", "name", "Oakland Center", id="location"),
        pytest.param(LocationRecord, "locations", "address", "1 Main St", "address_lines", ("9 Elm",), id="address"),
        pytest.param(LocationRecord, "locations", "jurisdiction", "NV", "jurisdiction", "OR", id="state"),
        pytest.param(LocationRecord, "locations", "time_zone", "America/Boise", "zone", "America/New_York", id="zone"),
    ],
)  # fmt: skip
def test_what_the_desk_sets_stays_until_it_takes_the_ehrs_again(
    listed, model, kind, name, here, there, value
):
    sync_directory()
    set_here(only(model), **{name: here})
    listed.change(kind, **{there: value})
    report = sync_directory()
    record = only(model)
    assert (record.current(name), record.overridden) == (here, [name])
    assert report.overrides == [f"{record}: {name.replace('_', ' ')}"]
    told = record.ehr_values[name]
    assert told != here
    record.take_ehr_values()
    record.save()
    again = only(model)
    assert (again.current(name), again.overridden) == (told, [])
    assert sync_directory().overrides == []
    assert only(model).current(name) == told


def test_a_value_set_back_to_the_ehrs_is_no_override_any_more(listed):
    sync_directory()
    set_here(only(ClinicianRecord), name="Dr. Grace")
    set_here(only(ClinicianRecord), name="Grace Kim")
    assert only(ClinicianRecord).overridden == []
    listed.change("practitioners", name="Grace Lee")
    sync_directory()
    assert only(ClinicianRecord).name == "Grace Lee"


def test_an_override_that_the_ehr_catches_up_with_stays_one(listed):
    sync_directory()
    set_here(only(ClinicianRecord), name="Dr. Grace")
    listed.change("practitioners", name="Dr. Grace")
    sync_directory()
    listed.change("practitioners", name="Grace Lee")
    sync_directory()
    assert only(ClinicianRecord).name == "Dr. Grace"


def test_other_fields_of_a_row_with_an_override_are_kept_fresh(listed):
    sync_directory()
    set_here(only(ClinicianRecord), name="Dr. Grace")
    listed.change("practitioners", name="Grace Lee", credentials="DO")
    sync_directory()
    assert only(ClinicianRecord).full_name == "Dr. Grace, DO"


def test_what_the_desk_sets_while_the_directory_is_read_is_not_lost(listed, monkeypatch):
    sync_directory()
    listed.change("practitioners", name="Grace Lee")
    write_schedules = sync_module._locations

    def meanwhile(directory, report):
        found = write_schedules(directory, report)
        people = ClinicianRecord.objects.all()
        monkeypatch.setattr(ClinicianRecord.objects, "all", lambda: list(people), raising=False)
        list(people)
        set_here(ClinicianRecord.objects.get(), name="Dr. Grace")
        return found

    monkeypatch.setattr(sync_module, "_locations", meanwhile)
    sync_directory()
    monkeypatch.undo()
    grace = only(ClinicianRecord)
    assert (grace.name, grace.overridden) == ("Dr. Grace", ["name"])


def test_a_zone_of_the_ehrs_is_followed(listed):
    sync_directory()
    listed.change("locations", zone="America/Boise")
    sync_directory()
    assert only(LocationRecord).time_zone == "America/Boise"
    listed.change("locations", zone="America/Denver")
    sync_directory()
    assert only(LocationRecord).time_zone == "America/Denver"


@pytest.mark.parametrize("zone", ["", "Pacific Time", "America/Oakland"])
def test_a_zone_that_is_none_gives_way_to_the_states(listed, zone):
    listed.change("locations", zone=zone)
    sync_directory()
    assert only(LocationRecord).time_zone == "America/Los_Angeles"


def test_a_schedule_the_desk_moved_stays_where_it_was_put(listed):
    sync_directory()
    elsewhere = factories.location(ref="Location/2", name="Austin")
    listed.found = replace(
        listed.found,
        locations=(
            *listed.found.locations,
            replace(listed.found.locations[0], ref="Location/2", name="Austin"),
        ),
    )
    set_here(only(ScheduleRecord), location_id=elsewhere.pk)
    report = sync_directory()
    assert only(ScheduleRecord).location == elsewhere
    assert report.overrides == ["Grace Kim at Austin: location"]
    listed.change("schedules", location_ref="", location_key="7")
    assert sync_directory().unmatched_schedules == []
    assert only(ScheduleRecord).is_active


def rows() -> dict[str, int]:
    return {f"{each}": each.pk for each in LicenseRecord.objects.all()}


def test_a_license_keeps_its_row_while_it_is_listed(listed):
    sync_directory()
    before = rows()
    listed.change(
        "practitioners",
        licenses=(
            License("NV", "N1"),
            License("CA", "A1", date(2020, 1, 1), date(2029, 1, 1)),
            License("OR", "O1"),
        ),
    )
    sync_directory()
    after = rows()
    assert {name: after[name] for name in before} == before
    assert LicenseRecord.objects.get(jurisdiction="CA").ends_on == date(2029, 1, 1)
    listed.change("practitioners", licenses=(License("OR", "O1"),))
    sync_directory()
    assert rows() == {"OR O1": after["OR O1"]}


def test_a_renewal_under_the_same_number_is_a_row_of_its_own(listed):
    old, new = License("CA", "A1", None, date(2026, 6, 30)), License("CA", "A1", date(2026, 7, 1), None)
    listed.change("practitioners", licenses=(old,))
    sync_directory()
    (first,) = rows().values()
    listed.change("practitioners", licenses=(new, old))
    sync_directory()
    found = {row.to_term(): row.pk for row in LicenseRecord.objects.all()}
    assert set(found) == {old, new}
    assert found[old] == first


def test_a_license_entered_here_stays_and_counts(listed):
    listed.change("practitioners", licenses=())
    sync_directory()
    LicenseRecord.objects.create(
        clinician=only(ClinicianRecord), jurisdiction="WA", source=LicenseRecord.Source.DESK
    )
    report = sync_directory()
    assert (report.without_license, [str(each) for each in LicenseRecord.objects.all()]) == ([], ["WA"])


@pytest.mark.parametrize(
    ("credentials", "here", "profession"),
    [("MD", "", "MD"), ("PhD", "", ""), ("MD", "PSYCHOLOGIST", "PSYCHOLOGIST")],
)
def test_profession_is_read_off_the_credentials_where_none_is_set(listed, credentials, here, profession):
    listed.change("practitioners", credentials="")
    sync_directory()
    ClinicianRecord.objects.update(profession=here)
    listed.change("practitioners", credentials=credentials)
    sync_directory()
    assert only(ClinicianRecord).profession == profession


def test_each_reading_is_remembered_with_what_has_to_be_settled(listed):
    listed.change("schedules", location_ref="", location_key="7", comment="Schedule for Grace Kim at Oak")
    listed.change("practitioners", licenses=(), taxonomy_codes=())
    sync_directory()
    reading = only(DirectorySync)
    assert (reading.clinicians, reading.locations, reading.error) == (1, 1, "")
    assert reading.unmatched == {"7": {"schedules": 1, "comment": "Schedule for Grace Kim at Oak"}}
    assert (reading.without_license, reading.without_specialty) == (["Grace Kim"], ["Grace Kim"])


def test_a_failed_reading_is_remembered_and_the_last_good_one_is_told(listed):
    sync_directory()
    listed.found = replace(listed.found, practitioners=(), schedules=())
    with pytest.raises(EhrRejected):
        sync_directory()
    newest, oldest = DirectorySync.objects.all()
    assert (newest.clinicians, "lists nobody" in newest.error) == (0, True)
    assert sync_module.last_reading() == oldest


def test_old_readings_are_forgotten(listed, monkeypatch):
    monkeypatch.setattr(sync_module, "READINGS_KEPT", 2)
    for _ in range(4):
        sync_directory()
    assert DirectorySync.objects.count() == 2


def large(count: int) -> Directory:
    one = small()
    return Directory(
        practitioners=tuple(
            replace(
                one.practitioners[0],
                ref=f"Practitioner/{n}",
                name=f"Clinician {n}",
                licenses=(License("CA", f"A{n}"), License("NV", f"N{n}")),
            )
            for n in range(count)
        ),
        locations=one.locations,
        schedules=tuple(
            ScheduleListing(f"Schedule/{n}", f"Practitioner/{n}", "Location/1", "1") for n in range(count)
        ),
    )


def queries(listed) -> int:
    with CaptureQueriesContext(connection) as captured:
        sync_directory()
    return len(captured)


def test_many_clinicians_take_as_many_queries_as_few(listed):
    listed.found = large(3)
    first = [queries(listed)]
    listed.change("practitioners", name="Changed", licenses=(License("CA", "B"),), taxonomy_codes=(SKIN,))
    listed.change("locations", name="Changed")
    first += [queries(listed)]
    listed.found = large(300)
    second = [queries(listed)]
    listed.found = replace(
        listed.found,
        practitioners=tuple(
            replace(each, name=f"{each.name} Jr", licenses=(License("CA", "B"),), taxonomy_codes=(SKIN,))
            for each in listed.found.practitioners
        ),
    )
    second += [queries(listed)]
    assert max(first + second) <= 35


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
