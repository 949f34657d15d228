"""A fuzzer over every reader, through every verb: a real EHR's answers, recorded from the sandbox, with something in
them broken. A verb may answer, or raise one of the port's errors; nothing else ever leaves it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from booking.fhir import open_gateway
from booking.scheduling.errors import EhrFailure
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import HoldRequest
from tests.rig.sandbox import sandbox as start_sandbox

from .contract import Clinic, config_of, move_of, somebody
from .stand_in import StoppedClock

MANNERS = ("canvas", "medplum", "r4")
# FUZZ_CASES in the environment runs it for longer; a case is every verb once.
CASES = int(os.environ.get("FUZZ_CASES", "120"))
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1.5, "", " ", "\x00\ud800", "a" * 70_000, "\uff12\uff10\uff12\uff16-12-01T00:00:00Z",
    "0000-00-00",
    "9999-12-31T23:59:59+14:00", "2026-02-30", "Practitioner/", "../../etc/passwd", "Slot/1?x=1", "javascript:alert(1)",
    [], {}, [None], [[[]]], {"resource": {}}, [{"reference": 7}], {"reference": "#x"}, {"coding": "x"}, {"code": []},
)  # fmt: skip


class Recorder(httpx.BaseTransport):
    """Passes requests on to the sandbox and keeps every answer."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        body = response.read()
        headers = {
            name: value
            for name, value in response.headers.items()
            if name in ("location", "etag", "date", "content-type", "ratelimit")
        }
        self.answers.setdefault(kind_of(request), []).append((response.status_code, headers, body))
        return httpx.Response(response.status_code, headers=headers, content=body)

    def close(self) -> None:
        self._inner.close()


def kind_of(request: httpx.Request) -> str:
    """Method, type of resource, and whether one is named: what decides the shape of an answer."""
    parts = [part for part in request.url.path.split("/") if part]
    if request.method == "POST" and "token" in parts:
        return "token"
    known = [part for part in parts if part[:1].isupper() or part.startswith("$") or part == "metadata"]
    return " ".join([request.method, *known, "one" if parts[-1] not in known else "all"])


def everything(clinic: Clinic) -> Iterator[Callable[[SchedulingGateway], object]]:
    """Each verb with sensible questions about this clinic."""
    schedule, (slot, other) = clinic.openings(2)
    visit = clinic.request(schedule, slot)
    ref = clinic.make(visit)
    person = somebody(email_is_verified=True)
    span = {"starts_from": visit.starts_at, "starts_before": other.ends_at}
    yield lambda gateway: gateway.examine()
    yield lambda gateway: gateway.capabilities
    yield lambda gateway: gateway.directory()
    yield lambda gateway: gateway.free_slots(
        schedule.ref,
        first_on=slot.starts_at.date(),
        last_on=slot.starts_at.date(),
        minutes=30,
        appointment_type=clinic.type,
    )
    yield lambda gateway: gateway.free_slots_of(
        [each.ref for each in clinic.schedules[:3]],
        first_on=slot.starts_at.date(),
        last_on=slot.starts_at.date(),
        minutes=30,
    )
    yield lambda gateway: gateway.find_patient(person)
    yield lambda gateway: gateway.create_patient(person)
    yield lambda gateway: gateway.update_patient(visit.patient_ref, person)
    held = HoldRequest.of(clinic.request(schedule, other, patient_ref=visit.patient_ref))
    yield lambda gateway: gateway.hold_time(held)
    yield lambda gateway: gateway.release_time(held)
    yield lambda gateway: gateway.find_appointments(visit.booking_id, visit)
    yield lambda gateway: gateway.read_appointment(ref)
    yield lambda gateway: gateway.current_appointment(ref)
    yield lambda gateway: gateway.search_appointments(patient_ref=visit.patient_ref, **span)
    yield lambda gateway: gateway.move_appointment(move_of(visit, ref, other))
    yield lambda gateway: gateway.cancel_appointment(ref)
    again = clinic.request(schedule, slot, patient_ref=visit.patient_ref)
    yield lambda gateway: gateway.create_appointment(again)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the first few of a long list."""
    yield path
    if isinstance(node, dict):
        for name in node:
            yield from places(node[name], (*path, name))
    elif isinstance(node, list):
        for index in range(min(len(node), 4)):
            yield from places(node[index], (*path, index))


def broken(document: Any, dice: random.Random) -> Any:
    """The document with one place dropped, doubled, or replaced by junk, or by another part of itself."""
    where = dice.choice(list(places(document)))
    if not where:
        return dice.choice(JUNK)
    document = copy.deepcopy(document)
    node = document
    for step in where[:-1]:
        node = node[step]
    last = where[-1]
    match dice.randrange(4):
        case 0:
            del node[last]
        case 1 if isinstance(node, list):
            node.insert(last, node[last])
        case 2:
            node[last] = [node[last]] if dice.random() < 0.5 else copy.deepcopy(document)
        case _:
            node[last] = dice.choice(JUNK)
    return document


@pytest.fixture(scope="module", params=MANNERS)
def recorded(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Recorder, list[Any]]]:
    with start_sandbox(request.param) as sandbox:
        config, recorder = config_of(sandbox), Recorder()
        with closing(open_gateway(config, transport=recorder)) as gateway:
            verbs = []
            for verb in everything(Clinic(gateway, config, sandbox, lambda _: True)):
                verbs.append(verb)
                with contextlib.suppress(EhrFailure):
                    verb(gateway)
        yield config, recorder, verbs


def test_no_broken_answer_makes_a_verb_raise_anything_but_the_ports_errors(recorded):
    config, recorder, verbs = recorded
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)
    met: dict[str, int] = {}
    for case in range(CASES):
        # Now and then all answers are broken, mostly one in three; a token that is broken hides all else.
        share = dice.choice((0.1, 0.3, 0.3, 1.0))

        def answer(request: httpx.Request, share: float = share) -> httpx.Response:
            kind = kind_of(request)
            found = recorder.answers.get(kind)
            if found is None:
                return httpx.Response(404, json={"resourceType": "OperationOutcome", "issue": []})
            status, headers, body = dice.choice(found)
            if dice.random() < (0.02 if kind == "token" else share):
                if dice.random() < 0.1:
                    status = dice.choice(
                        (200, 201, 204, 301, 400, 401, 403, 404, 409, 410, 412, 422, 429, 500, 503)
                    )
                document = json.loads(body) if body.strip() else {}
                body = json.dumps(broken(document, dice)).encode()
                if dice.random() < 0.1:
                    body = body[: dice.randrange(len(body) + 1)]
                headers = {name: value for name, value in headers.items() if dice.random() < 0.8}
            return httpx.Response(status, headers=headers, content=body)

        with closing(
            open_gateway(config, transport=httpx.MockTransport(answer), clock=StoppedClock().clock)
        ) as gateway:
            for number, verb in enumerate(verbs):
                try:
                    verb(gateway)
                    outcome = "answered"
                except EhrFailure as failure:
                    outcome = type(failure).__name__
                except Exception as error:
                    raise AssertionError(f"verb {number} of case {case}, seed {seed}") from error
                met[outcome] = met.get(outcome, 0) + 1
    # The fuzzer has to reach the readers: where everything failed at the door it would show nothing.
    assert met["answered"] > CASES
    assert {"EhrRejected", "EhrUnavailable", "OutcomeUnknown"} <= set(met)
