"""A look at the configured EHR for the engineer who connects a clinic: what works, what does not, what to do.

Reads only. Nothing is written in the EHR or here.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings

from booking import ehr
from booking.models import LocationRecord, VisitReasonRecord
from booking.scheduling.clock import is_zone, local_day
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.terms import Coding, Directory, ScheduleListing

SKEW_SECONDS = 5.0
SLOW_SECONDS = 1.0
SEARCHES = 8
NAMED = 5


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy`` says what to do; empty when there is nothing to do."""

    level: Level
    topic: str
    words: str
    remedy: str = ""


@dataclass(slots=True)
class EhrReport:
    findings: list[Finding] = field(default_factory=list)

    def add(self, level: Level, topic: str, words: str, remedy: str = "") -> None:
        self.findings.append(Finding(level, topic, words, remedy))

    def worst(self) -> Level:
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)


def examine_ehr(*, now: datetime) -> EhrReport:
    """Never raises for what the EHR does: a failure is a finding, and what cannot be asked after it is left out."""
    report = EhrReport()
    gateway = ehr.gateway()
    if not _sign_in(gateway, report):
        return report
    _capabilities(gateway, report)
    directory = _directory(gateway, report)
    if directory is not None:
        _clinicians(directory, report, now)
        schedules = _schedules(directory, report)
        _zones(directory, report)
        _slots(gateway, schedules, report, now)
        _appointment_types(gateway, schedules, report, now)
    return report


def _sign_in(gateway: SchedulingGateway, report: EhrReport) -> bool:
    try:
        seen = gateway.examine()
    except (EhrUnavailable, EhrRejected) as error:
        if isinstance(error, EhrRejected) or error.status == 401:
            report.add(
                Level.ERROR,
                "authentication",
                f"The EHR turned us away: {error}.",
                "Check EHR_CLIENT_ID, EHR_CLIENT_SECRET (or EHR_PRIVATE_KEY), EHR_SCOPE and EHR_TOKEN_URL against "
                "the client's registration in the EHR.",
            )
        else:
            report.add(
                Level.ERROR,
                "connection",
                f"The EHR does not answer: {error}.",
                "See whether EHR_BASE_URL and EHR_TOKEN_URL can be reached from here, and whether the EHR is up.",
            )
        return False
    report.add(Level.OK, "authentication", "Signed in with the client's credentials.")
    report.add(Level.OK, "server", f"{seen.software}, FHIR {seen.fhir_version}, at {settings.EHR_BASE_URL}.")
    report.add(
        Level.WARNING if seen.latency_seconds > SLOW_SECONDS else Level.OK,
        "latency",
        f"One small read took {_milliseconds(seen.latency_seconds)}.",
        "Run the portal nearer to the EHR, or ask the vendor." if seen.latency_seconds > SLOW_SECONDS else "",
    )
    _clock(seen.clock_skew_seconds, report)
    for words in seen.findings:
        report.add(Level.WARNING, "server", words)
    return True


def _clock(skew: float | None, report: EhrReport) -> None:
    if skew is None:
        report.add(
            Level.WARNING, "clock", "The EHR's answers carry no date, so clocks could not be compared."
        )
    elif abs(skew) > SKEW_SECONDS:
        report.add(
            Level.WARNING,
            "clock",
            f"The EHR's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours.",
            "Set this machine's clock by NTP. Tokens, and changes that must not overwrite others, depend on it.",
        )
    else:
        report.add(Level.OK, "clock", f"The EHR's clock and ours agree within {SKEW_SECONDS:.0f} s.")


def _capabilities(gateway: SchedulingGateway, report: EhrReport) -> None:
    capabilities, limits = gateway.capabilities, gateway.limits
    found = {each.name: getattr(capabilities, each.name) for each in fields(capabilities)}
    found["moves"] = gateway.can_move()
    has = [name.replace("_", " ") for name, value in found.items() if value is True]
    lacks = [name.replace("_", " ") for name, value in found.items() if value is False]
    days, schedules = limits.days_per_slot_search, limits.schedules_per_slot_search
    search = f"{days} days of {schedules} schedule{'' if schedules == 1 else 's'} in one slot search"
    report.add(Level.OK, "capabilities", f"Has: {', '.join(has) or 'none'}. {search}.")
    if lacks:
        report.add(Level.OK, "capabilities", f"Does without: {', '.join(lacks)}.")
    if not capabilities.appointment_identifier_search:
        report.add(
            Level.WARNING,
            "capabilities",
            "Appointments cannot be searched by our identifier. A booking without an answer is looked up by patient "
            "and time instead.",
            "Ask the vendor for Appointment?identifier=system|value.",
        )
    if capabilities.prevents_double_booking:
        report.add(Level.OK, "double booking", "The EHR refuses a second visit at one time.")
    else:
        report.add(
            Level.WARNING,
            "double booking",
            "Nothing tells us that the EHR refuses a second visit at one time. The portal never makes one, but a "
            "visit that staff book in the same second can stand beside ours.",
            "On Canvas have ALLOW_DOUBLE_BOOKING switched off and set EHR_PREVENTS_DOUBLE_BOOKING=true. Elsewhere "
            "let the client update Slots under If-Match.",
        )


