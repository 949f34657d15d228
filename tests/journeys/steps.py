"""The way to a booking, told once for visitors without scripts; and what the EHR must hold at its end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any, TypeVar

from tests.rig.mail import Mailbox
from tests.rig.sandbox import SandboxControl

from .plain import Page, PlainVisitor

T = TypeVar("T")
IDENTIFIER_SYSTEM = "urn:self-scheduling-portal:booking"
SNOMED = "http://snomed.info/sct"


def eventually(look: Callable[[], T], *, seconds: float = 30) -> T:
    """What ``look`` finds as soon as it finds anything; fails after ``seconds``."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends, "nothing came in time"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Person:
    given: str = "Ana"
    family: str = "Ruiz"
    email: str = "ana@example.com"
    born: tuple[str, str, str] = ("2", "29", "1984")
    sex: str = "female"

    @property
    def details(self) -> dict[str, str]:
        month, day, year = self.born
        return {
            "given_name": self.given,
            "family_name": self.family,
            "birth_month": month,
            "birth_day": day,
            "birth_year": year,
            "sex": self.sex,
        }


def to_times(visitor: PlainVisitor, *, reason: str, state: str, kind: str = "", specialty: str = "") -> Page:
    """From the front page to the grid."""
    visitor.open("/")
    visitor.press(name="reason", value=reason)
    if visitor.page.path == "/book/screening/":
        visitor.press(name="answer", value="no")
    # A visitor's last state is kept, and not asked for again.
    if visitor.page.path != "/book/state/":
        visitor.open("/book/state/")
    while visitor.page.path != "/book/times/":
        path = visitor.page.path
        if path == "/book/state/":
            visitor.press("Continue", fields={"state": state})
        elif path == "/book/visited/":
            visitor.press(name="kind", value=kind)
        elif path == "/book/specialty/":
            visitor.press(name="specialty", value=specialty)
        else:
            raise AssertionError(f"stopped at {path}: {visitor.page.text[:500]}")
    visitor.open(f"/book/times/?day={busy_day()}")
    return settled(visitor)


def settled(visitor: PlainVisitor) -> Page:
    """The page of times once none is still to come. Who has no scripts follows its link until then."""

    def look() -> Page | None:
        if not any("Show now" in words for _, words in visitor.page.links):
            return visitor.page
        visitor.follow("Show now")
        return None

    return eventually(look)


def times_of_the_day(page: Page) -> list[str]:
    """The values of the day's own times. The soonest of all, above them, are as near as the lead time lets them be, and
    too soon when the next quarter of an hour begins."""
    return [button.value for button in page.buttons("slot") if button.label]


def choose(visitor: PlainVisitor, position: int = 0) -> str:
    """Choose one of the day's own times; its value."""
    value = times_of_the_day(visitor.page)[position]
    visitor.press(name="slot", value=value)
    return value


def busy_day() -> str:
    """A working day soon, on which the invented clinic has plenty of times."""
    day = datetime.now(UTC).date() + timedelta(days=3)
    while day.weekday() > 3:
        day += timedelta(days=1)
    return day.isoformat()


def code_in(body: str) -> str:
    found = re.search(r"\b(\d{6})\b", body)
    assert found, f"no code in the message: {body}"
    return found[1]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def prove_email(visitor: PlainVisitor, person: Person, mailbox: Mailbox) -> Page:
    assert visitor.page.path == "/book/contact/", visitor.page.text[:500]
    before = len(mailbox.to(person.email))
    visitor.press("code", fields={"channel": "email", "email": person.email})
    assert visitor.page.path == "/book/code/", visitor.page.text[:800]
    mail = mailbox.wait_for(before + 1, to=person.email)[-1]
    return visitor.press("Continue", fields={"code": code_in(text_of(mail))})


def to_review(visitor: PlainVisitor, person: Person, mailbox: Mailbox) -> Page:
    prove_email(visitor, person, mailbox)
    assert visitor.page.path == "/book/details/", visitor.page.text[:800]
    visitor.press("Continue", fields=person.details)
    assert visitor.page.path == "/book/review/", visitor.page.text[:800]
    return visitor.page


def own_appointments(sandbox: SandboxControl, booking_id: str) -> list[dict[str, Any]]:
    return sandbox.appointments(identifier=f"{IDENTIFIER_SYSTEM}|{booking_id}")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def assert_appointment(
    appointment: dict[str, Any],
    *,
    booking_id: str,
    practitioner: str,
    starts_at: datetime,
    minutes: int,
    reason_code: str,
    type_code: str,
    location: str,
    patient: str,
) -> None:
    """The Appointment in the EHR is exactly the visit that was chosen."""
    assert appointment["status"] == "booked"
    assert instant(appointment["start"]) == starts_at
    assert instant(appointment["end"]) == starts_at + timedelta(minutes=minutes)
    assert [coding["code"] for coding in appointment["reasonCode"][0]["coding"]] == [reason_code]
    assert [(each["system"], each["code"]) for each in appointment["appointmentType"]["coding"]] == [
        (SNOMED, type_code)
    ]
    assert [(each["system"], each["value"]) for each in appointment["identifier"]] == [
        (IDENTIFIER_SYSTEM, booking_id)
    ]
    assert sorted(references(appointment["participant"])) == sorted([practitioner, patient])
    supporting = [each["reference"] for each in appointment["supportingInformation"]]
    assert location in supporting
    endpoints = [each for each in appointment.get("contained", []) if each["resourceType"] == "Endpoint"]
    assert [f"#{each['id']}" for each in endpoints] == [each for each in supporting if each.startswith("#")]
    assert len(endpoints) == 1
    assert endpoints[0]["address"].startswith("https://")


def references(participants: Iterable[dict[str, Any]]) -> list[str]:
    return [each["actor"]["reference"] for each in participants]
