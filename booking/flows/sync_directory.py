"""Bringing our copy of the EHR's directory up to date. What the desk owns is never touched; nobody is deleted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from django.db import transaction

from booking import ehr
from booking.models import ClinicianRecord, LicenseRecord, LocationRecord, ScheduleRecord, Specialty
from booking.scheduling.errors import EhrRejected
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.terms import Directory, LocationListing, PractitionerListing

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SyncReport:
    """Counts, and what somebody at the clinic has to settle before it can be booked."""

    clinicians: int = 0
    licenses: int = 0
    locations: int = 0
    schedules: int = 0
    retired: int = 0
    unmatched_schedules: list[str] = field(default_factory=list)
    without_license: list[str] = field(default_factory=list)
    without_specialty: list[str] = field(default_factory=list)


def sync_directory() -> SyncReport:
    """Read the directory and write it down. Raises ``EhrFailure`` and then changes nothing."""
    directory = ehr.gateway().directory()
    if not directory.practitioners and ClinicianRecord.objects.filter(is_active=True).exists():
        raise EhrRejected("the directory lists nobody; see whether our client may still read it")
    report = SyncReport()
    with transaction.atomic():
        _locations(directory, report)
        _clinicians(directory, report)
        _schedules(directory, report)
    return report


def _locations(directory: Directory, report: SyncReport) -> None:
    seen = [_location(listing).pk for listing in directory.locations]
    report.locations = len(seen)
    report.retired += (
        LocationRecord.objects.exclude(pk__in=seen).filter(is_active=True).update(is_active=False)
    )


def _location(listing: LocationListing) -> LocationRecord:
    record = LocationRecord.objects.filter(ehr_ref=listing.ref).first() or LocationRecord(ehr_ref=listing.ref)
    record.name = listing.name
    town = (
        " ".join(filter(None, (f"{listing.city},", listing.jurisdiction, listing.postal_code)))
        if listing.city
        else ""
    )
    record.address = "\n".join(filter(None, (*listing.address_lines, town)))
    record.jurisdiction = listing.jurisdiction
    record.is_active = listing.is_active
    if not record.time_zone:
        # Canvas gives a location no zone: begin with its state's main one, which the desk may change.
        place = JURISDICTIONS.get(listing.jurisdiction)
        record.time_zone = listing.zone or (place.zones[0] if place else "UTC")
    record.save()
    return record


def _clinicians(directory: Directory, report: SyncReport) -> None:
    specialties = list(Specialty.objects.all())
    seen = []
    for listing in directory.practitioners:
        record = _clinician(listing)
        seen.append(record.pk)
        record.licenses.all().delete()
        LicenseRecord.objects.bulk_create(
            LicenseRecord(
                clinician=record,
                jurisdiction=license.jurisdiction,
                number=license.number,
                starts_on=license.starts_on,
                ends_on=license.ends_on,
            )
            for license in listing.licenses
        )
        report.licenses += len(listing.licenses)
        theirs = [each for each in specialties if each.taxonomies & set(listing.taxonomy_codes)]
        # Codes that no specialty here lists say nothing, and leave the desk's own choice as it is.
        if theirs:
            record.specialties.set(theirs)
        if not listing.licenses:
            report.without_license.append(listing.name)
        if not record.specialties.exists():
            report.without_specialty.append(listing.name)
    report.clinicians = len(seen)
    report.retired += (
        ClinicianRecord.objects.exclude(pk__in=seen).filter(is_active=True).update(is_active=False)
    )


def _clinician(listing: PractitionerListing) -> ClinicianRecord:
    record, _ = ClinicianRecord.objects.update_or_create(
        ehr_ref=listing.ref,
        defaults={
            "name": listing.name,
            "family_name": listing.family,
            "credentials": listing.credentials,
            "photo_url": listing.photo_url,
            "languages": ", ".join(listing.languages),
            "ehr_room_url": listing.room_url,
            "is_active": listing.is_active,
        },
    )
    return record


def _schedules(directory: Directory, report: SyncReport) -> None:
    clinicians = {record.ehr_ref: record.pk for record in ClinicianRecord.objects.filter(is_active=True)}
    locations = LocationRecord.objects.filter(is_active=True)
    by_ref = {record.ehr_ref: record.pk for record in locations}
    by_key = {record.ehr_key: record.pk for record in locations if record.ehr_key}
    seen = []
    for listing in directory.schedules:
        clinician = clinicians.get(listing.practitioner_ref)
        location = by_ref.get(listing.location_ref) or by_key.get(listing.location_key)
        if clinician is None:
            continue
        if location is None:
            report.unmatched_schedules.append(listing.ref)
            continue
        record, _ = ScheduleRecord.objects.update_or_create(
            ehr_ref=listing.ref,
            defaults={"clinician_id": clinician, "location_id": location, "is_active": True},
        )
        seen.append(record.pk)
    report.schedules = len(seen)
    report.retired += (
        ScheduleRecord.objects.exclude(pk__in=seen).filter(is_active=True).update(is_active=False)
    )
