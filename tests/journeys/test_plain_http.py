"""The whole way with scripts off: pages, links and forms only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.sandbox import SandboxControl
from tests.rig.sms import SmsGateway

from .plain import PlainVisitor
from .steps import (
    Person,
    assert_appointment,
    choose,
    eventually,
    own_appointments,
    prove_email,
    references,
    settled,
    text_of,
    to_review,
    to_times,
)


@pytest.fixture
def visitor(portal_server: Portal) -> Iterator[PlainVisitor]:
    person = PlainVisitor(portal_server.url)
    yield person
    person.close()


def chosen(visitor: PlainVisitor, position: int) -> tuple[str, datetime]:
    """Choose one of the day's own times; its value and its instant."""
    value = choose(visitor, position)
    return value, datetime.fromtimestamp(int(value.split(".")[1]), UTC)


def schedule_of(portal: Portal, value: str) -> tuple[str, str]:
    """The EHR's names for the clinician and the location behind a time."""
    code = (
        "from booking.models import ScheduleRecord as S;"
        f"s = S.objects.select_related('clinician', 'location').get(pk={int(value.split('.')[0])});"
        "print('FOUND', s.clinician.ehr_ref, s.location.ehr_ref)"
    )
    said = portal.manage("shell", "-c", code).stdout
    found = re.search(r"FOUND (\S+) (\S+)", said)
    assert found, said
    return found[1], found[2]


