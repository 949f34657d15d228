"""What templates see: finished words, URLs and booleans. No template computes, formats or decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.safestring import SafeString


@dataclass(frozen=True, slots=True)
class Step:
    """``words`` is the step's name as it reads after "Step 3 of 6:", such as "choose a time"."""

    number: int
    count: int
    words: str


@dataclass(frozen=True, slots=True)
class SummaryRow:
    label: str
    value: str
    change_url: str = ""


@dataclass(frozen=True, slots=True)
class HoldNotice:
    """The hold a patient has; ``seconds_left`` is for the countdown, ``until_words`` for reading."""

    when_words: str
    clinician_name: str
    until_words: str
    seconds_left: int
    can_extend: bool


@dataclass(frozen=True, slots=True)
class Journey:
    step: Step | None = None
    back_url: str = ""
    summary: tuple[SummaryRow, ...] = ()
    hold: HoldNotice | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened, said once at the top of a page. ``kind``: info, warning or success."""

    kind: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class ReasonTile:
    code: str
    label: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    name: str
    reasons: tuple[ReasonTile, ...]


@dataclass(frozen=True, slots=True)
class SpecialtyTile:
    code: str
    name: str
    description: str
    count_words: str


@dataclass(frozen=True, slots=True)
class FilterChoice:
    """One link of a filter; ``url`` switches it on, or off when it is on."""

    label: str
    url: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class TimeChoice:
    """One free time. ``value`` is what the form posts; ``label`` says all of it to a screen reader."""

    value: str
    time_words: str
    label: str
    day_words: str = ""
    zone_words: str = ""
    clinician_name: str = ""
    place_words: str = ""


@dataclass(frozen=True, slots=True)
class TimeList:
    """Times of one clinician in one part of a day, or on one day of a week.

    ``times_html`` and ``more_html`` are finished list items; the latter are folded under ``more_words``.
    """

    name: str
    times_html: SafeString
    more_html: SafeString | None = None
    more_words: str = ""


@dataclass(frozen=True, slots=True)
class ClinicianTimes:
    id: str
    name: str
    initials: str
    photo_url: str
    detail_words: str
    license_words: str
    count_words: str
    lists_html: SafeString


@dataclass(frozen=True, slots=True)
class DayTab:
    """One day of the strip. ``label`` is the whole of it: "Tuesday, November 24, 18 times"."""

    weekday: str
    day: str
    count_words: str
    label: str
    url: str
    is_on: bool
    is_empty: bool


@dataclass(frozen=True, slots=True)
class EmptyTimes:
    heading: str
    text: str
    next_days: tuple[FilterChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class GridFilters:
    """``views`` are one day or the whole week."""

    modalities: tuple[FilterChoice, ...]
    views: tuple[FilterChoice, ...]
    parts_of_day: tuple[FilterChoice, ...]
    clinician_choices: tuple[FilterChoice, ...]


@dataclass(frozen=True, slots=True)
class GridBody:
    """The times themselves, of one day or one week, with the days around them; ``clinicians`` are finished HTML."""

    zone_words: str
    day_heading: str
    soonest: tuple[TimeChoice, ...]
    days: tuple[DayTab, ...]
    clinicians: tuple[SafeString, ...]
    is_week: bool
    earlier_days_url: str = ""
    later_days_url: str = ""
    people_words: str = ""
    earlier_people: FilterChoice | None = None
    later_people: FilterChoice | None = None
    empty: EmptyTimes | None = None
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class GridPieces:
    """What of a page of times is the same for as long as the times are: finished HTML, and the words to say of it."""

    say: str
    filters_html: SafeString
    body_html: SafeString


@dataclass(frozen=True, slots=True)
class TimesGrid:
    """Everything the page of times shows for one day or week, one modality and the filters that are on.

    ``waiting_words`` is empty when every clinician's times are in; otherwise htmx asks ``refresh_url`` again at once.
    """

    zone_words: str
    freshness_words: str
    waiting_words: str
    is_stale: bool
    refresh_url: str
    look_again_seconds: int
    pieces: GridPieces
    notice: Notice | None = None
    alternatives: tuple[TimeChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class VisitCard:
    """A booking in words. ``state``: booked, confirming, refused, needs_staff, staff_move, cancelling, staff_cancel or
    cancelled."""

    state: str
    weekday: str
    month: str
    day_number: str
    date_words: str
    time_words: str
    zone_words: str
    length_words: str
    clinician_name: str
    clinician_detail: str
    modality_words: str
    place_lines: tuple[str, ...]
    patient_name: str
    join_url: str = ""
    room_words: str = ""
    calendar_url: str = ""
    message_words: str = ""
    change_words: str = ""
    prepare: tuple[str, ...] = ()
    refusal: Notice | None = None
    times_url: str = ""
    refresh_url: str = ""
    rows: tuple[SummaryRow, ...] = field(default=())

    @property
    def is_waiting(self) -> bool:
        """Whether the clinic's answer is still to come, and the page looks again by itself."""
        return self.state in ("confirming", "cancelling")
