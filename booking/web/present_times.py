"""The grid of times in finished words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from booking.flows.find_times import Times
from booking.flows.hold_slot import Choice
from booking.messaging.words import license_words
from booking.models import ClinicianRecord
from booking.scheduling.availability import by_local_day
from booking.scheduling.clock import (
    PARTS_OF_DAY,
    date_words,
    local_day,
    part_of_day,
    short_date_words,
    time_words,
    zone_words,
)
from booking.scheduling.terms import Modality, Offer

from .presenters import (
    ClinicianTimes,
    DayTab,
    EmptyTimes,
    FilterChoice,
    Notice,
    PartOfDay,
    TimeChoice,
    TimesGrid,
)

SHOWN_PER_PART = 6
SOONEST = 3
MODALITY_LABELS = {Modality.VIDEO: "Video", Modality.IN_PERSON: "In person", Modality.PHONE: "Phone"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address of a page of times says. ``day`` None means the first day with times."""

    modality: Modality
    day: date | None = None
    part: str = ""
    clinician_id: int | None = None

    def url(self, path: str, **changes: object) -> str:
        values: dict[str, object] = {
            "modality": self.modality.value,
            "day": self.day.isoformat() if self.day else "",
            "part": self.part,
            "clinician": self.clinician_id or "",
        } | changes
        return f"{path}?{urlencode({name: value for name, value in values.items() if value})}"

    def admits(self, offer: Offer, zone: str) -> bool:
        return (self.clinician_id in (None, offer.clinician.id)) and (
            not self.part or part_of_day(offer.starts_at, zone) == self.part
        )


def slot_value(offer: Offer, modality: Modality) -> str:
    return f"{offer.schedule.id}.{int(offer.starts_at.timestamp())}.{modality.value}"


def parse_slot_value(value: str) -> tuple[Choice, Modality]:
    """Raises ``ValueError`` for anything that ``slot_value`` did not make."""
    schedule_id, epoch, modality = value.split(".")
    return Choice(int(schedule_id), datetime.fromtimestamp(int(epoch), UTC)), Modality(modality)


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