def test_guest_books_a_video_visit(
    visitor: PlainVisitor, portal_server: Portal, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    person = Person(email="plain@example.com", given="Paloma", family="Plain-Journey")
    to_times(visitor, reason="cold-or-flu", state="CA")
    value, starts_at = chosen(visitor, 4)
    to_review(visitor, person, mailbox)
    visitor.press("Book this visit")

    booking_id = visitor.page.path.strip("/").split("/")[-1]
    (appointment,) = own_appointments(sandbox, booking_id)
    practitioner, location = schedule_of(portal_server, value)
    patient = references(appointment["participant"])[1]
    assert_appointment(
        appointment,
        booking_id=booking_id,
        practitioner=practitioner,
        starts_at=starts_at,
        minutes=20,
        reason_code="SICK",
        type_code="448337001",
        location=location,
        patient=patient,
    )
    (record,) = sandbox.search("Patient", _id=patient.removeprefix("Patient/"))
    assert (
        record["name"][0]["family"],
        record["name"][0]["given"],
        record["birthDate"],
        record["gender"],
    ) == (
        "Plain-Journey",
        ["Paloma"],
        "1984-02-29",
        "female",
    )
    mails = eventually(lambda: [m for m in mailbox.to(person.email) if "booked" in m["Subject"]])
    assert [mail["Subject"] for mail in mails] == ["Juniper Health: your visit is booked"]
    link = re.search(r"http://localhost:\d+/v/\S+", text_of(mails[0]))
    assert link
    other = PlainVisitor(portal_server.url)
    page = other.open(link[0])
    assert page.status == 200
    assert "Paloma" not in page.html
    assert other.open(f"/visits/{booking_id}/").status == 404
    other.close()


def test_reload_and_second_press_book_once(
    visitor: PlainVisitor, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="TX")
    chosen(visitor, 2)
    review = to_review(visitor, Person(email="twice@example.com", family="Twice"), mailbox)
    visitor.press("Book this visit")
    first = visitor.page.path
    visitor.page = review
    visitor.press("Book this visit")
    assert visitor.page.path == first
    assert visitor.open("/book/review/").path == first
    assert len(own_appointments(sandbox, first.strip("/").split("/")[-1])) == 1


def test_time_taken_elsewhere_gives_alternatives_and_keeps_every_answer(
    visitor: PlainVisitor, portal_server: Portal, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="CA")
    value, starts_at = chosen(visitor, 6)
    to_review(visitor, Person(email="late@example.com", family="Late"), mailbox)
    practitioner, _ = schedule_of(portal_server, value)
    end = datetime.fromtimestamp(starts_at.timestamp() + 900, UTC)
    sandbox.staff_books(practitioner, starts_at, end)

    visitor.press("Book this visit")

    assert visitor.page.path == "/book/times/"
    assert "That time was just taken" in visitor.page.text
    settled(visitor)
    assert value not in [button.value for button in visitor.page.buttons("slot")]
    choose(visitor)
    # What is known is not asked again, nor is its page gone through.
    assert (visitor.page.way, visitor.page.path) == (["/book/times/"], "/book/review/")
    assert "Late" in visitor.page.text
    visitor.press("Book this visit")
    assert len(own_appointments(sandbox, visitor.page.path.strip("/").split("/")[-1])) == 1


def test_duration_follows_the_most_specific_rule(
    visitor: PlainVisitor, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="anxiety", state="CA", kind="new", specialty="psychiatry")
    _, starts_at = chosen(visitor, 0)
    to_review(visitor, Person(email="rule@example.com", family="Rule"), mailbox)
    visitor.press("Book this visit")
    (appointment,) = own_appointments(sandbox, visitor.page.path.strip("/").split("/")[-1])
    ends_at = datetime.fromisoformat(appointment["end"].replace("Z", "+00:00"))
    assert (ends_at - starts_at).total_seconds() == 60 * 60


def test_nobody_licensed_gives_a_reason_and_a_way_on(visitor: PlainVisitor) -> None:
    visitor.open("/")
    visitor.press(name="reason", value="refill")
    visitor.press("Continue", fields={"state": "WY"})
    assert "We have no clinician for this in Wyoming" in visitor.page.text
    visitor.follow("another state")
    assert visitor.page.path == "/book/state/"


def test_wrong_code_is_refused_and_the_fifth_ends_it(visitor: PlainVisitor, mailbox: Mailbox) -> None:
    to_times(visitor, reason="refill", state="CA")
    chosen(visitor, 0)
    visitor.press("code", fields={"channel": "email", "email": "guess@example.com"})
    real = text_of(mailbox.wait_for(1, to="guess@example.com")[-1])
    wrong = "111111" if "111111" not in real else "222222"
    for _ in range(4):
        visitor.press("Continue", fields={"code": wrong})
        assert visitor.page.status == 422
    visitor.press("Continue", fields={"code": wrong})
    assert "code" not in {name for form in visitor.page.forms for name in form.fields}
    assert visitor.open("/book/details/").path == "/book/contact/"


def test_another_visitor_sees_nothing_of_a_hold_or_a_visit(
    visitor: PlainVisitor, portal_server: Portal, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="CA")
    value, _ = chosen(visitor, 8)
    to_review(visitor, Person(email="private@example.com", family="Private"), mailbox)
    visitor.press("Book this visit")
    mine = visitor.page.path
    other = PlainVisitor(portal_server.url)
    assert [other.open(path).status for path in (mine, f"{mine}visit.ics")] == [404, 404]
    to_times(other, reason="refill", state="CA")
    assert value not in [button.value for button in other.page.buttons("slot")]
    other.close()


def test_phone_numbers_get_a_code_by_text_and_the_confirmation_only_with_consent(
    visitor: PlainVisitor, portal_server: Portal, sms_gateway: SmsGateway
) -> None:
    to_times(visitor, reason="refill", state="TX")
    chosen(visitor, 5)
    visitor.press("code", fields={"channel": "mobile", "mobile": "(512) 555-0134"})
    assert visitor.page.path == "/book/code/", visitor.page.text[:600]
    digits = re.search(r"\b\d{6}\b", eventually(lambda: list(sms_gateway.texts))[-1].body)
    assert digits
    visitor.press("Continue", fields={"code": digits[0]})
    person = Person(family="Texted")
    visitor.press("Continue", fields=person.details)
    assert visitor.page.status == 422
    visitor.press("Continue", fields=person.details | {"text_consent": "on"})
    visitor.press("Book this visit")
    (found,) = eventually(lambda: [text for text in sms_gateway.texts if "booked" in text.body])
    assert found.body.startswith("Juniper Health: your visit is booked for ")
    assert "Texted" not in found.body
    booking_id = visitor.page.path.strip("/").split("/")[-1]
    code = (
        "from booking.models import Message;"
        f"print('OWED', list(Message.objects.filter(booking_id='{booking_id}').values_list('channel', 'kind')))"
    )
    said = portal_server.manage("shell", "-c", code).stdout
    assert said.partition("OWED ")[2].strip() == "[('sms', 'confirmation')]"


def test_contact_changed_at_the_review_is_where_the_confirmation_goes(
    visitor: PlainVisitor, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="TX")
    chosen(visitor, 7)
    person = Person(email="first-way@example.com", family="Changed")
    to_review(visitor, person, mailbox)
    visitor.follow("Change confirmation")
    prove_email(visitor, Person(email="second-way@example.com"), mailbox)
    assert visitor.page.path == "/book/details/"
    assert "Changed" in visitor.page.html
    visitor.press("Continue", fields=person.details)
    assert "second-way@example.com" in visitor.page.text
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text
    subjects = [mail["Subject"] for mail in mailbox.wait_for(2, to="second-way@example.com")]
    assert subjects == ["Juniper Health: your code", "Juniper Health: your visit is booked"]
    assert [mail["Subject"] for mail in mailbox.to("first-way@example.com")] == ["Juniper Health: your code"]


def test_hold_that_ended_while_typing_costs_nothing_when_the_time_is_still_free(
    visitor: PlainVisitor, portal_server: Portal, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="TX")
    value, starts_at = chosen(visitor, 9)
    prove_email(visitor, Person(email="slow@example.com"), mailbox)
    schedule_id = int(value.split(".")[0])
    portal_server.manage(
        "shell",
        "-c",
        "from datetime import timedelta; from django.utils import timezone; from booking.flows import hold_slot;"
        f"from booking.models import Booking; held = Booking.objects.filter(schedule_id={schedule_id}, state='held');"
        "held.update(hold_expires_at=timezone.now() - timedelta(seconds=1));"
        "hold_slot.expire_holds(now=timezone.now())",
    )
    visitor.press("Continue", fields=Person(family="Slow").details)
    assert visitor.page.path == "/book/review/"
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text
    (appointment,) = own_appointments(sandbox, visitor.page.path.strip("/").split("/")[-1])
    assert datetime.fromisoformat(appointment["start"]) == starts_at


def test_code_is_not_accepted_from_another_session(
    visitor: PlainVisitor, portal_server: Portal, mailbox: Mailbox
) -> None:
    to_times(visitor, reason="refill", state="CA")
    chosen(visitor, 1)
    visitor.press("code", fields={"channel": "email", "email": "own@example.com"})
    code = re.search(r"\b\d{6}\b", text_of(mailbox.wait_for(1, to="own@example.com")[-1]))
    assert code
    other = PlainVisitor(portal_server.url)
    to_times(other, reason="refill", state="CA")
    chosen(other, 1)
    other.press("code", fields={"channel": "email", "email": "other@example.com"})
    mailbox.wait_for(1, to="other@example.com")
    theirs = re.search(r"\b\d{6}\b", text_of(mailbox.to("other@example.com")[-1]))
    assert theirs
    other.press("Continue", fields={"code": code[0] if code[0] != theirs[0] else "000000"})
    assert other.page.status == 422
    other.close()
    prove = visitor.press("Continue", fields={"code": code[0]})
    assert prove.path == "/book/details/"
