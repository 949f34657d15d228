"""The log of a booking: JSON, one id from the request to the job and the EHR, the outcome, and nothing of the patient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl

from .plain import PlainVisitor
from .steps import Person, choose, eventually, prove_email, to_review, to_times

CANARY = Person(
    given="Zzlogbird", family="Pterodactylus", email="log.bird@example.com", born=("8", "5", "1932")
)
MOBILE = "(415) 555-2671"
TELLTALES = (
    "zzlogbird",
    "pterodactylus",
    "log.bird",
    "1932-08-05",
    "1932, 8, 5",
    "555-2671",
    "4155552671",
    "blood-pressure",
    "blood pressure",
    "/book/",
    "/v/",
)


def found_in(text: str) -> list[str]:
    return [word for word in TELLTALES if word in text.lower()]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def database(postgres_server: Postgres) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def logging_portal(
    database: str, redis_server: Redis, sandbox_server: SandboxControl, _mailbox: Mailbox
) -> Iterator[Portal]:
    with start_portal(
        sandbox_server,
        database_url=database,
        redis_url=redis_server.url(7),
        worker=True,
        env=_mailbox.env | {"LOG_FORMAT": "json"},
    ) as running:
        yield running


def test_a_booking_is_told_from_request_to_message_and_nothing_of_the_patient(
    logging_portal: Portal, mailbox: Mailbox
) -> None:
    visitor = PlainVisitor(logging_portal.url)
    to_times(visitor, reason="blood-pressure", state="CA", specialty="family")
    choose(visitor)
    prove_email(visitor, CANARY, mailbox)
    visitor.press("Continue", fields=CANARY.details | {"mobile": MOBILE})
    submitted: list[str] = []
    visitor.http.event_hooks["response"].append(
        lambda answer: (
            submitted.append(answer.headers["X-Correlation-ID"]) if answer.request.method == "POST" else None
        )
    )
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text
    booking_id = visitor.page.path.strip("/").split("/")[-1]
    assert logging_portal.web
    assert logging_portal.worker
    worker = logging_portal.worker

    def sent() -> list[dict[str, Any]]:
        return [
            line
            for line in lines(worker.output())
            if line["message"].endswith("was sent") and line.get("booking") == booking_id
        ]

    (message,) = eventually(sent)
    told = [line for line in lines(logging_portal.web.output()) if line.get("booking") == booking_id]
    assert [(line["was"], line["state"]) for line in told] == [
        ("", "held"),
        ("held", "submitting"),
        ("submitting", "booked"),
    ]
    # The press of the button, what became of it, and the job that it started.
    assert [line["correlation_id"] for line in told[1:]] == submitted * 2

    def rung() -> list[str]:
        return [
            line["message"]
            for line in lines(worker.output())
            if line["correlation_id"] == submitted[0] and "deliver_messages" in line["message"]
        ]

    # A run of beat may have come first and sent it.
    assert eventually(rung)
    assert len(message["correlation_id"]) == 32
    assert found_in(logging_portal.logs()) == []
    visitor.close()


def test_every_run_of_beat_has_an_id_of_its_own(logging_portal: Portal) -> None:
    assert logging_portal.worker
    worker = logging_portal.worker

    def runs() -> list[str]:
        done = [line for line in lines(worker.output()) if "succeeded" in line["message"]]
        return [line["correlation_id"] for line in done if len(done) >= 3]

    ids = eventually(runs)
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {32}


def test_whatever_our_processes_log_is_json(logging_portal: Portal) -> None:
    assert logging_portal.web
    said = logging_portal.web.output().splitlines()
    assert len(lines("\n".join(said))) > 3
    # The server's own remarks at its start are not ours.
    assert [line for line in said if not line.startswith(("{", "[WARNING] Configuration"))] == []


@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param("json", [], id="production"),
        pytest.param("text", ["zzlogbird", "pterodactylus", "1932-08-05"], id="control-demo"),
    ],
)
def test_an_error_that_quotes_a_row_is_logged_by_its_kind_and_place(
    database: str,
    logging_portal: Portal,
    redis_server: Redis,
    sandbox_server: SandboxControl,
    mailbox: Mailbox,
    form: str,
    told: list[str],
) -> None:
    with start_portal(
        sandbox_server,
        database_url=database,
        redis_url=redis_server.url(7),
        seed=False,
        env=mailbox.env | {"LOG_FORMAT": form},
        application="tests.journeys.failing:application",
    ) as portal:
        visitor = PlainVisitor(portal.url)
        to_times(visitor, reason="refill", state="CA")
        choose(visitor)
        with pytest.raises(AssertionError):
            to_review(visitor, CANARY, mailbox)
        assert visitor.page.status == 500
        log = portal.logs()
        assert "IntegrityError" in log
        assert "failing.py" in log
        assert found_in(log) == told
        if form == "json":
            (line,) = [line for line in lines(log) if line["level"] == "ERROR"]
            assert line["message"] == "Internal Server Error: details"
        visitor.close()