def _directory(gateway: SchedulingGateway, report: EhrReport) -> Directory | None:
    started = time.monotonic()
    try:
        directory = gateway.directory()
    except EhrFailure as error:
        report.add(
            Level.ERROR,
            "directory",
            f"The directory could not be read: {error}.",
            "Let the client read and search Practitioner, Location and Schedule (and PractitionerRole where there is).",
        )
        return None
    counts = (
        f"{len(directory.practitioners)} clinicians, {len(directory.locations)} locations, "
        f"{len(directory.schedules)} schedules"
    )
    if directory.practitioners and directory.schedules:
        report.add(Level.OK, "directory", f"{counts}, read in {_milliseconds(time.monotonic() - started)}.")
        return directory
    report.add(
        Level.ERROR,
        "directory",
        f"Nobody can be booked: {counts}.",
        "Make clinicians schedulable in the EHR, and see whether the client may list them.",
    )
    return None


def _clinicians(directory: Directory, report: EhrReport, now: datetime) -> None:
    on = now.date()
    usable = [
        person
        for person in directory.practitioners
        if any(license.ends_on is None or license.ends_on >= on for license in person.licenses)
    ]
    without = [person.name for person in directory.practitioners if person not in usable]
    states = {license.jurisdiction for person in usable for license in person.licenses}
    words = (
        f"{len(usable)} of {len(directory.practitioners)} clinicians have a license that is in force or to come, "
        f"in {len(states)} states and territories."
    )
    if not usable:
        report.add(
            Level.ERROR, "licenses", words, "Record state licenses with their dates on the practitioners."
        )
    elif without:
        report.add(
            Level.WARNING,
            "licenses",
            f"{words} Without: {_some(without)}.",
            "Record their state licenses with dates in the EHR; until then they are never offered.",
        )
    else:
        report.add(Level.OK, "licenses", words)
    unsaid = [person.name for person in directory.practitioners if not person.taxonomy_codes]
    if unsaid:
        report.add(
            Level.WARNING,
            "specialties",
            f"{len(unsaid)} clinicians have no taxonomy code: {_some(unsaid)}.",
            "Record one in the EHR, or choose their specialties in the admin.",
        )
    else:
        report.add(Level.OK, "specialties", "Every clinician has a taxonomy code.")


def _schedules(directory: Directory, report: EhrReport) -> list[ScheduleListing]:
    keys = set(LocationRecord.objects.exclude(ehr_key="").values_list("ehr_key", flat=True))
    mapped = [each for each in directory.schedules if each.location_ref or each.location_key in keys]
    unmapped = Counter(
        each.location_key or each.ref for each in directory.schedules if each not in set(mapped)
    )
    words = f"{len(mapped)} of {len(directory.schedules)} schedules map to a location."
    if unmapped:
        report.add(
            Level.ERROR if not mapped else Level.WARNING,
            "locations",
            f"{words} Unmatched: {_some([f'{key} (in {count})' for key, count in unmapped.most_common()])}.",
            "Say which location is meant, under “Readings of the directory” in the admin.",
        )
    else:
        report.add(Level.OK, "locations", words)
    return mapped


