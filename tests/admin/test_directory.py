"""What the EHR fills and the desk sets: marked, kept, found again and given back; and places that staff settle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from booking import ehr
from booking.models import (
    ClinicianRecord,
    DirectorySync,
    LicenseRecord,
    LocationRecord,
    ScheduleRecord,
    User,
)
from booking.scheduling.terms import Directory, LocationListing, PractitionerListing, ScheduleListing
from tests import factories

pytestmark = pytest.mark.django_db

SAID = {
    "name": "Grace Kim",
    "family_name": "Kim",
    "credentials": "MD",
    "languages": "English",
    "photo_url": "",
    "specialties": ["family"],
}


@pytest.fixture
def desk() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("desk", "desk@example.com"))
    return client


@pytest.fixture
def grace() -> ClinicianRecord:
    who: ClinicianRecord = factories.clinician(languages="English")
    who.hear(SAID)
    who.save()
    for schedule in who.schedules.all():
        schedule.hear({"location_id": schedule.location_id})
        schedule.save()
    return who


def change_url(record: Any) -> str:
    return reverse(f"admin:booking_{record._meta.model_name}_change", args=[record.pk])


def submitted(who: ClinicianRecord, **changes: Any) -> dict[str, Any]:
    (schedule,) = who.schedules.all()
    data: dict[str, Any] = {
        "name": who.name,
        "family_name": who.family_name,
        "credentials": who.credentials,
        "languages": who.languages,
        "photo_url": who.photo_url,
        "specialties": [each.pk for each in who.specialties.all()],
        "is_bookable": "on",
        "by_video": "on",
        "licenses-TOTAL_FORMS": 0,
        "licenses-INITIAL_FORMS": 0,
        "licenses-2-TOTAL_FORMS": 0,
        "licenses-2-INITIAL_FORMS": 0,
        "compact_credentials-TOTAL_FORMS": 0,
        "compact_credentials-INITIAL_FORMS": 0,
        "schedules-TOTAL_FORMS": 1,
        "schedules-INITIAL_FORMS": 1,
        "schedules-0-id": schedule.pk,
        "schedules-0-clinician": who.pk,
        "schedules-0-location": schedule.location_id,
    }
    return data | changes


def save(desk: Client, who: ClinicianRecord, **changes: Any) -> ClinicianRecord:
    response = desk.post(change_url(who), submitted(who, **changes))
    assert response.status_code == 302, re.findall(r"errorlist.*?</ul>", response.content.decode(), re.S)
    return ClinicianRecord.objects.get(pk=who.pk)


def test_saving_without_a_change_marks_nothing(desk: Client, grace: ClinicianRecord) -> None:
    assert save(desk, grace).overridden == []


def test_value_that_differs_from_the_ehrs_is_marked_and_told(desk: Client, grace: ClinicianRecord) -> None:
    changed = save(desk, grace, name="Dr. Grace", languages="Korean")
    assert (changed.name, changed.overridden) == ("Dr. Grace", ["languages", "name"])
    page = desk.get(change_url(grace)).content.decode()
    assert re.search(r"<b>Set here\.</b> The EHR says: Grace Kim<", page)
    assert re.search(r"(?<!</b> )The EHR says: Kim<", page)
    listed = desk.get(reverse("admin:booking_clinicianrecord_changelist")).content.decode()
    assert '<td class="field-set_here">languages, name</td>' in listed


def test_value_set_back_is_marked_no_more(desk: Client, grace: ClinicianRecord) -> None:
    changed = save(desk, grace, name="Dr. Grace")
    assert save(desk, changed, name="Grace Kim").overridden == []


def test_specialties_are_told_and_marked_too(desk: Client, grace: ClinicianRecord) -> None:
    skin = factories.specialty("dermatology")
    changed = save(desk, grace, specialties=[skin.pk])
    assert changed.overridden == ["specialties"]
    assert "<b>Set here.</b> The EHR says: Family<" in desk.get(change_url(grace)).content.decode()
    assert save(desk, changed, specialties=[factories.specialty("family").pk]).overridden == []


def test_schedule_moved_here_is_marked(desk: Client, grace: ClinicianRecord) -> None:
    elsewhere = factories.location(name="Austin")
    save(desk, grace, **{"schedules-0-location": elsewhere.pk})
    schedule = ScheduleRecord.objects.get()
    assert (schedule.location, schedule.overridden) == (elsewhere, ["location_id"])
    assert "Juniper Health Oakland <b>(set here)</b>" in desk.get(change_url(grace)).content.decode()


def test_action_gives_the_fields_back_to_the_ehr(desk: Client, grace: ClinicianRecord) -> None:
    skin = factories.specialty("dermatology")
    save(desk, grace, name="Dr. Grace", specialties=[skin.pk])
    url = reverse("admin:booking_clinicianrecord_changelist")
    desk.post(url, {"action": "take_ehr_values", "_selected_action": [grace.pk]})
    grace.refresh_from_db()
    assert (grace.name, grace.current("specialties"), grace.overridden) == ("Grace Kim", ["family"], [])


def test_list_can_be_narrowed_to_what_is_set_here(desk: Client, grace: ClinicianRecord) -> None:
    other = factories.clinician(name="Ida Cole", family_name="Cole")
    save(desk, grace, credentials="DO")
    for chosen, shown, hidden in [("yes", "Grace Kim", "Ida Cole"), ("no", "Ida Cole", "Grace Kim")]:
        page = desk.get(reverse("admin:booking_clinicianrecord_changelist"), {"set_here": chosen})
        names = re.findall(r'<th class="field-name"><a[^>]*>(.*?)</a>', page.content.decode())
        assert names == [shown]
        assert hidden not in names
    assert other.overridden == []


def test_zone_of_a_location_set_here_is_marked_and_nonsense_is_refused(desk: Client) -> None:
    place = factories.location()
    place.hear({"name": place.name, "time_zone": place.time_zone})
    place.save()
    data = {"name": place.name, "address": place.address, "jurisdiction": "CA", "ehr_key": ""}
    assert desk.post(change_url(place), data | {"time_zone": "Pacific time"}).status_code == 200
    assert desk.post(change_url(place), data | {"time_zone": "America/Boise"}).status_code == 302
    place.refresh_from_db()
    assert (place.time_zone, place.overridden) == ("America/Boise", ["time_zone"])


def test_license_entered_here_is_the_desks_and_the_ehrs_cannot_be_changed(
    desk: Client, grace: ClinicianRecord
) -> None:
    (listed,) = grace.licenses.all()
    save(
        desk,
        grace,
        **{
            "licenses-INITIAL_FORMS": 1,
            "licenses-TOTAL_FORMS": 1,
            "licenses-0-id": listed.pk,
            "licenses-0-clinician": grace.pk,
            "licenses-0-jurisdiction": "NY",
            "licenses-2-TOTAL_FORMS": 1,
            "licenses-2-0-clinician": grace.pk,
            "licenses-2-0-jurisdiction": "WA",
            "licenses-2-0-number": "W-1",
        },
    )
    rows = {row.jurisdiction: row.source for row in LicenseRecord.objects.all()}
    assert rows == {"CA": LicenseRecord.Source.EHR, "WA": LicenseRecord.Source.DESK}


@dataclass
class Listed:
    """An EHR whose schedule names its place by the number 7 only."""

    def directory(self) -> Directory:
        return Directory(
            (PractitionerListing("Practitioner/1", "Grace Kim", "Kim", "Grace"),),
            (LocationListing("Location/1", "Oakland"), LocationListing("Location/2", "Austin")),
            (ScheduleListing("Schedule/1", "Practitioner/1", "", "7", "Schedule for Grace Kim at Oak"),),
        )


@pytest.fixture
def unsettled(settings: Settings, monkeypatch: pytest.MonkeyPatch, desk: Client) -> str:
    """The address of the page, after a reading."""
    settings.EHR_BASE_URL = "https://listed.example"
    monkeypatch.setitem(ehr._gateways, ehr.configured(), Listed())  # type: ignore[arg-type]
    url = reverse("admin:booking_directorysync_settle")
    desk.post(url)
    return url


def test_staff_see_the_number_with_a_comment_and_say_which_place_it_is(desk: Client, unsettled: str) -> None:
    page = desk.get(unsettled).content.decode()
    assert "Number 7" in page
    assert "1 schedule, such as “Schedule for Grace Kim at Oak”." in page
    assert ScheduleRecord.objects.count() == 0
    oakland = LocationRecord.objects.get(name="Oakland")
    assert desk.post(unsettled, {"key_7": oakland.pk}).status_code == 302
    oakland.refresh_from_db()
    assert (oakland.ehr_key, ScheduleRecord.objects.get().location) == ("7", oakland)
    assert "Every place" in desk.get(unsettled).content.decode()


def test_a_place_that_stands_for_another_number_is_not_given_a_second(desk: Client, unsettled: str) -> None:
    oakland = LocationRecord.objects.get(name="Oakland")
    LocationRecord.objects.filter(pk=oakland.pk).update(ehr_key="3")
    page = desk.post(unsettled, {"key_7": oakland.pk}).content.decode()
    assert "Oakland already stands for number 3" in page
    assert ScheduleRecord.objects.count() == 0


def test_reading_tells_what_is_left_to_settle(desk: Client, unsettled: str) -> None:
    page = desk.get(reverse("admin:booking_directorysync_changelist")).content.decode()
    assert "places: 1, licenses: 1, specialties: 1" in page
    detail = desk.get(change_url(DirectorySync.objects.get())).content.decode()
    assert "number 7: 1 schedule, such as “Schedule for Grace Kim at Oak”" in detail


def test_staff_who_may_not_change_locations_settle_none(unsettled: str) -> None:
    clerk = User.objects.create_user("clerk", "clerk@example.com", is_staff=True)
    client = Client()
    client.force_login(clerk)
    assert client.get(unsettled).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="change_locationrecord"))
    assert client.get(unsettled).status_code == 200


@pytest.mark.parametrize("name", ["compactrecord", "directorysync"])
def test_list_opens_while_it_is_empty(name: str, desk: Client) -> None:
    assert desk.get(reverse(f"admin:booking_{name}_changelist")).status_code == 200
