"""What messages say: the clinic first, the time with its zone, one link; and nothing of the visit's reason or people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from icalendar import Calendar

from booking.messaging import links, texts
from booking.messaging.calendar import calendar_file
from booking.models import Message
from booking.scheduling.terms import Modality
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STARTS_AT = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)
KINDS = ["confirmation", "not_booked", "needs_staff", "moved", "cancelled"]
CHANNELS = ["sms", "email"]


def visit(**more):
    """A visit whose every telling word is unlike any other."""
    skin = factories.specialty("dermatology", name="Dermatology")
    telling = factories.reason("secret", label="Embarrassing rash", specialties=[skin], coding_code="RASH")
    who = factories.clinician(name="Wilhelmina Oyelaran", family_name="Oyelaran", specialties=[skin])
    usual = {
        "clinician": who,
        "reason": telling,
        "specialty": "dermatology",
        "patient": factories.patient(given_name="Zbigniew", family_name="Kowalczyk", email="zk@mail.example"),
        "starts_at": STARTS_AT,
        "license_number": "CA-778899",
    }
    return factories.booking(**usual | more)


TELLING = [
    "Embarrassing",
    "rash",
    "secret",
    "dermatology",
    "Oyelaran",
    "Wilhelmina",
    "Zbigniew",
    "Kowalczyk",
    "zk@mail",
    "778899",
    "19840229",
    "1984-02-29",
    "February 29",
]


def rendered(booking, kind: str, channel: str):
    return texts.render(Message(booking=booking, kind=kind, channel=channel, recipient="x", due_at=NOW))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("modality", list(Modality))
def test_no_message_tells_why_or_who(kind, channel, modality):
    text = rendered(visit(modality=modality), kind, channel)
    said = "\n".join([text.subject, text.body, *(content for _, content, _ in text.attachments)]).lower()
    assert [word for word in TELLING if word.lower() in said] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_message_begins_with_the_clinic_and_names_the_time_with_its_zone(settings, kind, channel):
    text = rendered(visit(), kind, channel)
    assert text.body.startswith(settings.CLINIC_NAME)
    assert "Tuesday, November 24, 2:30 pm Pacific time" in text.body
    assert settings.CLINIC_PHONE in text.body
    if channel == "email":
        assert text.subject.startswith(f"{settings.CLINIC_NAME}: ")
    else:
        assert (text.subject, text.attachments) == ("", ())


def test_the_text_of_a_confirmation_is_short_and_has_one_link(settings):
    booking = visit()
    link = links.visit_link(booking)
    assert rendered(booking, "confirmation", "sms").body == (
        f"{settings.CLINIC_NAME}: your visit is booked for Tuesday, November 24, 2:30 pm Pacific time. "
        f"Details: {link} To change it call {settings.CLINIC_PHONE}. Reply STOP to end texts."
    )


@pytest.mark.parametrize(
    ("modality", "line"),
    [
        (Modality.VIDEO, "It is a video visit. The link below shows how to join."),
        (Modality.PHONE, "It is a phone visit. We call you at the time of the visit."),
        (Modality.IN_PERSON, "Where: Juniper Health Oakland, 2140 Juniper Way, Oakland, CA 94612"),
    ],
)
def test_a_confirming_mail_says_how_the_visit_is_held(modality, line):
    lines = rendered(visit(modality=modality), "confirmation", "email").body.splitlines()
    assert [each for each in lines if each == line] == [line]
    assert sum("http" in each for each in lines) == 1


def test_the_video_room_is_never_in_a_message():
    booking = visit(video_url="https://video.example/private-room")
    for channel in CHANNELS:
        text = rendered(booking, "confirmation", channel)
        assert "private-room" not in text.body + "".join(content for _, content, _ in text.attachments)


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        pytest.param(Modality.VIDEO, "4:30 pm Central time", id="by-video-where-the-patient-is"),
        pytest.param(Modality.IN_PERSON, "2:30 pm Pacific time", id="in-person-where-the-place-is"),
    ],
)
def test_the_time_is_that_of_where_the_patient_will_be(modality, words):
    booking = visit(modality=modality, zone="America/Chicago")
    assert words in rendered(booking, "confirmation", "sms").body


def event_of(booking):
    calendar = Calendar.from_ical(calendar_file(booking))
    (event,) = calendar.walk("VEVENT")
    return event


def test_the_calendar_file_holds_the_instant_its_words_and_a_link(settings):
    booking = visit()
    event = event_of(booking)
    assert (event.start, event.end) == (STARTS_AT, STARTS_AT + timedelta(minutes=30))
    assert event["DTSTART"].to_ical() == b"20261124T223000Z"
    assert event["DESCRIPTION"].startswith("Tuesday, November 24, 2:30 pm Pacific time.\n")
    assert (event["UID"], event["SUMMARY"]) == (
        f"{booking.pk}@{settings.PORTAL_HOST}",
        f"Visit with {settings.CLINIC_NAME}",
    )
    assert (event["URL"], event["LOCATION"]) == (links.visit_link(booking), "Online, by video")


def test_the_calendar_file_of_a_booking_keeps_its_name():
    booking = visit()
    assert event_of(booking)["UID"] == event_of(booking)["UID"]


def token_of(booking) -> str:
    return links.visit_link(booking).rstrip("/").rsplit("/", 1)[1]


def test_a_link_shows_its_own_visit_and_holds_nothing_else(settings):
    booking = visit()
    assert links.booking_behind(token_of(booking), now=NOW) == booking
    assert links.visit_link(booking).startswith(f"{settings.PORTAL_URL}/")
    assert token_of(booking).split(".")[0] == booking.pk.hex


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"), id="another-signature"),
        pytest.param(lambda token: f"{'0' * 32}.{token.split('.')[1]}", id="another-booking"),
        pytest.param(lambda token: token.split(".")[0], id="no-signature"),
        pytest.param(lambda token: "", id="nothing"),
    ],
)
def test_a_link_that_was_changed_shows_nothing(spoil):
    assert links.booking_behind(spoil(token_of(visit())), now=NOW) is None


@pytest.mark.parametrize(
    ("after", "shown"),
    [
        pytest.param(timedelta(hours=12, seconds=-1), True, id="that-evening"),
        pytest.param(timedelta(hours=12), False, id="over"),
    ],
)
def test_a_link_ends_half_a_day_after_the_visit(after, shown):
    booking = visit()
    found = links.booking_behind(token_of(booking), now=booking.ends_at + after)
    assert (found == booking) is shown
