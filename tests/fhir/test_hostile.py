"""Servers that mean harm, or have gone mad: every verb of every dialect ends in time, in a typed error, with bounded
memory, and no token ever goes to another origin."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import HoldRequest

from . import documents
from .contract import move_of, somebody
from .documents import bundle
from .raw_server import Behavior, cut, drip, reply, served

DIALECTS = ("canvas", "medplum", "r4")
REQUEST = documents.request()
SLOT_AT = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
REF = "Appointment/4be5c594-cfbd-4b7c-a047-ee3b06881745"
SPAN = {"starts_from": SLOT_AT, "starts_before": SLOT_AT + timedelta(hours=1)}
BUDGET_SECONDS = 0.6
MEGABYTE = 1024 * 1024

Verb = Callable[[SchedulingGateway], object]

VERBS: dict[str, Verb] = {
    "examine": lambda gateway: gateway.examine(),
    "directory": lambda gateway: gateway.directory(),
    "free_slots": lambda gateway: gateway.free_slots(
        REQUEST.schedule_ref, first_on=date(2026, 12, 1), last_on=date(2026, 12, 3), minutes=30
    ),
    "free_slots_of": lambda gateway: gateway.free_slots_of(
        [REQUEST.schedule_ref, "Schedule/another", "Schedule/third"],
        first_on=date(2026, 12, 1),
        last_on=date(2026, 12, 3),
        minutes=30,
    ),
    "find_patient": lambda gateway: gateway.find_patient(somebody()),
    "create_patient": lambda gateway: gateway.create_patient(somebody()),
    "update_patient": lambda gateway: gateway.update_patient(REQUEST.patient_ref, somebody()),
    "create_appointment": lambda gateway: gateway.create_appointment(REQUEST),
    "find_appointments": lambda gateway: gateway.find_appointments(REQUEST.booking_id, REQUEST),
    "read_appointment": lambda gateway: gateway.read_appointment(REF),
    "current_appointment": lambda gateway: gateway.current_appointment(REF),
    "search_appointments": lambda gateway: gateway.search_appointments(
        patient_ref=REQUEST.patient_ref, **SPAN
    ),
    "cancel_appointment": lambda gateway: gateway.cancel_appointment(REF),
    "move_appointment": lambda gateway: gateway.move_appointment(
        move_of(REQUEST, REF, documents.free_slot(SLOT_AT))
    ),
    "hold_time": lambda gateway: gateway.hold_time(HoldRequest.of(REQUEST)),
}


def answer(body: bytes, status: bytes = b"200 OK", *more: bytes) -> Behavior:
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *more, b"", b""])
    return lambda connection: connection.sendall(head + body)


def _nested(depth: int) -> bytes:
    return b'{"resourceType":' * depth + b"1" + b"}" * depth


def _crowd(entry: bytes) -> bytes:
    return b'{"resourceType":"Bundle","type":"searchset","entry":[' + b",".join([entry] * 100_000) + b"]}"


PAGE = itertools.count()


def endless_pages(connection: socket.socket) -> None:
    resources = [documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T09:30:00-08:00")] * 500
    reply(connection, bundle(*resources, next_url=f"?_page={next(PAGE)}"))


BODIES: dict[str, Behavior] = {
    "half a document": answer(json.dumps(bundle(documents.patient())).encode()[:80]),
    "a list": answer(b"[]"),
    "a word": answer(b'"Bundle"'),
    "numbers for names": answer(b'{"resourceType":7,"entry":7,"link":7,"id":7}'),
    "entries in an object": answer(b'{"resourceType":"Bundle","entry":{"resource":{}},"link":{}}'),
    "entries of nothing": answer(b'{"resourceType":"Bundle","entry":[null,7,[],{"resource":[]}]}'),
    "no number": answer(b'{"resourceType":"Bundle","total":NaN}'),
    "a pit": answer(_nested(200_000)),
    "a page of HTML": answer(b"<html><body>Maintenance</body></html>"),
    "HTML that forbids": answer(b"<html>Forbidden</html>", b"403 Forbidden"),
    "HTML that fails": answer(b"<html>Bad Gateway</html>", b"502 Bad Gateway"),
    "not a text": answer(bytes(range(256))),
    "100,000 empty entries": answer(_crowd(b'{"resource":{}}')),
    "100,000 unreadable slots": answer(_crowd(b'{"resource":{"resourceType":"Slot"}}')),
    "a token that ended and ends again": answer(b"{}", b"401 Unauthorized"),
    "no answer at all": lambda connection: time.sleep(2),
    "a drip": lambda connection: drip(
        connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b" "
    ),
    "a drip of headers": lambda connection: drip(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "a broken line": lambda connection: cut(connection, b"HTTP/1.1 2"),
    "pages without end": endless_pages,
}


class Elsewhere:
    """Another origin, which must never hear from us."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self.heard.append(connection.recv(65536))
                connection.close()
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    found = Elsewhere()
    yield found
    found.close()


def base_of(dialect: str) -> dict[str, Any]:
    return {"dialect": dialect}


def outcome(gateway: SchedulingGateway, verb: Verb) -> tuple[object, float]:
    """What the verb raised, or returned, and how long it took."""
    started = time.monotonic()
    try:
        found: object = verb(gateway)
    except EhrFailure as failure:
        found = failure
    return found, time.monotonic() - started


