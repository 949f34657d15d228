"""The grid of times in finished words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from booking.flows.clinic_rules import ClinicianCard
from booking.flows.find_times import Times
from booking.flows.hold_slot import Choice
from booking.messaging.words import license_words
from booking.scheduling.clock import (
    PARTS_OF_DAY,
    date_words,
    local_day,
    short_date_words,
    time_words,
    zone_words,
)
from booking.scheduling.openings import Opening
from booking.scheduling.terms import Modality, Offer

from .finished import Finished
from .presenters import (
    ClinicianTimes,
    DayTab,
    EmptyTimes,
    FilterChoice,
    GridBody,
    GridFilters,
    GridPieces,
    Notice,
    TimeChoice,
    TimeList,
    TimesGrid,
)
from .slot_markup import slot_buttons, time_lists

# Of one part of a day, or of one day of a week; two rows on a phone.
SHOWN_AT_ONCE = 6
SOONEST = 3
CLINICIANS_PER_PAGE = 20
WEEK = "week"
_of_clinicians = Finished[SafeString](most_bytes=16_000_000)
MODALITY_LABELS = {Modality.VIDEO: "Video", Modality.IN_PERSON: "In person", Modality.PHONE: "Phone"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address of a page of times says. ``day`` None means the first day with times.

    ``view`` is WEEK or empty, for one day; ``page`` counts clinicians, from 1.
    """

    modality: Modality
    day: date | None = None
    part: str = ""
    clinician_id: int | None = None
    view: str = ""
    page: int = 1

    def url(self, path: str, **changes: object) -> str:
        """Another page of the same; whatever changes begins again with the first clinicians."""
        return _address(self, path, tuple(changes.items()))


@lru_cache(maxsize=4096)
def _address(filters: Filters, path: str, changes: tuple[tuple[str, object], ...]) -> str:
    """Kept: a page has dozens, and the next one mostly the same."""
    values: dict[str, object] = {
        "modality": filters.modality.value,
        "day": filters.day.isoformat() if filters.day else "",
        "part": filters.part,
        "clinician": filters.clinician_id or "",
        "view": filters.view,
        "page": "" if changes or filters.page == 1 else filters.page,
    } | dict(changes)
    return f"{path}?{urlencode({name: value for name, value in values.items() if value})}"


def slot_value(offer: Offer, modality: Modality) -> str:
    return f"{offer.schedule.id}.{int(offer.starts_at.timestamp())}.{modality.value}"


def parse_slot_value(value: str) -> tuple[Choice, Modality]:
    """Raises ``ValueError`` for anything that ``slot_value`` did not make."""
    schedule_id, epoch, modality = value.split(".")
    return Choice(int(schedule_id), datetime.fromtimestamp(int(epoch), UTC)), Modality(modality)


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def freshness_words(times: Times, now: datetime) -> str:
    """How old the oldest of the times is; empty while none is known."""
    if times.read_at is None:
        return ""
    seconds = (now - times.read_at).total_seconds()
    if times.is_stale:
        minutes = max(1, round(seconds / 60))
        return f"The clinic's system is not answering. These times are from {plural(minutes, 'minute')} ago."
    if seconds < 45:
        return "Checked just now"
    return f"Checked {plural(max(1, round(seconds / 60)), 'minute')} ago"


