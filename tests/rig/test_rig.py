"""The rig keeps its promises: servers answer, refuse as told, stay on this machine and end with their block."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import psycopg
import pytest

from tests.rig.browser import PHONE, Browser
from tests.rig.mail import Mailbox
from tests.rig.network import ConnectionRefusedByTests
from tests.rig.portal import Portal
from tests.rig.postgres import Postgres
from tests.rig.processes import Child, ChildFailed, free_port, is_free, running
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl
from tests.rig.sms import ACCOUNT, SENDER, TOKEN, Mode, SmsGateway

PAGE = b"""<!doctype html><html lang="en"><head><title>Visit</title><link rel="icon" href="/icon"></head><body><main>
<h1>Visit</h1><img src="/photo.png"><img src="http://pictures.example/a.png" alt=""><script>window.ran = true</script>
</main></body></html>"""


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", "default-src 'self'; img-src *")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def send_mail(box: Mailbox) -> None:
    with smtplib.SMTP("127.0.0.1", box.port) as client:
        client.sendmail(
            "clinic@example.org", ["ana@example.org"], "To: ana@example.org\nSubject: Visit\n\nTomorrow"
        )


def send_text(gateway: SmsGateway, token: str = TOKEN, seconds: float = 5) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        data={"To": "+15005550001", "From": SENDER, "Body": "Tomorrow"},
        auth=(ACCOUNT, token),
        timeout=seconds,
        trust_env=False,
    )


def test_databases_are_fresh_and_dropped(postgres_server: Postgres) -> None:
    with postgres_server.database() as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE visit (id int)")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_redis_is_private_and_can_be_emptied(redis_server: Redis) -> None:
    with redis_server.connect(3) as connection:
        connection.set("visit", "tomorrow")
        redis_server.flush()
        assert connection.get("visit") is None


def test_mail_arrives_or_is_refused(mailbox: Mailbox) -> None:
    send_mail(mailbox)
    (message,) = mailbox.wait_for(1, to="ana@example.org")
    assert message["Subject"] == "Visit"
    mailbox.refusal = "451 try later"
    with pytest.raises(smtplib.SMTPDataError):
        send_mail(mailbox)
    assert (len(mailbox.messages), mailbox.refused) == (1, 1)


def test_sms_is_accepted_like_the_provider_does(sms_gateway: SmsGateway) -> None:
    answer = send_text(sms_gateway)
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    assert [text.body for text in sms_gateway.wait_for(1, to="+15005550001")] == ["Tomorrow"]
    assert send_text(sms_gateway, token="wrong").status_code == 401


@pytest.mark.parametrize(("mode", "status"), [(Mode.TOO_MANY, 429), (Mode.BROKEN, 500)])
def test_sms_refusals_accept_nothing(sms_gateway: SmsGateway, mode: Mode, status: int) -> None:
    sms_gateway.mode = mode
    assert send_text(sms_gateway).status_code == status
    assert (sms_gateway.texts, sms_gateway.requests) == ([], 1)


def test_sms_can_hang_or_lose_its_answer(sms_gateway: SmsGateway) -> None:
    sms_gateway.mode = Mode.HANG
    with pytest.raises(httpx.ReadTimeout):
        send_text(sms_gateway, seconds=0.3)
    assert sms_gateway.texts == []
    sms_gateway.mode = Mode.ACCEPT_THEN_RESET
    with pytest.raises(httpx.NetworkError):
        send_text(sms_gateway)
    assert len(sms_gateway.texts) == 1


def test_this_process_stays_on_this_machine() -> None:
    with pytest.raises(ConnectionRefusedByTests):
        httpx.get("http://elsewhere.example/", trust_env=False)
    with socket.socket() as anyone, pytest.raises(ConnectionRefusedByTests):
        anyone.connect(("192.0.2.1", 80))


def test_browser_tells_what_a_page_did_wrong(browser: Browser, page_url: str) -> None:
    with browser.visitor(viewport=PHONE) as visitor:
        visitor.page.goto(page_url)
        assert visitor.page.evaluate("window.ran") is None
        assert visitor.left_this_machine == ["http://pictures.example/a.png"]
        assert [violation.split(":")[0] for violation in visitor.policy_violations] == ["script-src-elem"]
        assert [violation["rule"] for violation in visitor.axe()] == ["image-alt"]
        with pytest.raises(AssertionError, match=r"pictures\.example"):
            visitor.assert_clean()
        visitor.add_authenticator()


def test_browser_reaches_nothing_else(browser: Browser) -> None:
    with browser.visitor() as visitor:
        for elsewhere in ("http://elsewhere.example/", "http://192.0.2.1/"):
            with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
                visitor.page.goto(elsewhere)


def test_sandbox_can_be_told_to_fail_and_to_behave_again(sandbox: SandboxControl) -> None:
    sandbox.faults("500", type="Appointment", times=None)
    with pytest.raises(AssertionError, match="500"):
        sandbox.appointments()
    sandbox.clear_faults()
    last = max((entry["seq"] for entry in sandbox.log()), default=0)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    booked = sandbox.staff_books(
        sandbox.search("Practitioner")[0]["id"], start, start + timedelta(minutes=30)
    )
    assert [(entry["client"], entry["id"]) for entry in sandbox.log(after=last)] == [("staff", booked)]
    assert booked in [visit["id"] for visit in sandbox.appointments()]
    assert sandbox.switches(null_body=True)["null_body"] is True


def test_portal_is_served_and_works_off_its_queue(portal_server: Portal, mailbox: Mailbox) -> None:
    with portal_server.client() as visitor:
        assert visitor.get("/").status_code == 200
    assert portal_server.worker is not None
    assert portal_server.worker.running
    assert "clinicians" in portal_server.manage("seed_demo").stdout


@pytest.mark.usefixtures("_chromium")
def test_browser_leaves_no_event_loop_behind() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_children_end_with_their_block(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    serve = (
        f"import os, http.server as http; port = {ports}[os.fork() == 0]\n"
        "http.HTTPServer(('127.0.0.1', port), http.BaseHTTPRequestHandler).serve_forever()"
    )
    with running("pair", [sys.executable, "-c", serve], log=tmp_path / "log") as child:
        child.wait_until(lambda: not any(map(is_free, ports)))
    assert not child.running
    # The child's own child is killed with it, but it is the system that collects it.
    deadline = time.monotonic() + 5
    while not all(map(is_free, ports)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_that_ends_early_says_why(tmp_path: Path) -> None:
    child = Child("failing", [sys.executable, "-c", "raise SystemExit('no database')"], log=tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"failing ended with status 1\.\nno database"):
        child.wait_until(lambda: False)
    child.stop()