class GridPresenter:
    """Words for one answer of ``find_times``, for one set of filters."""

    def __init__(self, times: Times, filters: Filters, *, path: str, now: datetime) -> None:
        self.times, self.filters, self.path, self.now = times, filters, path, now
        self.zone = times.zone
        self.zone_words = zone_words(times.zone)
        self.admitted = [offer for offer in times.offers if filters.admits(offer, times.zone)]
        self.days = by_local_day(self.admitted, times.zone)
        first_with_times = min(self.days, default=times.block.first_on)
        self.day = filters.day if filters.day in times.block.days else first_with_times

    def grid(
        self,
        *,
        modalities: Sequence[Modality],
        later: Times | None = None,
        notice: Notice | None = None,
        alternatives: Sequence[Offer] = (),
    ) -> TimesGrid:
        block = self.times.block
        return TimesGrid(
            url=self.path,
            zone_words=f"{self.zone_words} time",
            freshness_words=self._freshness(),
            day_heading=date_words(self.day),
            soonest=tuple(self._tile(offer) for offer in self._soonest()),
            days=tuple(self._tab(day) for day in block.days),
            clinicians=self._clinicians(),
            modalities=tuple(self._modality(each) for each in modalities) if len(modalities) > 1 else (),
            parts_of_day=tuple(self._part(each) for each in PARTS_OF_DAY),
            clinician_choices=self._clinician_choices(),
            earlier_days_url=self._day_url(block.first_on - timedelta(days=1)) if block.number else "",
            later_days_url="" if block.is_last else self._day_url(block.last_on + timedelta(days=1)),
            waiting_words=self._waiting(),
            refresh_url=self.filters.url(self.path),
            empty=self._empty(later),
            notice=notice,
            alternatives=tuple(self._tile(offer) for offer in alternatives),
            is_stale=self.times.is_stale,
        )

    def _freshness(self) -> str:
        read_at = self.times.read_at
        if read_at is None:
            return ""
        seconds = (self.now - read_at).total_seconds()
        if self.times.is_stale:
            minutes = max(1, round(seconds / 60))
            return (
                f"The clinic's system is not answering. These times are from {plural(minutes, 'minute')} ago."
            )
        if seconds < 45:
            return "Checked just now"
        return f"Checked {plural(max(1, round(seconds / 60)), 'minute')} ago"

    def _waiting(self) -> str:
        if not self.times.pending:
            return ""
        people = min(self.times.pending, len(self.times.eligibility.eligible))
        return f"Checking {plural(people, 'more clinician')}"

    def _soonest(self) -> list[Offer]:
        if self.times.block.number:
            return []
        return self.admitted[:SOONEST]

    def _tile(self, offer: Offer) -> TimeChoice:
        on = local_day(offer.starts_at, self.zone)
        words = time_words(offer.starts_at, self.zone)
        return TimeChoice(
            value=slot_value(offer, self.filters.modality),
            time_words=words,
            label=f"{date_words(on)}, {words} {self.zone_words} time, {offer.clinician.name}",
            day_words=self._near_day(on),
            zone_words=self.zone_words,
            clinician_name=offer.clinician.name,
            place_words=offer.schedule.location_name if self.filters.modality is Modality.IN_PERSON else "",
        )

    def _near_day(self, on: date) -> str:
        today = local_day(self.now, self.zone)
        if on == today:
            return "Today"
        return "Tomorrow" if on == today + timedelta(days=1) else short_date_words(on)

    def _tab(self, day: date) -> DayTab:
        count = len(self.days.get(day, ()))
        words = plural(count, "time") if count else "No times"
        return DayTab(
            weekday=f"{day:%a}",
            day=f"{day:%b} {day.day}",
            count_words=words,
            label=f"{date_words(day)}, {words.lower()}",
            url=self._day_url(day),
            is_on=day == self.day,
            is_empty=not count,
        )

    def _day_url(self, day: date) -> str:
        return self.filters.url(self.path, day=day.isoformat())

    def _modality(self, modality: Modality) -> FilterChoice:
        is_on = modality is self.filters.modality
        url = self.filters.url(self.path, modality=modality.value, day="", clinician="")
        return FilterChoice(MODALITY_LABELS[modality], url, is_on)

    def _part(self, part: str) -> FilterChoice:
        is_on = part == self.filters.part
        return FilterChoice(part.capitalize(), self.filters.url(self.path, part="" if is_on else part), is_on)

    def _clinician_choices(self) -> tuple[FilterChoice, ...]:
        """Everyone with times in this block; and whoever is chosen, so that the choice can be undone."""
        chosen = self.filters.clinician_id
        people = {offer.clinician.id: offer.clinician.name for offer in self.times.offers}
        for entry in self.times.eligibility.eligible:
            if entry.clinician.id == chosen:
                people[chosen] = entry.clinician.name
        if len(people) < 2 and chosen is None:
            return ()
        return tuple(
            FilterChoice(
                name, self.filters.url(self.path, clinician="" if each == chosen else each), each == chosen
            )
            for each, name in sorted(people.items(), key=lambda item: item[1])
        )

    def _clinicians(self) -> tuple[ClinicianTimes, ...]:
        offers: dict[int, list[Offer]] = defaultdict(list)
        for offer in self.days.get(self.day, ()):
            offers[offer.clinician.id].append(offer)
        records = ClinicianRecord.objects.select_related("photo").defer("photo__data").in_bulk(list(offers))
        return tuple(
            self._clinician(records[each], theirs) for each, theirs in offers.items() if each in records
        )

    def _clinician(self, record: ClinicianRecord, offers: Sequence[Offer]) -> ClinicianTimes:
        stands_on = offers[0].license
        details = [f"Speaks {record.languages}"] if record.languages else []
        if self.filters.modality is Modality.IN_PERSON:
            details.append(" and ".join(sorted({offer.schedule.location_name for offer in offers})))
        return ClinicianTimes(
            id=record.pk,
            name=record.full_name,
            initials="".join(
                word[0] for word in (record.name.split()[0], record.family_name or record.name) if word
            ),
            photo_url=record.photo.get_absolute_url() if hasattr(record, "photo") else "",
            detail_words=" · ".join(details),
            license_words=license_words(stands_on.jurisdiction, stands_on.compact),
            count_words=plural(len(offers), "time"),
            parts=tuple(self._parts(offers)),
        )

    def _parts(self, offers: Iterable[Offer]) -> Iterable[PartOfDay]:
        grouped: dict[str, list[TimeChoice]] = defaultdict(list)
        for offer in offers:
            words = time_words(offer.starts_at, self.zone)
            choice = TimeChoice(
                value=slot_value(offer, self.filters.modality),
                time_words=words,
                label=f"{words} {self.zone_words} time, {date_words(self.day)}, {offer.clinician.name}",
            )
            grouped[part_of_day(offer.starts_at, self.zone)].append(choice)
        for part in PARTS_OF_DAY:
            choices = grouped.get(part)
            if choices:
                # One time alone is not worth folding away.
                shown = len(choices) if len(choices) <= SHOWN_PER_PART + 1 else SHOWN_PER_PART
                more = tuple(choices[shown:])
                yield PartOfDay(
                    part.capitalize(), tuple(choices[:shown]), more, f"{len(more)} more times" if more else ""
                )

    def _empty(self, later: Times | None) -> EmptyTimes | None:
        if self.days.get(self.day) or self.times.pending:
            return None
        nearest = sorted(self.days, key=lambda day: (abs(day - self.day), day))[:3]
        if not nearest and later is not None:
            nearest = sorted(by_local_day(later.offers, later.zone))[:3]
        links = tuple(
            FilterChoice(date_words(day), self._day_url(day), is_on=False) for day in sorted(nearest)
        )
        is_filtered = bool(self.filters.part or self.filters.clinician_id)
        heading = (
            f"No times on {date_words(self.day)}" if self.days or links else "No times are free right now"
        )
        if links:
            text = "The nearest days with times are:"
        elif is_filtered:
            text = "Try again with fewer filters on, or another way to hold the visit."
        else:
            text = "Every time in the coming weeks is taken. Times open up every day, and we can help you by phone."
        if is_filtered and not links:
            links = (
                FilterChoice(
                    "Show all times", self.filters.url(self.path, part="", clinician="", day=""), False
                ),
            )
        return EmptyTimes(heading, text, links)