def run(behavior: Behavior, verb: Verb, dialect: str, **more: Any) -> tuple[object, float]:
    with served(behavior, **base_of(dialect), **more) as (gateway, _):
        return outcome(gateway, verb)


def run_all(behavior: Behavior, dialect: str, *, at_once: bool = True) -> dict[str, tuple[object, float]]:
    """Every verb against the behavior; all at once, so that waits are waited for once."""
    with (
        served(behavior, **base_of(dialect)) as (gateway, _),
        ThreadPoolExecutor(len(VERBS) if at_once else 1) as pool,
    ):
        outcomes = pool.map(lambda verb: outcome(gateway, verb), VERBS.values())
        return dict(zip(VERBS, outcomes, strict=True))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", BODIES)
def test_every_verb_ends_in_a_typed_error_and_in_time(body, dialect):
    is_work = "100,000" in body or body in ("a pit", "pages without end")
    for name, (found, seconds) in run_all(BODIES[body], dialect, at_once=not is_work).items():
        assert isinstance(found, EhrRejected | EhrUnavailable | OutcomeUnknown), (name, found)
        # A verb has its time for each of its steps, and none here gets past the third: asking the server about itself,
        # a schedule, the search. The rest is for a busy machine; without the limits a drip would last for days.
        assert seconds < 3 * BUDGET_SECONDS + (20 if is_work else 2), (name, seconds)


REDIRECTS = (
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_redirect_takes_our_token_elsewhere(elsewhere, dialect):
    for status in REDIRECTS:
        moved = answer(b"", status.encode(), f"Location: {elsewhere.url}/Appointment/7".encode())
        for name, (found, _) in run_all(moved, dialect).items():
            assert isinstance(found, EhrFailure), (status, name, found)
    assert elsewhere.heard == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "form", ["{}/Slot?page=2", "//{host}/Slot", "http://user@{host}/Slot", "{}\\@evil.example/"]
)
def test_no_link_takes_our_token_elsewhere(elsewhere, dialect, form):
    link = form.format(elsewhere.url, host=elsewhere.url.removeprefix("http://"))
    document = bundle(documents.patient(), documents.appointment(), next_url=link)
    for name in (
        "directory",
        "free_slots",
        "free_slots_of",
        "find_patient",
        "find_appointments",
        "search_appointments",
    ):
        found, _ = run(lambda connection: reply(connection, document), VERBS[name], dialect)
        assert isinstance(found, EhrFailure), (name, found)
    assert elsewhere.heard == []


def test_the_control_hears_what_it_is_sent(elsewhere):
    with socket.create_connection(("127.0.0.1", int(elsewhere.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nAuthorization: Bearer t\r\n\r\n")
        connection.recv(1)
    assert elsewhere.heard == [b"GET / HTTP/1.1\r\nAuthorization: Bearer t\r\n\r\n"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body", ["100,000 empty entries", "100,000 unreadable slots", "pages without end", "a pit"]
)
def test_memory_stays_bounded(body, dialect):
    """A body of at most 5 MiB becomes at most 20 times that as objects; without the limits it would be hundreds."""
    for name in ("directory", "free_slots", "free_slots_of", "search_appointments"):
        tracemalloc.start()
        try:
            run(BODIES[body], VERBS[name], dialect, total_seconds=10, directory_seconds=10)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 100 * MEGABYTE, (name, peak / MEGABYTE)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_without_end_is_cut_off(dialect):
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
        while True:
            connection.sendall(b" " * MEGABYTE)

    tracemalloc.start()
    try:
        for name in ("directory", "free_slots", "free_slots_of", "read_appointment"):
            found, _ = run(flood, VERBS[name], dialect, total_seconds=10, directory_seconds=10)
            assert isinstance(found, EhrRejected), (name, found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The server of this test keeps a piece of its own.
    assert peak < 40 * MEGABYTE


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://files.example/a.png",
        "",
        "https://a b/",
        "http://10.0.0.1/a",
    ],
)
def test_an_address_that_is_no_photos_is_not_fetched(address):
    with served(lambda connection: None) as (gateway, server), pytest.raises(EhrRejected):
        gateway.photo(address)
    assert server.requests == []


PHOTO = b"\xff\xd8\xff\xe0 and more"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PHOTO, "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", None),
        (b"GIF89a", None),
        (b"", None),
        (b"\xff\xd8\xff" + b"x" * (MEGABYTE + 1), None),
    ],
    ids=["jpeg", "png", "webp", "svg", "gif", "empty", "too large"],
)
def test_only_a_picture_of_modest_size_is_a_photo(body, kind):
    with served(answer(body)) as (gateway, server):
        # The EHR's own address is the one that may be plain HTTP, for a sandbox on this machine.
        url = f"http://127.0.0.1:{server.port}/files/ana.jpg"
        if kind is None:
            with pytest.raises(EhrRejected):
                gateway.photo(url)
        else:
            assert gateway.photo(url) == (kind, body)
        assert server.requests == ["GET /files/ana.jpg HTTP/1.1"]
        assert server.authorizations == [b""]
