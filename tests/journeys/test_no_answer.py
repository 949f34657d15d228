"""Creates that get no usable answer: nobody is told "booked" without the EHR's word, and nobody is booked twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from tests.rig.mail import Mailbox, mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import Redis
from tests.rig.sandbox import CLIENT_ID, CLIENT_SECRET, SandboxControl

from .ready import Ready, make_ready, visitor_for
from .steps import IDENTIFIER_SYSTEM, eventually, own_appointments, text_of

# An EHR that answers within a second and a half or not at all, so that a test need not rest for a minute.
QUICK = {
    "EHR_CONNECT_SECONDS": "1",
    "EHR_READ_SECONDS": "1",
    "EHR_TOTAL_SECONDS": "1.5",
    "EHR_REST_SECONDS": "3",
    "EHR_LOOK_AGAIN_SECONDS": "1",
}
numbers = count()


@pytest.fixture(scope="module")
def letters() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def quick_portal(
    postgres_server: Postgres, redis_server: Redis, sandbox_server: SandboxControl, letters: Mailbox
) -> Iterator[Portal]:
    with (
        postgres_server.database() as url,
        start_portal(
            sandbox_server,
            database_url=url,
            redis_url=redis_server.url(3),
            worker=True,
            env=QUICK | letters.env,
        ) as running,
    ):
        yield running


@pytest.fixture
def person(quick_portal: Portal, sandbox: SandboxControl) -> Ready:
    """Somebody before the last button, with a time that nobody in this file has had."""
    # Looking for it may take as long as it likes.
    patient = {f"EHR_{which}_SECONDS": "30" for which in ("CONNECT", "READ", "TOTAL", "REST")}
    return make_ready(quick_portal, 1, skip=3 * next(numbers), env=patient)[0]


AMBIGUOUS = [
    pytest.param({"kind": "commit-then-no-answer"}, id="committed, then no answer"),
    pytest.param({"kind": "commit-then-500"}, id="committed, then 500"),
    pytest.param({"kind": "commit-late", "delay_seconds": 2.5}, id="committed after we stopped waiting"),
    pytest.param({"kind": "reset-before-commit"}, id="connection reset, nothing done"),
    pytest.param({"kind": "500"}, id="500, nothing done"),
    pytest.param({"kind": "502"}, id="502 in HTML, nothing done"),
    pytest.param({"kind": "slow", "delay_seconds": 2.5}, id="too slow"),
]


@pytest.mark.parametrize("fault", AMBIGUOUS)
def test_no_answer_is_told_as_confirming_and_ends_in_one_appointment(
    fault: dict[str, object], quick_portal: Portal, sandbox: SandboxControl, letters: Mailbox, person: Ready
) -> None:
    visitor = visitor_for(quick_portal, person)
    visitor.open("/book/review/")
    sandbox.faults(method="POST", type="Appointment", **fault)

    visitor.press("Book this visit")

    assert visitor.page.path == f"/visits/{person.booking_id}/"
    assert "We are confirming this with the clinic" in visitor.page.text
    assert "is booked" not in visitor.page.text
    assert letters.to(person.contact) == []
    eventually(lambda: "is booked" in visitor.open(f"/visits/{person.booking_id}/").text, seconds=40)
    assert len(own_appointments(sandbox, person.booking_id)) == 1
    mails = letters.wait_for(1, to=person.contact)
    assert [mail["Subject"] for mail in mails] == ["Juniper Health: your visit is booked"]
    assert "Ready" not in text_of(mails[0])
    visitor.close()


def test_sending_again_at_once_would_have_made_two(sandbox: SandboxControl, person: Ready) -> None:
    """The control: the same fault, and a client that does what most do."""
    token = httpx.post(
        f"{sandbox.url}/auth/token/",
        data={"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        trust_env=False,
    ).json()["access_token"]
    (patient, *_) = sandbox.search("Patient", active="true")
    (location, *_) = sandbox.search("Location")
    starts_at = person.starts_at
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": "naive"}],
        "supportingInformation": [{"reference": f"Location/{location['id']}"}],
        "start": starts_at.isoformat(),
        "end": starts_at.replace(minute=starts_at.minute + 14).isoformat(),
        "participant": [
            {"actor": {"reference": reference}, "status": "accepted"}
            for reference in (person.practitioner, f"Patient/{patient['id']}")
        ],
    }
    sandbox.faults(method="POST", type="Appointment", kind="commit-then-no-answer")
    sent = 0
    for _ in range(2):
        sent += 1
        try:
            answer = httpx.post(
                f"{sandbox.url}/Appointment",
                json=appointment,
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert answer.status_code == 201, answer.text
            break
        except httpx.TransportError:
            continue
    assert (sent, len(own_appointments(sandbox, "naive"))) == (2, 2)


@pytest.mark.parametrize(
    ("fault", "path", "words"),
    [
        pytest.param({"kind": "422"}, "/book/times/", "That time was just taken", id="422, time taken"),
        pytest.param({"kind": "429"}, "/book/review/", "your time is still held", id="429"),
        pytest.param(
            {"kind": "403-html"}, "/book/review/", "your time is still held", id="403 from the edge"
        ),
        pytest.param({"kind": "401"}, "", "is booked", id="401 mid-session, renewed and sent again"),
    ],
)
def test_clear_answers_are_told_at_once(
    fault: dict[str, object],
    path: str,
    words: str,
    quick_portal: Portal,
    sandbox: SandboxControl,
    person: Ready,
) -> None:
    visitor = visitor_for(quick_portal, person)
    visitor.open("/book/review/")
    sandbox.faults(method="POST", type="Appointment", **fault)
    visitor.press("Book this visit")
    assert visitor.page.path == (path or f"/visits/{person.booking_id}/"), visitor.page.text[:500]
    assert words in visitor.page.text
    assert len(own_appointments(sandbox, person.booking_id)) == (0 if path else 1)
    if path == "/book/review/":
        visitor.press("Book this visit")
        assert "is booked" in visitor.page.text
        assert len(own_appointments(sandbox, person.booking_id)) == 1
    visitor.close()


def test_patient_whose_creation_got_no_answer_is_not_made_twice(
    quick_portal: Portal, sandbox: SandboxControl, person: Ready
) -> None:
    visitor = visitor_for(quick_portal, person)
    visitor.open("/book/review/")
    sandbox.faults(method="POST", type="Patient", kind="commit-then-no-answer")
    visitor.press("Book this visit")
    assert "We are confirming" in visitor.page.text
    eventually(lambda: "is booked" in visitor.open(f"/visits/{person.booking_id}/").text, seconds=40)
    (appointment,) = own_appointments(sandbox, person.booking_id)
    patient = appointment["participant"][1]["actor"]["reference"]
    (record,) = sandbox.search("Patient", _id=patient.removeprefix("Patient/"))
    assert [each["id"] for each in sandbox.search("Patient", family=record["name"][0]["family"])] == [
        record["id"]
    ]
    visitor.close()


def test_worker_killed_while_confirming_is_made_up_for(
    quick_portal: Portal, sandbox: SandboxControl, letters: Mailbox, person: Ready
) -> None:
    visitor = visitor_for(quick_portal, person)
    visitor.open("/book/review/")
    sandbox.faults(method="POST", type="Appointment", kind="commit-then-no-answer")
    visitor.press("Book this visit")
    assert quick_portal.worker is not None
    quick_portal.worker.kill()
    quick_portal.start_worker()
    eventually(lambda: "is booked" in visitor.open(f"/visits/{person.booking_id}/").text, seconds=40)
    assert len(own_appointments(sandbox, person.booking_id)) == 1
    assert len(letters.wait_for(1, to=person.contact)) == 1
    visitor.close()