class GridPresenter:
    """Words for one answer of ``find_times``, for one set of filters."""

    def __init__(
        self,
        times: Times,
        filters: Filters,
        *,
        cards: Mapping[int, ClinicianCard],
        path: str,
        now: datetime,
    ) -> None:
        self.times, self.filters, self.cards, self.path, self.now = times, filters, cards, path, now
        self.zone = times.zone
        self.zone_words = zone_words(times.zone)
        self.openings = times.openings.of(filters.clinician_id)
        self.spans = times.bounds.spans(filters.part)
        self.counts = dict(zip(times.bounds.days, self.openings.counts(self.spans), strict=True))
        self.days_with_times = [day for day, count in self.counts.items() if count]
        first = self.days_with_times[0] if self.days_with_times else times.block.first_on
        self.day = filters.day if filters.day in self.counts else first
        self.is_week = filters.view == WEEK
        self.shown_spans = self.spans if self.is_week else (times.bounds.span(self.day, filters.part),)
        self.people = self.openings.on(self.shown_spans)
        pages = max(1, -(-len(self.people) // CLINICIANS_PER_PAGE))
        self.page = max(1, min(filters.page, pages))
        self.first_shown = (self.page - 1) * CLINICIANS_PER_PAGE
        self.shown = self.people[self.first_shown : self.first_shown + CLINICIANS_PER_PAGE]

    @property
    def has_times(self) -> bool:
        return bool(self.days_with_times)

    def grid(
        self,
        pieces: GridPieces,
        *,
        look_again_seconds: int,
        notice: Notice | None = None,
        alternatives: Sequence[Offer] = (),
    ) -> TimesGrid:
        return TimesGrid(
            zone_words=f"{self.zone_words} time",
            freshness_words=freshness_words(self.times, self.now),
            waiting_words=self._waiting(),
            is_stale=self.times.is_stale,
            refresh_url=self.filters.url(self.path),
            look_again_seconds=look_again_seconds,
            pieces=pieces,
            notice=notice,
            alternatives=tuple(self._tile(offer) for offer in alternatives),
        )

    def choices(self, modalities: Sequence[Modality]) -> GridFilters:
        return GridFilters(
            modalities=tuple(self._modality(each) for each in modalities) if len(modalities) > 1 else (),
            views=self._views(),
            parts_of_day=tuple(self._part(each) for each in PARTS_OF_DAY),
            clinician_choices=self._clinician_choices(),
        )

    def body(self, *, later: Times | None = None, has_alternatives: bool = False) -> GridBody:
        block = self.times.block
        return GridBody(
            zone_words=f"{self.zone_words} time",
            day_heading=self._heading(),
            soonest=() if has_alternatives else tuple(self._tile(offer) for offer in self._soonest()),
            days=tuple(self._tab(day) for day in block.days),
            clinicians=tuple(map(self._clinician_html, self.shown)),
            is_week=self.is_week,
            earlier_days_url=self._day_url(block.first_on - timedelta(days=1)) if block.number else "",
            later_days_url="" if block.is_last else self._day_url(block.last_on + timedelta(days=1)),
            people_words=self._people_words(),
            earlier_people=self._people_link(self.page - 1, "previous"),
            later_people=self._people_link(self.page + 1, "next"),
            empty=self._empty(later),
            is_waiting=bool(self.times.pending),
        )

    def say(self, body: GridBody) -> str:
        """What a screen reader is told when this has come in."""
        if body.empty:
            return body.empty.heading
        if self.is_week:
            return f"{body.day_heading}, {plural(sum(self.counts.values()), 'time')}"
        return next(day.label for day in body.days if day.is_on)

    def _waiting(self) -> str:
        if not self.times.pending:
            return ""
        people = min(self.times.pending, len(self.times.eligible))
        return f"Checking {plural(people, 'more clinician')}"

    def _heading(self) -> str:
        if not self.is_week:
            return date_words(self.day)
        block = self.times.block
        return f"{short_date_words(block.first_on)} to {short_date_words(block.last_on)}"

    def _soonest(self) -> list[Offer]:
        if self.times.block.number or self.page > 1:
            return []
        return self.openings.soonest(SOONEST, self.spans)

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
        count = self.counts[day]
        # While somebody's day has still to come, it is not known to have none.
        none = "Checking" if self.times.pending else "No times"
        words = plural(count, "time") if count else none
        return DayTab(
            weekday=f"{day:%a}",
            day=f"{day:%b} {day.day}",
            count_words=words,
            label=f"{date_words(day)}, {words.lower()}",
            url=self._day_url(day, view=""),
            is_on=day == self.day and not self.is_week,
            is_empty=not count,
        )

    def _day_url(self, day: date, **changes: object) -> str:
        return self.filters.url(self.path, day=day.isoformat(), **changes)

    def _views(self) -> tuple[FilterChoice, ...]:
        day = self.day.isoformat()
        return (
            FilterChoice("One day", self.filters.url(self.path, view="", day=day), not self.is_week),
            FilterChoice("Whole week", self.filters.url(self.path, view=WEEK, day=day), self.is_week),
        )

    def _modality(self, modality: Modality) -> FilterChoice:
        is_on = modality is self.filters.modality
        url = self.filters.url(self.path, modality=modality.value, day="", clinician="")
        return FilterChoice(MODALITY_LABELS[modality], url, is_on)

    def _part(self, part: str) -> FilterChoice:
        is_on = part == self.filters.part
        return FilterChoice(part.capitalize(), self.filters.url(self.path, part="" if is_on else part), is_on)

    def _clinician_choices(self) -> tuple[FilterChoice, ...]:
        """Everyone who is shown; and whoever is chosen, so that the choice can be undone."""
        chosen = self.filters.clinician_id
        people = {opening.entry.clinician.id: opening.entry.clinician.name for opening in self.shown}
        if chosen is not None and chosen in self.cards:
            people[chosen] = self.cards[chosen].name
        if len(people) < 2 and chosen is None:
            return ()
        return tuple(
            FilterChoice(
                name, self.filters.url(self.path, clinician="" if each == chosen else each), each == chosen
            )
            for each, name in sorted(people.items(), key=lambda item: item[1])
        )

    def _people_words(self) -> str:
        if len(self.people) <= CLINICIANS_PER_PAGE:
            return ""
        last = self.first_shown + len(self.shown)
        return f"Clinicians {self.first_shown + 1} to {last} of {len(self.people)}, the soonest first"

    def _people_link(self, page: int, which: str) -> FilterChoice | None:
        first = (page - 1) * CLINICIANS_PER_PAGE
        if not 0 <= first < len(self.people):
            return None
        count = min(CLINICIANS_PER_PAGE, len(self.people) - first)
        url = self.filters.url(self.path, day=self.day.isoformat(), page=page if page > 1 else "")
        return FilterChoice(f"Show the {which} {plural(count, 'clinician')}", url, is_on=False)

    def _clinician_html(self, opening: Opening) -> SafeString:
        """Made once for as long as this clinician's times stay as they are, whatever becomes of others'."""
        days = tuple(map(bool, self.counts.values())) if self.is_week else ()
        filters = self.filters.modality, self.filters.part, self.shown_spans
        # Short for whoever this is about: that it is still the same, the opening tells.
        question = (id(opening.entry), filters, self.zone_words, days)
        html = _of_clinicians.find(question, opening)
        if html is None:
            context = {"clinician": self._clinician(opening), "is_week": self.is_week}
            html = render_to_string("booking/_clinician_times.html", context)
            _of_clinicians.keep(question, opening, html, len(html))
        return html

    def _clinician(self, opening: Opening) -> ClinicianTimes:
        clinician = opening.entry.clinician
        card = self.cards[clinician.id]
        lists = self._week_lists(opening) if self.is_week else self._day_lists(opening)
        indices = [index for span in self.shown_spans for index in opening.between(*span)]
        details = [f"Speaks {card.languages}"] if card.languages else []
        if self.filters.modality is Modality.IN_PERSON:
            names = {opening.schedule(index).location_name for index in indices}
            details.append(" and ".join(sorted(names)))
        stands_on = opening.offer(indices[0], self.times.openings.zone).license
        return ClinicianTimes(
            id=str(clinician.id),
            name=card.name,
            initials=card.initials,
            photo_url=card.photo_url,
            detail_words=" · ".join(details),
            license_words=license_words(stands_on.jurisdiction, stands_on.compact),
            count_words=plural(len(indices), "time"),
            lists_html=time_lists(clinician.id, card.name, lists),
        )

    def _day_lists(self, opening: Opening) -> list[TimeList]:
        parts = (self.filters.part,) if self.filters.part else PARTS_OF_DAY
        return [
            self._list(part.capitalize(), opening, self.times.bounds.span(self.day, part), self.day)
            for part in parts
            if opening.between(*self.times.bounds.span(self.day, part))
        ]

    def _week_lists(self, opening: Opening) -> list[TimeList]:
        """All days, those without a time too, so that days stand under each other; but none that nobody has times on."""
        return [
            self._list(short_date_words(day), opening, span, day)
            for day, span in zip(self.times.bounds.days, self.spans, strict=True)
            if self.counts[day]
        ]

    def _list(self, name: str, opening: Opening, span: tuple[int, int], day: date) -> TimeList:
        indices = opening.between(*span)
        said_after = f" {self.zone_words} time, {date_words(day)}, {opening.entry.clinician.name}"

        def buttons(some: Sequence[int]) -> SafeString:
            return slot_buttons(
                opening, some, modality=self.filters.modality, zone=self.zone, said_after=said_after
            )

        # One time alone is not worth folding away.
        if len(indices) <= SHOWN_AT_ONCE + 1:
            return TimeList(name, buttons(indices))
        more = indices[SHOWN_AT_ONCE:]
        words = f"{len(more)} more" if self.is_week else f"{len(more)} more times"
        return TimeList(name, buttons(indices[:SHOWN_AT_ONCE]), buttons(more), words)

    def _empty(self, later: Times | None) -> EmptyTimes | None:
        if self.people or self.times.pending:
            return None
        nearest = sorted(self.days_with_times, key=lambda day: (abs(day - self.day), day))[:3]
        if not nearest and later is not None:
            openings = later.openings.of(self.filters.clinician_id)
            counts = openings.counts(later.bounds.spans(self.filters.part))
            nearest = [day for day, count in zip(later.bounds.days, counts, strict=True) if count][:3]
        links = tuple(
            FilterChoice(date_words(day), self._day_url(day), is_on=False) for day in sorted(nearest)
        )
        is_filtered = bool(self.filters.part or self.filters.clinician_id)
        on = (
            f"in the week from {date_words(self.times.block.first_on)}"
            if self.is_week
            else f"on {date_words(self.day)}"
        )
        heading = f"No times {on}" if self.has_times or links else "No times are free right now"
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
