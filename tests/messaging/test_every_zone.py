"""The confirmation page, messages, the calendar file and the EHR's Appointment mean one instant, at every change of clocks.

Zones whose clocks show the same from 2025 to 2028 are one here; tests/scheduling/test_every_zone.py has them all.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from icalendar import Calendar, Event

from booking.fhir import r4_writers, writers
from booking.flows.confirm_booking import appointment_request
from booking.messaging import texts
from booking.models import Booking, Message
from booking.scheduling.terms import Modality
from booking.web.present_visit import visit_card, visit_rows
from tests import factories
from tests.zones import Change, every_change, instant_of, unlike_zones

pytestmark = pytest.mark.django_db

# Lengths that begin or end on, before and after the change.
MINUTES = (30, 45)
# In hours from the change: what is near it, and the afternoon of the same day.
NEAR, AFTERNOON = (-2, 3), (11, 12)
SAID = re.compile(r"\w+, \w+ \d+, \d+:\d\d [ap]m(?: \(\w+\))? [^.]+? time")


def starts_near(change: Change) -> list[datetime]:
    hours = {at: (at - change.at) / timedelta(hours=1) for at in change.starts}
    return [at for at, away in hours.items() if any(a <= away <= b for a, b in (NEAR, AFTERNOON))]


def instants_of_file(text: str) -> tuple[datetime, datetime]:
    """Start and end of a calendar file, read line by line. Only UTC can be read without believing anyone's rules."""
    lines = dict(line.split(":", 1) for line in text.replace("\r\n ", "").splitlines() if line)
    starts, ends = lines["DTSTART"], lines["DTEND"]
    return tuple(datetime.strptime(each, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for each in (starts, ends))


@pytest.fixture
def visit() -> Booking:
    """One visit, moved from time to time and from zone to zone without touching the database."""
    return factories.booking(text_consent_at=datetime.now(UTC), booked_at=datetime.now(UTC))


def at(visit: Booking, starts_at: datetime, minutes: int, change: Change, modality: Modality) -> Booking:
    """By video in the patient's zone; in person in the place's own, while the patient's is another."""
    visit.starts_at, visit.ends_at = starts_at, starts_at + timedelta(minutes=minutes)
    visit.modality = modality
    in_person = modality is Modality.IN_PERSON
    visit.zone = "America/Los_Angeles" if in_person else change.zone
    visit.schedule.location.time_zone = change.zone if in_person else "America/Los_Angeles"
    return visit


def said_in(text: str) -> str:
    (words,) = SAID.findall(text)
    return words


def check(visit: Booking, change: Change) -> None:
    instant, end = visit.starts_at, visit.ends_at
    minutes = int((end - instant).total_seconds()) // 60
    card = visit_card(visit, now=instant)
    (row,) = [row for row in visit_rows(visit) if row.label == "When"]
    page = f"{card.date_words}, {card.time_words} {card.zone_words}"
    sms, mail = (
        texts.render(Message(booking=visit, kind="confirmation", channel=channel))
        for channel in ("sms", "email")
    )
    ((_, file, _),) = mail.attachments

    assert {page, row.value, said_in(sms.body), said_in(mail.body)} == {page}
    assert (instant_of(page, change), card.length_words) == (instant, f"{minutes} minutes")
    assert instants_of_file(file) == (instant, end)
    assert page in file.replace("\r\n ", "").replace("\\,", ",")

    request = appointment_request(visit, "Patient/1")
    for sent in (writers.write_appointment(request), r4_writers.write_appointment(request)):
        told = datetime.fromisoformat(sent["start"]), datetime.fromisoformat(sent["end"])
        assert told == (instant, end)


@pytest.mark.parametrize("zone", unlike_zones())
def test_all_that_is_said_of_a_visit_means_one_instant_and_length(visit: Booking, zone: str) -> None:
    for change in every_change()[zone]:
        for number, starts_at in enumerate(starts_near(change)):
            modality = (Modality.VIDEO, Modality.IN_PERSON)[number % 2]
            check(at(visit, starts_at, MINUTES[number // 2 % 2], change, modality), change)


def test_a_calendar_file_in_local_time_would_be_an_hour_off() -> None:
    """The control: what the file would say of the second 1:30 am of a night, with the zone's name beside it."""
    second = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
    (change,) = [c for c in every_change()["America/Los_Angeles"] if c.at.date() == second.date()]
    event = Event()
    event.add("dtstart", datetime.fromisoformat("2026-11-01T01:30:00").replace(fold=1))
    calendar = Calendar()
    calendar.add_component(event)
    local = calendar.to_ical().decode().split("DTSTART:")[1].splitlines()[0]
    read = datetime.strptime(f"{local}Z", "%Y%m%dT%H%M%S%z")
    first, last = change.instants[read.year, read.month, read.day, read.hour, read.minute]
    assert (first, last) == (second - timedelta(hours=1), second)


def test_the_page_of_a_visit_shows_its_words(client, visit: Booking) -> None:
    """A visit in a repeated hour of the years to come, as its link shows it."""
    Booking.objects.filter(pk=visit.pk).update(
        starts_at=datetime(2028, 11, 5, 9, 30, tzinfo=UTC), ends_at=datetime(2028, 11, 5, 10, 0, tzinfo=UTC)
    )
    visit.refresh_from_db()
    message = Message(booking=visit, kind="confirmation", channel="sms")
    link = re.search(r"/v/[^ ]+", texts.render(message).body)
    assert link
    page = client.get(link[0]).content.decode()
    assert "Sunday, November 5<br>1:30 am (standard) Pacific time" in page
