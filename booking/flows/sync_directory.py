"""Bringing our copy of the EHR's directory up to date. What the desk set is never touched; nobody is deleted.

Rows are read and written in bulk, so that a clinic of two thousand clinicians takes about as many queries as one
of two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import connection, transaction

from booking import ehr
from booking.models import (
    ClinicianRecord,
    DirectorySync,
    LicenseRecord,
    LocationRecord,
    ScheduleRecord,
    Specialty,
)
from booking.models.overrides import EhrFilled
from booking.scheduling.clock import is_zone
from booking.scheduling.errors import EhrFailure, EhrRejected
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.professions import profession_of
from booking.scheduling.terms import Directory, License, LocationListing, PractitionerListing

READINGS_KEPT = 100
ROWS_AT_ONCE = 500

Row = TypeVar("Row", bound=EhrFilled)


@dataclass(slots=True)
class SyncReport:
    """Counts, and what somebody at the clinic has to settle before it can be booked.

    ``unmatched`` has, by the EHR's number of a place, a count of schedules and the comment of one of them.
    ``overrides`` has a sentence for each row of which the desk set something.
    """

    clinicians: int = 0
    licenses: int = 0
    locations: int = 0
    schedules: int = 0
    retired: int = 0
    unmatched_schedules: list[str] = field(default_factory=list)
    unmatched: dict[str, dict[str, Any]] = field(default_factory=dict)
    without_license: list[str] = field(default_factory=list)
    without_specialty: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)


def sync_directory() -> SyncReport:
    """Read the directory and write it down. Raises ``EhrFailure`` and then changes nothing but the record of it."""
    report = SyncReport()
    try:
        directory = ehr.gateway().directory()
        if not directory.practitioners and ClinicianRecord.objects.filter(is_active=True).exists():
            raise EhrRejected("the directory lists nobody; see whether our client may still read it")
    except EhrFailure as error:
        _remember(report, error=str(error))
        raise
    with transaction.atomic():
        _one_at_a_time()
        places = _locations(directory, report)
        people = _clinicians(directory, report)
        _schedules(directory, people, places, report)
        _remember(report)
    return report


def last_reading() -> DirectorySync | None:
    """The newest that succeeded."""
    return DirectorySync.objects.filter(error="").first()


def _remember(report: SyncReport, *, error: str = "") -> None:
    DirectorySync.objects.create(
        clinicians=report.clinicians,
        licenses=report.licenses,
        locations=report.locations,
        schedules=report.schedules,
        retired=report.retired,
        unmatched=report.unmatched,
        without_license=report.without_license,
        without_specialty=report.without_specialty,
        error=error[:300],
    )
    kept = DirectorySync.objects.values("pk")[:READINGS_KEPT]
    DirectorySync.objects.exclude(pk__in=[row["pk"] for row in kept]).delete()


def _one_at_a_time() -> None:
    """Two readings at once would both add the same newcomers. SQLite holds its one write lock already."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('sync_directory', 0))")


def _update(manager: Any, rows: list[Any], fields: list[str]) -> None:
    # As inserts that meet their own rows: for two thousand clinicians bulk_update took 28 seconds, this takes two.
    manager.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=fields, batch_size=ROWS_AT_ONCE
    )


class _Table(Generic[Row]):
    """All rows of one kind by their EHR reference, and those of them that have to be written."""

    def __init__(self, model: type[Row], rows: Iterable[Row], *also: str) -> None:
        self._manager: Any = model._default_manager
        self._by_ref = {row.ehr_ref: row for row in rows}
        self._read = {row.ehr_ref: list(row.overridden) for row in self._by_ref.values()}
        self._to_write: dict[str, Row] = {}
        self._fields = [
            *(name for name in model.EHR_FIELDS if name != "specialties"),
            "ehr_values",
            "is_active",
            *also,
        ]
        self.seen: dict[str, Row] = {}

    def find(self, ref: str) -> Row | None:
        return self._by_ref.get(ref)

    def note(self, row: Row, *, is_active: bool, is_changed: bool) -> None:
        """This row is listed. ``is_changed`` says whether what was heard of it differs from what is stored."""
        if row.pk is None or is_changed or row.is_active != is_active:
            row.is_active = is_active
            self._to_write[row.ehr_ref] = row
        self.seen[row.ehr_ref] = row

    def write(self) -> int:
        """Write what has to be, retire what is not listed any more, and return how many that were."""
        gone = [row for ref, row in self._by_ref.items() if ref not in self.seen and row.is_active]
        for row in gone:
            row.is_active = False
            self._to_write[row.ehr_ref] = row
        rows: list[Any] = list(self._to_write.values())
        manager = self._manager
        manager.bulk_create((row for row in rows if row.pk is None), batch_size=ROWS_AT_ONCE)
        stored = [row for row in rows if row.ehr_ref in self._by_ref]
        set_now = dict(
            manager.select_for_update()
            .filter(pk__in=[row.pk for row in stored])
            .values_list("ehr_ref", "overridden")
        )
        # What the desk set while we were reading is left for the next reading to see.
        untouched = [row for row in stored if set_now.get(row.ehr_ref) == self._read[row.ehr_ref]]
        _update(manager, untouched, self._fields)
        return len(gone)

    def tell_overrides(self, report: SyncReport) -> None:
        for row in self.seen.values():
            if row.overridden:
                names = ", ".join(name.removesuffix("_id").replace("_", " ") for name in row.overridden)
                report.overrides.append(f"{row}: {names}")


