"""A patient books a video visit with scripts off where the clinic's EHR is not Canvas: plain R4, and Medplum in both
of the ways it keeps time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox

from .plain import PlainVisitor
from .steps import Person, eventually, own_appointments, to_review, to_times


@pytest.fixture(scope="module", params=["r4", "medplum"])
def clinic(
    request: pytest.FixtureRequest, postgres_server: Postgres, _mailbox: Mailbox
) -> Iterator[tuple[Portal, SandboxControl, str]]:
    with (
        start_sandbox(request.param) as ehr,
        postgres_server.database() as database_url,
        start_portal(ehr, database_url=database_url, worker=True, env=_mailbox.env) as running,
    ):
        yield running, ehr, request.param


@pytest.fixture
def visitor(clinic: tuple[Portal, SandboxControl, str]) -> Iterator[PlainVisitor]:
    person = PlainVisitor(clinic[0].url)
    yield person
    person.close()


def slots_of(ehr: SandboxControl, appointment: dict[str, Any]) -> list[dict[str, Any]]:
    ids = ",".join(node["reference"].removeprefix("Slot/") for node in appointment["slot"])
    return sorted(ehr.search("Slot", _id=ids), key=lambda slot: slot["start"])


def instant(value: str) -> datetime:
    return datetime.fromisoformat(value)


PARAMETERS = "https://medplum.com/fhir/StructureDefinition/SchedulingParameters"


def is_computed(schedule: dict[str, Any]) -> bool:
    """Whether Medplum's operations keep the schedule; else the clinic makes its Slots beforehand."""
    return any(node["url"] == PARAMETERS for node in schedule.get("extension", []))


def buttons_by_way(portal: Portal, ehr: SandboxControl, visitor: PlainVisitor) -> dict[bool, list[str]]:
    """The times on the page, apart by how the EHR keeps them."""
    code = (
        "from booking.models import ScheduleRecord as S;"
        "print('FOUND', ' '.join(f'{s.pk}={s.ehr_ref}' for s in S.objects.all()))"
    )
    said = portal.manage("shell", "-c", code).stdout.partition("FOUND ")[2].split()
    refs = dict(pair.split("=") for pair in said)
    computed = {f"Schedule/{each['id']}": is_computed(each) for each in ehr.search("Schedule", _count="100")}
    found: dict[bool, list[str]] = {}
    for button in visitor.page.buttons("slot"):
        found.setdefault(computed[refs[button.value.split(".")[0]]], []).append(button.value)
    return found


@pytest.mark.parametrize("by_operations", [False, True], ids=["slots", "operations"])
def test_a_visit_is_booked_and_stands_in_the_ehr_with_its_time(
    clinic: tuple[Portal, SandboxControl, str], visitor: PlainVisitor, mailbox: Mailbox, by_operations: bool
) -> None:
    portal, ehr, manners = clinic
    person = Person(
        email=f"other{by_operations}@example.com", given="Paloma", family=f"Elsewhere{by_operations}"
    )
    to_times(visitor, reason="back-or-joint", state="CA")
    by_way = buttons_by_way(portal, ehr, visitor)
    assert set(by_way) == ({False, True} if manners == "medplum" else {False})
    value = by_way.get(by_operations, by_way[False])[-1]
    visitor.press(name="slot", value=value)
    to_review(visitor, person, mailbox)
    visitor.press("Book this visit")
    assert "Your visit is booked" in visitor.page.html

    booking_id = visitor.page.path.strip("/").split("/")[-1]
    (appointment,) = own_appointments(ehr, booking_id)
    assert appointment["status"] == "booked"
    start, end = instant(appointment["start"]), instant(appointment["end"])
    assert (start.timestamp(), (end - start).total_seconds()) == (int(value.split(".")[1]), 30 * 60)
    busy = [slot for slot in slots_of(ehr, appointment) if slot["status"] == "busy"]
    assert (instant(busy[0]["start"]), instant(busy[-1]["end"])) == (start, end)
    (endpoint,) = appointment["contained"]
    assert endpoint["address"].startswith("https://")
    assert appointment["reasonCode"][0]["coding"][0]["code"] == "BACK"
    patients = [
        node["actor"]["reference"]
        for node in appointment["participant"]
        if node["actor"]["reference"].startswith("Patient/")
    ]
    (record,) = ehr.search("Patient", _id=patients[0].removeprefix("Patient/"))
    assert record["name"][0]["family"] == person.family
    mails = eventually(lambda: [m for m in mailbox.to(person.email) if "booked" in m["Subject"]], seconds=90)
    assert [mail["Subject"] for mail in mails] == ["Juniper Health: your visit is booked"]


def test_check_ehr_finds_each_of_them_ready(clinic: tuple[Portal, SandboxControl, str]) -> None:
    done = clinic[0].manage("check_ehr")
    assert "Errors: 0." in done.stdout