def _zones(directory: Directory, report: EhrReport) -> None:
    from_ehr = [place for place in directory.locations if place.is_active and place.zone]
    unknown = [place.name for place in from_ehr if not is_zone(place.zone)]
    if unknown:
        report.add(
            Level.ERROR,
            "time zones",
            f"The EHR gives zones that do not exist for: {_some(unknown)}.",
            "Correct them in the EHR, or set the zone in the admin.",
        )
    silent = [place for place in directory.locations if place.is_active and not place.zone]
    if not silent:
        report.add(Level.OK, "time zones", "The EHR gives every location a time zone.")
        return
    guessed = [
        place.name
        for place in silent
        if len(getattr(JURISDICTIONS.get(place.jurisdiction), "zones", ())) != 1
    ]
    if guessed:
        report.add(
            Level.WARNING,
            "time zones",
            f"The EHR gives no zone, and the state has several or is unknown, for: {_some(guessed)}.",
            "See in the admin whether the zone begun with is right.",
        )
    else:
        report.add(Level.OK, "time zones", "Taken from each location's state, which has one zone.")


def _slots(
    gateway: SchedulingGateway, schedules: Sequence[ScheduleListing], report: EhrReport, now: datetime
) -> None:
    """A few searches spread over the schedules: do they answer, how fast, and is anything free."""
    taken: list[float] = []
    free = 0
    try:
        for schedule in _spread(schedules, SEARCHES):
            started = time.monotonic()
            free += len(_search(gateway, schedule, now))
            taken.append(time.monotonic() - started)
    except EhrFailure as error:
        report.add(
            Level.ERROR,
            "slots",
            f"A slot search failed: {error}.",
            "Let the client search Slot, and see whether the schedule exists in the EHR.",
        )
        return
    if not taken:
        return
    words = (
        f"{len(taken)} slot searches found {free} free times; median {_milliseconds(statistics.median(taken))}, "
        f"slowest {_milliseconds(max(taken))}."
    )
    if not free:
        report.add(Level.WARNING, "slots", words, "See whether the clinicians' calendars have open hours.")
    elif statistics.median(taken) > SLOW_SECONDS:
        report.add(
            Level.WARNING, "slots", words, "Raise GRID_FRESH_SECONDS so that times are asked for less often."
        )
    else:
        report.add(Level.OK, "slots", words)


def _appointment_types(
    gateway: SchedulingGateway, schedules: Sequence[ScheduleListing], report: EhrReport, now: datetime
) -> None:
    """Whether the EHR knows each appointment type that our visit reasons name, as far as a slot search tells."""
    used: dict[tuple[Coding, int], list[str]] = {}
    for record in VisitReasonRecord.objects.offered().with_rules():
        reason = record.to_term()
        for coding in reason.appointment_types.values():
            used.setdefault((coding, reason.default_minutes), []).append(reason.label)
    if not used:
        report.add(
            Level.WARNING,
            "appointment types",
            "No visit reason is set up yet.",
            "Add visit reasons in the admin.",
        )
        return
    probed = list(_spread(schedules, SEARCHES))
    refused: list[str] = []
    unseen: list[str] = []
    for (coding, minutes), labels in used.items():
        words = f"{coding.system}|{coding.code} for {minutes} minutes (“{labels[0]}”)"
        try:
            if not any(
                _search(gateway, each, now, minutes=minutes, appointment_type=coding) for each in probed
            ):
                unseen.append(words)
        except EhrRejected:
            refused.append(words)
        except EhrUnavailable as error:
            report.add(Level.WARNING, "appointment types", f"They could not all be asked about: {error}.")
            return
    if refused:
        report.add(
            Level.ERROR,
            "appointment types",
            f"The EHR does not take {_some(refused)}.",
            "Compare the codes of the visit reasons in the admin with the EHR's.",
        )
    if unseen:
        report.add(
            Level.WARNING,
            "appointment types",
            f"None of {len(probed)} schedules has a free time for {_some(unseen)}.",
            "See whether the EHR knows the type, in that length, and whether anybody's hours allow it.",
        )
    if not (refused or unseen):
        report.add(
            Level.OK, "appointment types", f"Free times for each of {len(used)} types and lengths in use."
        )


def _search(
    gateway: SchedulingGateway,
    schedule: ScheduleListing,
    now: datetime,
    *,
    minutes: int = 30,
    appointment_type: Coding | None = None,
) -> list[object]:
    first_on = local_day(now, "UTC")
    last_on = first_on + timedelta(days=gateway.limits.days_per_slot_search - 1)
    return list(
        gateway.free_slots(
            schedule.ref,
            first_on=first_on,
            last_on=last_on,
            minutes=minutes,
            appointment_type=appointment_type,
        )
    )


def _spread(schedules: Sequence[ScheduleListing], count: int) -> Iterator[ScheduleListing]:
    step = max(1, len(schedules) // count)
    yield from schedules[::step][:count]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
