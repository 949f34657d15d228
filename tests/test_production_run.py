"""The services of docker-compose.yml by their own command lines, under production settings, on PostgreSQL and Redis.

There is no container engine here, so this is as near to a deployment as a test can come: the same programs and
arguments, with other ports and folders, and a visitor behind a proxy that ends TLS.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.journeys.plain import PlainVisitor
from tests.journeys.steps import Person, choose, eventually, own_appointments, text_of, to_review, to_times
from tests.rig.mail import Mailbox, mailbox
from tests.rig.postgres import Postgres
from tests.rig.processes import ROOT, Child, free_port, http_status, stop_all, temporary_directory
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl
from tests.test_compose import SERVICES, production_environment

HOST = "book.clinic.example"


def command(service: str, replacements: dict[str, str]) -> list[str]:
    """A service's command line, run by this Python, with ports and folders of this test."""
    text = SERVICES[service]["command"]
    for old, new in replacements.items():
        assert old in text, f"{service} no longer has {old}"
        text = text.replace(old, new)
    words = shlex.split(text)
    return [sys.executable, *(words[1:] if words[0] == "python" else ["-m", *words])]


class Deployment:
    def __init__(self, directory: Path, env: dict[str, str], port: int) -> None:
        self.directory, self.env, self.port = directory, env, port
        self.children: list[Child] = []

    def start(self, service: str, replacements: dict[str, str] | None = None) -> Child:
        log = self.directory / f"{service}.log"
        child = Child(service, command(service, replacements or {}), log=log, env=self.env)
        self.children.append(child)
        return child

    def run(self, *args: str, **changes: str) -> str:
        log = self.directory / f"{args[0]}.log"
        child = Child(args[0], [sys.executable, "manage.py", *args], log=log, env=self.env | changes)
        assert child.popen.wait(120) == 0, child.output()
        return child.output()

    def visitor(self) -> PlainVisitor:
        """Somebody whose browser speaks HTTPS to a proxy that passes plain HTTP on."""
        visitor = PlainVisitor(f"http://localhost:{self.port}")
        visitor.http.headers.update({"Host": HOST, "X-Forwarded-Proto": "https", "Origin": f"https://{HOST}"})
        # httpx, rightly, would not send these secure cookies over the plain HTTP that the proxy passes on.
        kept: dict[str, str] = {}

        def keep(response: httpx.Response) -> None:
            for line in response.headers.get_list("Set-Cookie"):
                name, value = line.split(";")[0].split("=", 1)
                kept[name] = value

        def send(request: httpx.Request) -> None:
            request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in kept.items())

        visitor.http.event_hooks = {"request": [send], "response": [keep]}
        return visitor


@pytest.fixture(scope="module")
def letters() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def deployment(
    postgres_server: Postgres, redis_server: Redis, sandbox_server: SandboxControl, letters: Mailbox
) -> Iterator[Deployment]:
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory("production"))
        port = free_port()
        env = production_environment(
            PORTAL_URL=f"https://{HOST}",
            ALLOWED_HOSTS=f"{HOST},localhost",
            BEHIND_TLS_PROXY="true",
            **sandbox_server.env,
        )
        env |= letters.env | {
            "DATABASE_URL": stack.enter_context(postgres_server.database()),
            "REDIS_URL": redis_server.url(5),
            "VAR_DIR": str(directory),
            "STATIC_ROOT": str(directory / "static"),
        }
        running = Deployment(directory, env, port)
        try:
            running.run("collectstatic", "--no-input", "--verbosity", "0")
            running.run("migrate", "--no-input", "--verbosity", "0")
            # The clinic's own reasons would be typed into the admin; the demo's serve as well.
            running.run("seed_demo", PORTAL_MODE="demo")
            web = running.start("web", {"--port 8000": f"--port {port}", "0.0.0.0": "127.0.0.1"})
            worker = running.start("worker")
            running.start("beat", {"/var/lib/portal/beat-schedule": str(directory / "beat-schedule")})
            web.wait_until(lambda: http_status(port, "/healthz") == 200, seconds=60)
            worker.wait_until(lambda: " ready." in worker.output(), seconds=60)
            yield running
        finally:
            stop_all(running.children)


def test_patient_books_under_production_settings(
    deployment: Deployment, sandbox: SandboxControl, letters: Mailbox
) -> None:
    visitor, person = deployment.visitor(), Person(email="production@example.com", family="Production")
    to_times(visitor, reason="refill", state="CA")
    choose(visitor)
    to_review(visitor, person, letters)
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text, visitor.page.text[:500]
    assert len(own_appointments(sandbox, visitor.page.path.strip("/").split("/")[-1])) == 1
    mail = eventually(lambda: [mail for mail in letters.to(person.email) if "booked" in mail["Subject"]])[0]
    assert f"https://{HOST}/v/" in text_of(mail)
    visitor.close()


def test_plain_http_is_sent_to_https_and_cookies_are_host_bound(deployment: Deployment) -> None:
    url = f"http://localhost:{deployment.port}/"
    plain = httpx.get(url, headers={"Host": HOST}, trust_env=False)
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{HOST}/")
    secure = httpx.get(url, headers={"Host": HOST, "X-Forwarded-Proto": "https"}, trust_env=False)
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    cookies = secure.headers.get_list("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == ["__Host-csrf"]
    assert all("Secure" in cookie and "Path=/" in cookie and "Domain" not in cookie for cookie in cookies)


def test_static_files_are_named_by_their_content_kept_forever_and_compressed(deployment: Deployment) -> None:
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", "Accept-Encoding": "br"}
    with httpx.Client(
        base_url=f"http://localhost:{deployment.port}", headers=headers, trust_env=False
    ) as http:
        page = http.get("/").text
        css = page.split('rel="stylesheet" href="')[1].split('"')[0]
        answer = http.get(css)
        assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "br")
        assert answer.headers["Cache-Control"] == "max-age=315360000, public, immutable"
        assert http.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_unknown_page_and_failure_wear_our_face(deployment: Deployment) -> None:
    visitor = deployment.visitor()
    page = visitor.open("/nowhere/")
    assert (page.status, "Juniper Health" in page.text) == (404, True)
    visitor.close()


def test_services_end_when_asked(deployment: Deployment) -> None:
    assert [child.name for child in deployment.children if not child.running] == []
    stop_all(deployment.children)
    assert [child.name for child in deployment.children if child.running] == []
    assert ROOT.exists()