def _locations(directory: Directory, report: SyncReport) -> _Table[LocationRecord]:
    table = _Table(LocationRecord, LocationRecord.objects.all())
    for listing in directory.locations:
        record = table.find(listing.ref) or LocationRecord(ehr_ref=listing.ref)
        town = (
            " ".join(filter(None, (f"{listing.city},", listing.jurisdiction, listing.postal_code)))
            if listing.city
            else ""
        )
        address = "\n".join(filter(None, (*listing.address_lines, town)))
        is_changed = record.hear(
            {"name": listing.name, "address": address, "jurisdiction": listing.jurisdiction}
        )
        is_changed |= record.hear({"time_zone": _zone(listing, record)})
        table.note(record, is_active=listing.is_active, is_changed=is_changed)
    report.retired += table.write()
    report.locations = len(table.seen)
    table.tell_overrides(report)
    return table


def _zone(listing: LocationListing, record: LocationRecord) -> str:
    """The EHR's own, else the one that most people of the location's state live by."""
    if is_zone(listing.zone):
        return listing.zone
    place = JURISDICTIONS.get(record.jurisdiction)
    return place.zones[0] if place else "UTC"


def _clinicians(directory: Directory, report: SyncReport) -> _Table[ClinicianRecord]:
    table = _Table(ClinicianRecord, ClinicianRecord.objects.all(), "ehr_room_url", "profession")
    by_taxonomy: dict[str, list[Specialty]] = defaultdict(list)
    by_role: dict[str, list[Specialty]] = defaultdict(list)
    for specialty in Specialty.objects.all():
        for code in specialty.taxonomies:
            by_taxonomy[code].append(specialty)
        for role in specialty.roles:
            by_role[role].append(specialty)
    wanted: dict[str, set[int]] = {}
    for listing in directory.practitioners:
        record = table.find(listing.ref) or ClinicianRecord(ehr_ref=listing.ref)
        theirs = {each for code in listing.taxonomy_codes for each in by_taxonomy.get(code, ())}
        if not listing.taxonomy_codes:
            theirs = {each for role in listing.role_codes for each in by_role.get(role, ())}
        is_changed = record.hear(
            {
                "name": listing.name,
                "family_name": listing.family,
                "credentials": listing.credentials,
                "photo_url": listing.photo_url,
                "languages": ", ".join(listing.languages),
            }
        )
        is_changed |= _hear_specialties(record, theirs)
        if theirs and "specialties" not in record.overridden:
            wanted[listing.ref] = {each.pk for each in theirs}
        is_changed |= _fill(record, listing)
        table.note(record, is_active=listing.is_active, is_changed=is_changed)
    report.retired += table.write()
    report.clinicians = len(table.seen)
    table.tell_overrides(report)
    has_specialty = _write_specialties(table, wanted)
    has_license = _licenses(directory.practitioners, table, report)
    for listing in directory.practitioners:
        pk = table.seen[listing.ref].pk
        if pk not in has_license:
            report.without_license.append(listing.name)
        if pk not in has_specialty:
            report.without_specialty.append(listing.name)
    return table


def _hear_specialties(record: ClinicianRecord, theirs: Iterable[Specialty]) -> bool:
    """Only what the EHR says is noted here: the rows that join the two are written for everybody at once."""
    codes = sorted(each.code for each in theirs)
    # Codes that no specialty here lists say nothing, and leave the desk's own choice as it is.
    if not codes or record.ehr_values.get("specialties") == codes:
        return False
    record.ehr_values = record.ehr_values | {"specialties": codes}
    return True


def _fill(record: ClinicianRecord, listing: PractitionerListing) -> bool:
    profession = record.profession or profession_of(
        record.credentials, listing.role_codes, listing.taxonomy_codes
    )
    if (record.ehr_room_url, record.profession) == (listing.room_url, profession):
        return False
    record.ehr_room_url, record.profession = listing.room_url, profession
    return True


