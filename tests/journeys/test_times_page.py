"""The page of times when the EHR is slow, away, or has changed; and what its filters do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.sandbox import SandboxControl

from .plain import PlainVisitor
from .steps import busy_day, choose, eventually, settled, times_of_the_day, to_times


@pytest.fixture(scope="module")
def impatient_portal(sandbox_server: SandboxControl) -> Iterator[Portal]:
    """Times grow old after a second here, and a page waits for the EHR for at most one."""
    quick = {"GRID_FRESH_SECONDS": "1", "GRID_DEADLINE_SECONDS": "1", "EHR_READ_SECONDS": "5"}
    with start_portal(sandbox_server, env=quick) as running:
        yield running


@pytest.fixture
def visitor(impatient_portal: Portal, sandbox: SandboxControl) -> Iterator[PlainVisitor]:
    person = PlainVisitor(impatient_portal.url)
    # The portal leaves an EHR that failed in the last test alone for some seconds.
    eventually(
        lambda: to_times(person, reason="acne", state="CA") and "not answering" not in person.page.text
    )
    yield person
    person.close()


def of_the_day(visitor: PlainVisitor) -> list[str]:
    """The labels of the day's own times, the soonest of all left out."""
    return [button.label for button in visitor.page.buttons("slot") if button.label]


def values(visitor: PlainVisitor) -> set[str]:
    return set(times_of_the_day(visitor.page))


def test_slow_ehr_does_not_hold_up_the_page_and_the_rest_is_filled_in(
    visitor: PlainVisitor, sandbox: SandboxControl
) -> None:
    visitor.open("/")
    sandbox.faults(method="GET", type="Slot", kind="slow", delay_seconds=4, times=None)
    began = time.monotonic()
    visitor.press(name="reason", value="diabetes")
    assert visitor.page.path == "/book/times/"
    # Before the EHR has answered even once.
    assert time.monotonic() - began < 4
    assert "Checking" in visitor.page.text
    assert "No times" not in visitor.page.text
    sandbox.clear_faults()
    page = eventually(
        lambda: (
            visitor.open(f"/book/times/?day={busy_day()}")
            if "Checking" not in visitor.page.text
            else visitor.open(f"/book/times/?day={busy_day()}") and None
        ),
        seconds=20,
    )
    assert len(page.buttons("slot")) > 10


def test_ehr_away_with_nothing_known_says_so_and_how_to_go_on(
    visitor: PlainVisitor, sandbox: SandboxControl
) -> None:
    sandbox.faults(method="GET", type="Slot", kind="502", times=None)
    visitor.open("/")
    # No other reason here takes fifteen minutes, so that nothing is known of its times.
    visitor.press(name="reason", value="refill")
    page = eventually(
        lambda: visitor.page if visitor.page.status == 503 else visitor.open("/book/times/") and None
    )
    assert "(510) 555-0142" in page.text
    sandbox.clear_faults()
    eventually(lambda: visitor.open("/book/times/").status == 200)


def test_ehr_away_with_times_known_shows_them_with_their_age(
    visitor: PlainVisitor, sandbox: SandboxControl
) -> None:
    to_times(visitor, reason="headache", state="CA")
    before = values(visitor)
    sandbox.faults(method="GET", type="Slot", kind="502", times=None)
    time.sleep(1.1)
    eventually(
        lambda: "These times are from 1 minute ago" in visitor.open(f"/book/times/?day={busy_day()}").text,
        seconds=20,
    )
    assert values(visitor) == before
    choose(visitor)
    assert visitor.page.status == 503
    assert visitor.open("/book/review/").path == "/book/times/"


def test_time_booked_elsewhere_leaves_the_page_when_it_is_read_again(
    visitor: PlainVisitor, sandbox: SandboxControl, impatient_portal: Portal
) -> None:
    # Of these nothing was known when the EHR failed in the last test.
    eventually(
        lambda: to_times(visitor, reason="cholesterol", state="TX", specialty="cardiology").buttons("slot"),
        seconds=20,
    )
    value = times_of_the_day(visitor.page)[-1]
    schedule, epoch, _ = value.split(".")
    said = impatient_portal.manage(
        "shell",
        "-c",
        f"from booking.models import ScheduleRecord as S; print('FOUND', S.objects.get(pk={schedule}).clinician.ehr_ref)",
    ).stdout
    starts_at = datetime.fromtimestamp(int(epoch), UTC)
    sandbox.staff_books(said.split("FOUND ")[1].split()[0], starts_at, starts_at + timedelta(minutes=30))
    day = str(visitor.page.url).split("?")[1]
    eventually(lambda: visitor.open(f"/book/times/?{day}") and value not in values(visitor), seconds=15)


def test_filters_keep_only_what_they_say_and_can_be_taken_off(visitor: PlainVisitor) -> None:
    to_times(visitor, reason="diabetes", state="CA")
    everything = of_the_day(visitor)
    visitor.follow("Morning")
    morning = of_the_day(visitor)
    assert set(morning) == {label for label in everything if " am Pacific time" in label}
    assert 0 < len(morning) < len(everything)
    visitor.follow("Morning")
    assert of_the_day(visitor) == everything


def test_visit_in_person_is_only_offered_where_the_patient_will_be(visitor: PlainVisitor) -> None:
    to_times(visitor, reason="diabetes", state="TX")
    visitor.follow("In person")
    settled(visitor)
    assert "Juniper Health Austin" in visitor.page.text
    assert "Juniper Health Oakland" not in visitor.page.text
    assert "Central time" in visitor.page.text
    to_times(visitor, reason="diabetes", state="WA")
    assert "In person" not in visitor.page.text


def test_state_with_two_zones_can_be_read_in_either(visitor: PlainVisitor) -> None:
    to_times(visitor, reason="diabetes", state="TX")
    assert "Central time" in visitor.page.text

    form = next(form for form in visitor.page.forms if "zone" in form.fields)
    visitor.press(form.buttons[0].text, fields={"zone": "America/Denver"})
    assert "Mountain time" in visitor.page.text
