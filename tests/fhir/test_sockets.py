"""Over real sockets on the loopback: what a mock transport cannot show."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from booking.fhir.outcomes import TooLarge
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown
from booking.scheduling.gateway import SchedulingGateway

from . import documents
from .documents import ANA_NORTH, bundle
from .raw_server import Behavior, cut, drip, reply, reset, served

DAY = {"first_on": date(2026, 12, 1), "last_on": date(2026, 12, 1), "minutes": 30}
MADE = b"HTTP/1.1 201 Created\r\nLocation: /Appointment/7\r\n"


def read(gateway: SchedulingGateway) -> object:
    return gateway.free_slots(ANA_NORTH, **DAY)


def create(gateway: SchedulingGateway) -> str:
    return gateway.create_appointment(documents.request())


def kind_and_seconds(call: Callable[[], object]) -> tuple[type, float]:
    started = time.monotonic()
    with pytest.raises(EhrFailure) as caught:
        call()
    return type(caught.value), time.monotonic() - started


OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "byte"),
    [
        (OK_HEAD, b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["body", "chunks", "headers", "interim answers"],
)
def test_an_answer_that_comes_byte_by_byte_ends_with_the_verbs_time(start, byte):
    with served(lambda connection: drip(connection, start, byte)) as (gateway, _):
        kind, seconds = kind_and_seconds(lambda: read(gateway))
        assert (kind, 0.5 < seconds < 2.5) == (EhrUnavailable, True)
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        assert (kind, 0.5 < seconds < 2.5) == (OutcomeUnknown, True)


def test_interim_answers_without_end_and_without_pause_end_with_the_verbs_time():
    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)

    with served(flood) as (gateway, _):
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        assert (kind, 0.5 < seconds < 2.5) == (OutcomeUnknown, True)


def test_a_create_whose_body_drips_is_known_by_its_location():
    start = MADE + b"Content-Length: 1000\r\n\r\n"
    with served(lambda connection: drip(connection, start, b" ")) as (gateway, server):
        assert create(gateway) == "Appointment/7"
        assert server.requests == ["POST /Appointment HTTP/1.1"]


def test_silence_is_waited_out_once_and_no_longer_than_the_read_timeout():
    with served(lambda _: time.sleep(3), total_seconds=2, read_seconds=0.2) as (gateway, server):
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        assert (kind, 0.15 < seconds < 1.5, len(server.requests)) == (OutcomeUnknown, True, 1)


@pytest.mark.parametrize(
    "behavior",
    [
        reset,
        lambda connection: connection.shutdown(socket.SHUT_RDWR),
        lambda connection: cut(connection, b"HTTP/1.1 2"),
        lambda connection: cut(connection, b"not http at all\r\n\r\n"),
        lambda connection: cut(connection, OK_HEAD + b'{"resourceType":"Bundle","ent'),
        lambda connection: cut(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}"),
        lambda connection: cut(connection, b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nnu"),
        lambda connection: cut(
            connection, b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"
        ),
    ],
    ids=["reset", "closed", "cut status", "no http", "cut json", "cut chunk", "cut create", "cut gzip"],
)
def test_an_answer_that_breaks_off_is_tried_again_for_a_read_and_never_for_a_create(behavior):
    with served(behavior, total_seconds=5) as (gateway, server):
        assert kind_and_seconds(lambda: read(gateway))[0] is EhrUnavailable
        assert len(server.requests) == 3
        assert kind_and_seconds(lambda: create(gateway))[0] is OutcomeUnknown
        assert server.requests[3:] == ["POST /Appointment HTTP/1.1"]


def test_a_create_cut_after_its_location_is_known():
    with served(lambda connection: cut(connection, MADE + b"Content-Length: 400\r\n\r\n{")) as (gateway, _):
        assert create(gateway) == "Appointment/7"


def test_half_a_document_of_full_length_is_unavailable():
    half = json.dumps(bundle(documents.patient())).encode()[:99]
    with served(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + half),
        total_seconds=5,
    ) as (gateway, _):
        assert kind_and_seconds(lambda: read(gateway))[0] is EhrUnavailable


def test_a_refused_connection_means_that_nothing_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with served(reset, base_url=nowhere, total_seconds=5) as (gateway, server):
        assert kind_and_seconds(lambda: read(gateway))[0] is EhrUnavailable
        assert kind_and_seconds(lambda: create(gateway))[0] is EhrUnavailable
        assert server.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that only its own file vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "certificate.pem"), str(folder / "key.pem")


def test_tls_with_a_trusted_certificate_works_and_is_bounded_too(certificate):
    trusted = {"certificate": certificate, "ca_file": certificate[0]}
    with served(lambda connection: reply(connection, bundle(), MADE), **trusted) as (gateway, server):
        assert (read(gateway), create(gateway)) == ([], "Appointment/7")
        assert len(server.requests) == 2
    with served(lambda connection: drip(connection, b"", b"HTTP/1.1 103 x\r\n\r\n"), **trusted) as (
        gateway,
        _,
    ):
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        assert (kind, 0.5 < seconds < 2.5) == (OutcomeUnknown, True)


def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(certificate):
    with served(reset, certificate=certificate, total_seconds=5) as (gateway, server):
        assert kind_and_seconds(lambda: create(gateway))[0] is EhrUnavailable
        assert server.requests == []


def test_tls_that_never_comes_about_means_that_nothing_was_sent():
    with served(reset, scheme="https", total_seconds=5) as (gateway, server):
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        assert (kind, seconds < 2.5, server.requests) == (EhrUnavailable, True, [])


def test_a_create_does_not_go_over_a_connection_that_may_be_about_to_close():
    """A server closes an idle connection just as the next request goes out on it."""
    seen: set[socket.socket] = set()

    def once_per_connection(connection: socket.socket) -> None:
        if connection in seen:
            reset(connection)
        seen.add(connection)
        reply(connection, bundle(), MADE)

    with served(once_per_connection, total_seconds=5) as (gateway, server):
        for _ in range(3):
            assert read(gateway) == []
            assert create(gateway) == "Appointment/7"
    assert [line for line in server.requests if line.startswith("POST")] == ["POST /Appointment HTTP/1.1"] * 3


def test_reads_share_a_connection():
    with served(lambda connection: reply(connection, bundle())) as (gateway, server):
        for _ in range(5):
            assert read(gateway) == []
        assert len(server._sockets) == 1


def gzipped(body: bytes, without_last: int = 0) -> Behavior:
    packed = gzip.compress(body)
    packed = packed[: len(packed) - without_last]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    return lambda connection: connection.sendall(head + packed)


def test_a_packed_answer_is_unpacked():
    with served(gzipped(json.dumps(bundle()).encode())) as (gateway, _):
        assert read(gateway) == []


def test_a_packed_answer_without_its_checksum_is_cut():
    with served(gzipped(json.dumps(bundle()).encode(), without_last=8), total_seconds=5) as (gateway, _):
        assert kind_and_seconds(lambda: read(gateway))[0] is EhrUnavailable


def test_a_small_answer_that_unpacks_into_a_large_one_is_rejected():
    with served(gzipped(b" " * 50_000_000), total_seconds=5) as (gateway, server):
        assert kind_and_seconds(lambda: read(gateway))[0] is TooLarge
        assert len(server.requests) == 1


def test_an_encoding_we_did_not_ask_for_is_rejected():
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
    with served(lambda connection: connection.sendall(head)) as (gateway, _):
        assert kind_and_seconds(lambda: read(gateway))[0] is EhrRejected


def test_an_answer_over_the_limit_is_rejected_without_reading_it_all():
    sent = []

    def large(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
        while True:
            connection.sendall(b" " * 100_000)
            sent.append(100_000)

    with served(large, max_body_bytes=1_000_000, total_seconds=5) as (gateway, _):
        assert kind_and_seconds(lambda: read(gateway))[0] is TooLarge
    assert sum(sent) < 100_000_000


def test_a_create_that_gets_no_connection_in_time_was_not_sent():
    def slow(connection: socket.socket) -> None:
        time.sleep(2)
        reply(connection, {}, MADE)

    with served(slow, max_connections=1, pool_seconds=0.1, total_seconds=5) as (gateway, server):
        first: list[str] = []
        thread = threading.Thread(target=lambda: first.append(create(gateway)))
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        kind, seconds = kind_and_seconds(lambda: create(gateway))
        thread.join()
        assert (kind, seconds < 1.5) == (EhrUnavailable, True)
        assert (first, len(server.requests)) == (["Appointment/7"], 1)


def test_a_proxy_named_in_the_environment_is_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served(lambda connection: reply(connection, bundle())) as (gateway, _):
        assert read(gateway) == []


def test_many_threads_can_read_at_once():
    with served(lambda connection: reply(connection, bundle()), total_seconds=10) as (gateway, server):
        results: list[object] = []
        threads = [threading.Thread(target=lambda: results.append(read(gateway))) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [[]] * 40
        assert len(server._sockets) <= 20