def _write_specialties(table: _Table[ClinicianRecord], wanted: dict[str, set[int]]) -> set[int]:
    """Give clinicians the specialties wanted for them. Returns the ids of those who have any."""
    through: Any = ClinicianRecord.specialties.through
    held: dict[int, dict[int, int]] = defaultdict(dict)
    for pk, clinician, specialty in through.objects.values_list("pk", "clinicianrecord_id", "specialty_id"):
        held[clinician][specialty] = pk
    new, gone = [], []
    for ref, specialties in wanted.items():
        clinician = table.seen[ref].pk
        mine = held[clinician]
        new += [(clinician, each) for each in specialties - mine.keys()]
        gone += [mine.pop(each) for each in mine.keys() - specialties]
    through.objects.filter(pk__in=gone).delete()
    through.objects.bulk_create(
        (through(clinicianrecord_id=clinician, specialty_id=specialty) for clinician, specialty in new),
        batch_size=ROWS_AT_ONCE,
    )
    return {clinician for clinician, mine in held.items() if mine} | {clinician for clinician, _ in new}


def _licenses(
    listings: Iterable[PractitionerListing], table: _Table[ClinicianRecord], report: SyncReport
) -> set[int]:
    """Make the EHR's licenses what it lists; those entered here stay. Returns the ids of clinicians who have any."""
    held: dict[int, list[LicenseRecord]] = defaultdict(list)
    licensed: set[int] = set()
    for row in LicenseRecord.objects.all():
        if row.source == LicenseRecord.Source.EHR:
            held[row.clinician_id].append(row)
        else:
            licensed.add(row.clinician_id)
    new: list[LicenseRecord] = []
    changed: list[LicenseRecord] = []
    gone: list[int] = []
    for listing in listings:
        pk = table.seen[listing.ref].pk
        report.licenses += len(listing.licenses)
        if listing.licenses:
            licensed.add(pk)
        pairs, left = _matched(listing.licenses, held[pk])
        for license, known in pairs:
            row = known or LicenseRecord(
                clinician_id=pk, jurisdiction=license.jurisdiction, number=license.number
            )
            if known is None:
                new.append(row)
            elif (row.starts_on, row.ends_on) != (license.starts_on, license.ends_on):
                changed.append(row)
            row.starts_on, row.ends_on = license.starts_on, license.ends_on
        gone += [row.pk for row in left]
    LicenseRecord.objects.filter(pk__in=gone).delete()
    LicenseRecord.objects.bulk_create(new, batch_size=ROWS_AT_ONCE)
    _update(LicenseRecord.objects, changed, ["starts_on", "ends_on"])
    return licensed


def _matched(
    listed: Iterable[License], rows: list[LicenseRecord]
) -> tuple[list[tuple[License, LicenseRecord | None]], list[LicenseRecord]]:
    """Each license with its row: the very same first, then one of the same state and number whose dates changed.

    The second part is the rows that nothing listed is left for.
    """
    left = list(rows)
    pairs: list[tuple[License, LicenseRecord | None]] = []
    unlike = []
    for license in listed:
        same = next((row for row in left if row.to_term() == license), None)
        if same is None:
            unlike.append(license)
        else:
            left.remove(same)
            pairs.append((license, same))
    for license in unlike:
        renewed = next(
            (row for row in left if (row.jurisdiction, row.number) == (license.jurisdiction, license.number)),
            None,
        )
        if renewed is not None:
            left.remove(renewed)
        pairs.append((license, renewed))
    return pairs, left


def _schedules(
    directory: Directory,
    people: _Table[ClinicianRecord],
    places: _Table[LocationRecord],
    report: SyncReport,
) -> None:
    table = _Table(
        ScheduleRecord, ScheduleRecord.objects.select_related("clinician", "location"), "clinician_id"
    )
    live = [place for place in places.seen.values() if place.is_active]
    by_ref = {place.ehr_ref: place for place in live}
    by_key = {place.ehr_key: place for place in live if place.ehr_key}
    for listing in directory.schedules:
        clinician = people.seen.get(listing.practitioner_ref)
        if clinician is None or not clinician.is_active:
            continue
        record = table.find(listing.ref)
        place = by_ref.get(listing.location_ref) or by_key.get(listing.location_key)
        if place is None and not (record and "location_id" in record.overridden):
            _note_unmatched(report, listing.ref, listing.location_key, listing.comment)
            continue
        is_changed = False
        if record is None:
            record = ScheduleRecord(ehr_ref=listing.ref, clinician=clinician)
        elif record.clinician_id != clinician.pk:
            record.clinician, is_changed = clinician, True
        if place is not None:
            is_changed |= record.hear({"location_id": place.pk})
        table.note(record, is_active=True, is_changed=is_changed)
    report.retired += table.write()
    report.schedules = len(table.seen)
    table.tell_overrides(report)


def _note_unmatched(report: SyncReport, ref: str, key: str, comment: str) -> None:
    report.unmatched_schedules.append(ref)
    # Without a number there is nothing the desk could give to a location.
    if key:
        entry = report.unmatched.setdefault(key, {"schedules": 0, "comment": comment})
        entry["schedules"] += 1
