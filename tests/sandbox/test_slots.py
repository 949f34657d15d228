"""Slot search: what is free, for whom, where, and in which zone's clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from booking.sandbox.calendars import calendar_of, open_times
from booking.sandbox.roster import AUSTIN, STAFF
from booking.sandbox.seed import staff_id

from .rig import OFFICE, SNOMED, TELEHEALTH, TODAY, Clinic, issue

OAKLAND_ZONE = ZoneInfo("America/Los_Angeles")


def _days(slots: list[tuple[str, str]]) -> set[str]:
    return {start[:10] for start, _ in slots}


def test_a_slot_has_five_fields(clinic: Clinic) -> None:
    schedule = f"Location.1-Staff.{clinic.staff('Okonkwo')}"
    slot = clinic.search("Slot", schedule=schedule)[0]
    assert slot == {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{schedule}", "type": "Schedule"},
        "status": "free",
        "start": slot["start"],
        "end": slot["end"],
    }


def test_the_bundle_has_no_links(clinic: Clinic) -> None:
    bundle = clinic.get("/Slot", schedule=f"Location.1-Staff.{clinic.staff('Okonkwo')}").json()
    assert list(bundle) == ["resourceType", "type", "total", "entry"]
    assert bundle["total"] == len(bundle["entry"]) > 10


def test_the_schedule_is_taken_bare_or_as_a_reference(clinic: Clinic) -> None:
    schedule = f"Location.1-Staff.{clinic.staff('Okonkwo')}"
    bare, typed = clinic.get("/Slot", schedule=schedule), clinic.get("/Slot", schedule=f"Schedule/{schedule}")
    assert bare.json() == typed.json()


def test_twenty_minutes_and_a_week_unless_told(clinic: Clinic) -> None:
    slots = clinic.slots("Okonkwo", "Oakland")
    lengths = {datetime.fromisoformat(end) - datetime.fromisoformat(start) for start, end in slots}
    assert lengths == {timedelta(minutes=20)}
    assert slots == clinic.slots("Okonkwo", "Oakland", start=TODAY, end=TODAY + timedelta(7), duration=20)


def test_the_default_start_is_todays_date_in_utc(clinic: Clinic) -> None:
    clinic.clock.now = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)  # half past four on Monday in Oakland
    clinic.authorize()
    slots = clinic.slots("Whitfield", "Austin")
    monday = clinic.slots("O'Shaughnessy", "Oakland", start="2026-11-23", end="2026-11-23")
    assert min(_days(slots)) == "2026-11-24"
    assert _days(monday) == {"2026-11-23"}
    assert "2026-11-23" not in _days(clinic.slots("O'Shaughnessy", "Oakland"))


def test_start_and_end_are_days_at_the_practice_and_both_count(clinic: Clinic) -> None:
    one_day = clinic.slots("Okonkwo", "Oakland", start="2026-11-24", end="2026-11-24")
    two_days = clinic.slots("Okonkwo", "Oakland", start="2026-11-24", end="2026-11-25")
    assert (_days(one_day), _days(two_days)) == ({"2026-11-24"}, {"2026-11-24", "2026-11-25"})
    assert clinic.slots("Okonkwo", "Oakland", start="2026-11-25", end="2026-11-24") == []


def test_an_instant_is_taken_as_its_day_at_the_practice(clinic: Clinic) -> None:
    # Three in the morning UTC is still the evening before in Oakland.
    by_instant = clinic.slots("Okonkwo", "Oakland", start="2026-11-25T03:00:00Z", end="2026-11-24")
    assert by_instant == clinic.slots("Okonkwo", "Oakland", start="2026-11-24", end="2026-11-24")


def test_candidates_step_by_a_quarter_hour_and_fit_whole(clinic: Clinic) -> None:
    starts = {
        start for start, _ in clinic.slots("Okonkwo", "Oakland", duration=15, end=TODAY + timedelta(20))
    }
    assert {start[14:16] for start in starts} == {"00", "15", "30", "45"}
    for minutes in (30, 45, 60):
        longer = clinic.slots("Okonkwo", "Oakland", duration=minutes, end=TODAY + timedelta(20))
        assert {start for start, _ in longer} < starts
        for start, _ in longer:
            moment = datetime.fromisoformat(start)
            covered = {(moment + timedelta(minutes=15 * step)).isoformat() for step in range(minutes // 15)}
            assert covered <= starts


def test_past_times_today_are_not_offered(clinic: Clinic) -> None:
    today = clinic.slots("Okonkwo", "Oakland", start=TODAY, end=TODAY, duration=15)
    clinic.clock.advance(hours=4, seconds=1)
    later = clinic.slots("Okonkwo", "Oakland", start=TODAY, end=TODAY, duration=15)
    assert later == [slot for slot in today if slot[0] > "2026-11-18T14:00:00"]
    assert 0 < len(later) < len(today)


def test_nothing_is_offered_after_three_weeks(clinic: Clinic) -> None:
    slots = clinic.slots("Hutchinson", "Austin", start=TODAY, end=TODAY + timedelta(60))
    assert max(_days(slots)) == "2026-12-08"
    clinic.clock.advance(days=1)
    clinic.authorize()
    later = clinic.slots("Hutchinson", "Austin", start=TODAY, end=TODAY + timedelta(60))
    assert max(_days(later)) == "2026-12-09"


@pytest.mark.parametrize(
    ("now", "offsets"),
    [
        (datetime(2026, 10, 28, 18, tzinfo=UTC), {"-07:00": "2026-10-30", "-08:00": "2026-11-02"}),
        (datetime(2027, 3, 8, 18, tzinfo=UTC), {"-08:00": "2027-03-12", "-07:00": "2027-03-15"}),
    ],
    ids=["autumn", "spring"],
)
def test_offsets_follow_the_practices_clock(clinic: Clinic, now: datetime, offsets: dict[str, str]) -> None:
    clinic.clock.now = now
    clinic.authorize()
    today = now.date()
    slots = clinic.slots("Okonkwo", "Oakland", start=today, end=today + timedelta(13), duration=15)
    for start, end in slots:
        local = datetime.fromisoformat(start).astimezone(OAKLAND_ZONE)
        assert start == local.isoformat()
        assert end == (local.astimezone(UTC) + timedelta(minutes=15)).astimezone(OAKLAND_ZONE).isoformat()
        assert 9 <= local.hour < 17
        assert local.hour != 12
    for offset, day in offsets.items():
        assert {start[-6:] for start, _ in slots if start.startswith(day)} == {offset}


def test_each_location_has_its_own_zone(clinic: Clinic) -> None:
    oakland = clinic.slots("Raghunathan", "Oakland", start="2026-11-24", end="2026-11-24")
    austin = clinic.slots("Raghunathan", "Austin", start="2026-11-24", end="2026-11-24")
    assert ({start[-6:] for start, _ in oakland}, {start[-6:] for start, _ in austin}) == (
        {"-08:00"},
        {"-06:00"},
    )
    instants = [
        [datetime.fromisoformat(start).astimezone(UTC) for start, _ in slots] for slots in (oakland, austin)
    ]
    assert instants[0] == instants[1]


def test_a_schedule_may_be_empty(clinic: Clinic) -> None:
    assert clinic.slots("Okonkwo", "Austin", end=TODAY + timedelta(21)) == []


def test_a_split_week_is_at_one_location_a_day(clinic: Clinic) -> None:
    both = {
        city: _days(clinic.slots("Banerjee", city, end=TODAY + timedelta(20)))
        for city in ("Oakland", "Austin")
    }
    shared = {date.fromisoformat(day).weekday() for day in both["Oakland"] & both["Austin"]}
    assert shared == {4}  # Friday is video, offered at both


class TestAppointmentType:
    def test_windows_allow_some_types_only(self, clinic: Clinic) -> None:
        whole = {"start": "2026-11-19", "end": "2026-12-08"}
        every = clinic.slots("Gallagher", "Oakland", **whole)
        video = clinic.slots(
            "Gallagher", "Oakland", **whole, **{"appointment-type": f"{SNOMED}|{TELEHEALTH}"}
        )
        office = clinic.slots("Gallagher", "Oakland", **whole, **{"appointment-type": f"{SNOMED}|{OFFICE}"})
        assert video == every
        assert office == [slot for slot in every if slot[0][11:13] < "16"]
        assert 0 < len(office) < len(every)

    def test_an_office_only_calendar_has_no_video(self, clinic: Clinic) -> None:
        params = {"end": "2026-12-08", "appointment-type": f"{SNOMED}|{TELEHEALTH}"}
        assert clinic.slots("Brandt", "Oakland", **params) == []

    @pytest.mark.parametrize("text", [TELEHEALTH, f"|{TELEHEALTH}", f"{SNOMED}|"])
    def test_it_must_name_system_and_code(self, clinic: Clinic, text: str) -> None:
        answer = clinic.get("/Slot", schedule="any", **{"appointment-type": text})
        assert issue(answer) == (400, "invalid", "appointment-type must be in the form system|code.")


class TestBusyTime:
    def test_a_booking_takes_its_time_at_every_location(self, clinic: Clinic) -> None:
        day = {"start": "2026-11-24", "end": "2026-11-24"}
        before = {city: clinic.slots("Raghunathan", city, **day) for city in ("Oakland", "Austin")}
        start, end = before["Oakland"][3]
        id_ = clinic.book(
            start=start,
            end=end,
            participant=[
                {"actor": {"reference": f"Practitioner/{clinic.staff('Raghunathan')}"}, "status": "accepted"},
                {"actor": {"reference": f"Patient/{clinic.patient('Delgado')}"}, "status": "accepted"},
            ],
        )
        taken = (datetime.fromisoformat(start), datetime.fromisoformat(end))
        for city, slots in before.items():
            assert clinic.slots("Raghunathan", city, **day) == [
                slot
                for slot in slots
                if datetime.fromisoformat(slot[1]) <= taken[0] or datetime.fromisoformat(slot[0]) >= taken[1]
            ]
            assert len(clinic.slots("Raghunathan", city, **day)) < len(slots)
        body = clinic.read("Appointment", id_)
        assert clinic.put(f"/Appointment/{id_}", {**body, "status": "cancelled"}).status_code == 200
        for city, slots in before.items():
            assert clinic.slots("Raghunathan", city, **day) == slots

    def test_one_clinician_is_full_and_one_has_two_times(self, clinic: Clinic) -> None:
        whole = {"start": TODAY, "end": TODAY + timedelta(20)}
        assert clinic.slots("Voss", "Oakland", **whole, duration=15) == []
        assert clinic.slots("Abramowitz", "Austin", **whole, duration=20) == [
            ("2026-11-26T14:30:00-06:00", "2026-11-26T14:50:00-06:00"),
            ("2026-12-08T10:00:00-06:00", "2026-12-08T10:20:00-06:00"),
        ]

    def test_about_two_fifths_of_the_week_is_taken(self) -> None:
        whole = free = 0
        for staff in STAFF:
            if staff.occupancy != "usual" or not staff.schedulable:
                continue
            zone = "America/Chicago" if staff.home == AUSTIN else "America/Los_Angeles"
            calendar = calendar_of(staff, staff_id(staff.key), zone)
            for number in range(21):
                day = TODAY + timedelta(number)
                whole += sum(
                    window.end - window.start for window in calendar.windows if day.weekday() in window.days
                )
                free += sum(end - start for each in open_times(calendar, day) for start, end in each.spans)
        assert 0.35 <= 1 - free / whole <= 0.50

    def test_the_same_question_has_the_same_answer(self, clinic: Clinic) -> None:
        assert clinic.slots("Tanaka", "Oakland") == clinic.slots("Tanaka", "Oakland")


class TestRefusals:
    def test_a_schedule_is_required(self, clinic: Clinic) -> None:
        assert issue(clinic.get("/Slot", start=TODAY)) == (400, "invalid", "schedule is required.")

    @pytest.mark.parametrize("duration", ["0", "-20", "soon", "20.5"])
    def test_duration_is_minutes(self, clinic: Clinic, duration: str) -> None:
        answer = clinic.get("/Slot", schedule="any", duration=duration)
        assert issue(answer) == (400, "invalid", "duration must be a number of minutes.")

    @pytest.mark.parametrize("name", ["start", "end"])
    def test_dates_are_dates(self, clinic: Clinic, name: str) -> None:
        answer = clinic.get("/Slot", schedule=f"Location.1-Staff.{clinic.staff('Okonkwo')}", **{name: "soon"})
        assert issue(answer) == (400, "invalid", f"{name} must be a date.")

    @pytest.mark.parametrize(
        "schedule", ["nonsense", "Location.9-Staff.x", "Location.1-Staff.00000000000000000000000000000000"]
    )
    def test_an_unknown_schedule_is_empty_or_not_found(self, clinic: Clinic, schedule: str) -> None:
        assert clinic.get("/Slot", schedule=schedule).json() == {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": 0,
        }
        clinic.switch(unknown_schedule="404")
        answer = clinic.get("/Slot", schedule=schedule)
        assert issue(answer) == (404, "not-found", f"Unknown Schedule resource '{schedule}'")
