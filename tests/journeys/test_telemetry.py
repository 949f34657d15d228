"""What leaves for Sentry and OpenTelemetry, as it arrives there: kinds, places, routes and verbs; nothing of a patient."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from portal.sentry import scrubbed
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl

from .plain import PlainVisitor
from .steps import Person, choose, eventually, to_review, to_times
from .test_logs import CANARY, found_in


class Collector:
    """Takes whatever is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = {"gzip": gzip.decompress, "br": brotli.decompress}
                collector.bodies.append(plain.get(self.headers.get("Content-Encoding", ""), bytes)(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def text(self) -> str:
        return b"\n".join(self.bodies).decode("latin-1")


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@contextmanager
def portal_with(
    postgres: Postgres, redis: Redis, sandbox: SandboxControl, env: dict[str, str], **more: object
) -> Iterator[Portal]:
    with (
        postgres.database() as url,
        start_portal(sandbox, database_url=url, redis_url=redis.url(10), env=env, **more) as portal,
    ):
        yield portal


@pytest.mark.parametrize(
    ("application", "is_kept_back"),
    [
        pytest.param("tests.journeys.failing:application", True, id="ours"),
        pytest.param("tests.journeys.unscrubbed:application", False, id="control-as-it-comes"),
    ],
)
def test_an_error_report_has_the_kind_and_the_place_only(
    postgres_server: Postgres,
    redis_server: Redis,
    sandbox_server: SandboxControl,
    mailbox: Mailbox,
    collector: Collector,
    application: str,
    is_kept_back: bool,
) -> None:
    env = mailbox.env | {"SENTRY_DSN": f"http://key@{collector.address}/1"}
    with portal_with(postgres_server, redis_server, sandbox_server, env, application=application) as portal:
        visitor = PlainVisitor(portal.url)
        to_times(visitor, reason="refill", state="CA")
        choose(visitor)
        with pytest.raises(AssertionError):
            to_review(visitor, CANARY, mailbox)
        assert visitor.page.status == 500
        cookies = [cookie.value for cookie in visitor.http.cookies.jar if cookie.value]
        visitor.close()
        told = eventually(lambda: collector.text() if "IntegrityError" in collector.text() else "")
    assert "failing.py" in told
    # The route has no part of the address that is anybody's own.
    assert '"transaction":"/book/details/"' in told
    traces = [word for word in found_in(told) if word != "/book/"]
    secrets = [word for word in cookies if word in told]
    assert ((traces, secrets) == ([], [])) is is_kept_back
    if not is_kept_back:
        assert {"zzlogbird", "pterodactylus", "1932-08-05"} <= set(found_in(told))


def test_whatever_an_event_holds_only_what_is_named_leaves() -> None:
    event = {
        "event_id": "e",
        "level": "error",
        "request": {"url": "https://x/v/token/", "data": "Zz", "cookies": {"s": "1"}, "query_string": "q=Zz"},
        "user": {"ip_address": "203.0.113.1"},
        "breadcrumbs": {"values": [{"message": "Zz"}]},
        "extra": {"sys.argv": ["Zz"]},
        "contexts": {"celery-job": {"args": ["Zz"]}},
        "logentry": {"message": "Internal Server Error: %s", "params": ["/v/token/"]},
        "exception": {
            "values": [
                {
                    "type": "IntegrityError",
                    "value": "Failing row contains (Zz)",
                    "stacktrace": {"frames": [{"lineno": 7, "function": "save", "vars": {"name": "Zz"}}]},
                }
            ]
        },
        "transaction": "/v/token/",
        "transaction_info": {"source": "url"},
        "something_new": "Zz",
    }
    assert scrubbed(event) == {
        "event_id": "e",
        "level": "error",
        "exception": {
            "values": [
                {
                    "type": "IntegrityError",
                    "stacktrace": {"frames": [{"lineno": 7, "function": "save"}]},
                }
            ]
        },
    }


def test_a_trace_goes_from_the_request_to_the_ehr_and_the_job(
    postgres_server: Postgres,
    redis_server: Redis,
    sandbox_server: SandboxControl,
    mailbox: Mailbox,
    collector: Collector,
) -> None:
    env = mailbox.env | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    person = Person(
        given=CANARY.given, family=CANARY.family, email="trace.log.bird@example.com", born=CANARY.born
    )

    def trace() -> set[str]:
        by_trace: dict[bytes, set[str]] = {}
        for body in list(collector.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        by_trace.setdefault(span.trace_id, set()).add(span.name)
        return next((names for names in by_trace.values() if wanted <= names), set())

    wanted = {"POST review", "EHR create_appointment", "job deliver_messages"}
    with portal_with(postgres_server, redis_server, sandbox_server, env, worker=True) as portal:
        visitor = PlainVisitor(portal.url)
        to_times(visitor, reason="blood-pressure", state="CA", specialty="family")
        choose(visitor)
        to_review(visitor, person, mailbox)
        visitor.press("Book this visit")
        assert "is booked" in visitor.page.text
        assert eventually(trace)
        visitor.close()
    assert found_in(collector.text().replace("/v1/traces", "")) == []
