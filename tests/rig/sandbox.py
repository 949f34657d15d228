"""The sandbox EHR as a process of its own, and a client for the control door that only tests use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from .processes import (
    LOOPBACK,
    Child,
    clean_environment,
    free_port,
    http_status,
    running,
    temporary_directory,
)

CLIENT_ID = "portal-demo"
CLIENT_SECRET = "portal-demo-secret"

# Manners: where FHIR is and where tokens are.
PATHS = {
    "canvas": ("", "/auth/token/"),
    "medplum": ("/fhir/R4", "/oauth2/token"),
    "r4": ("/fhir", "/token"),
}


class SandboxControl:
    """A running sandbox: what it did, and how it should misbehave. The answers are the sandbox's own JSON."""

    def __init__(self, url: str, child: Child, manners: str = "canvas") -> None:
        self.url = url
        self.child = child
        self.manners = manners
        self._base_path, self._token_path = PATHS[manners]
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    @property
    def env(self) -> dict[str, str]:
        """What the portal needs to book here."""
        return {
            "EHR_DIALECT": self.manners,
            "EHR_BASE_URL": f"{self.url}{self._base_path}",
            "EHR_TOKEN_URL": f"{self.url}{self._token_path}",
            "EHR_CLIENT_ID": CLIENT_ID,
            "EHR_CLIENT_SECRET": CLIENT_SECRET,
        }

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def faults(self, kind: str, **where: Any) -> None:
        """Add one: ``faults("commit-then-no-answer", method="POST", type="Appointment", times=1, delay_seconds=0)``.

        It happens once unless ``times`` says otherwise (None: until cleared); booking/sandbox/faults.py has the kinds.
        """
        self._call("POST", "/_control/faults", json={"kind": kind, **where})

    def clear_faults(self) -> None:
        self._call("DELETE", "/_control/faults")

    def switches(self, **changes: Any) -> dict[str, Any]:
        """The switches as they are, after the ``changes``; booking/sandbox/switches.py has their names."""
        if changes:
            self._call("PUT", "/_control/switches", json=changes)
        found: dict[str, Any] = self._call("GET", "/_control/switches")
        return found

    def reset(self) -> None:
        """The clinic as first seeded, with default switches, no faults and all counts at nothing."""
        self._call("POST", "/_control/reset")

    def log(self, after: int = 0) -> list[dict[str, Any]]:
        """Every accepted write since entry ``after``: seq, at, method, type, id, client, identifier, resource."""
        found: list[dict[str, Any]] = self._call("GET", "/_control/log", params={"after": after})["entries"]
        return found

    def calls(self) -> dict[str, Any]:
        """How often each kind of call was made since the last reset, and how many were open at once."""
        found: dict[str, Any] = self._call("GET", "/_control/calls")
        return found

    def slot_searches(self) -> dict[str, int]:
        """How often each Slot search was asked since the last reset, by its query string."""
        found: dict[str, int] = self._call("GET", "/_control/calls/slots")
        return found

    def send_notices(self, url: str, secret: str) -> None:
        """Tell that address of every write to an Appointment or Slot from now on, as the EHR of these manners does."""
        self._call("PUT", "/_control/notices", json={"url": url, "secret": secret})

    def send_no_notices(self) -> None:
        self._call("DELETE", "/_control/notices")

    def notices(self) -> list[dict[str, Any]]:
        """Type, id and answer (0 for none) of each notice since they were asked for."""
        found: list[dict[str, Any]] = self._call("GET", "/_control/notices")["sent"]
        return found

    def staff_books(self, practitioner: str, start: datetime, end: datetime) -> str:
        """The clinic's staff take a time in the EHR itself, behind the portal's back; returns the appointment's id."""
        span = {"start": start.isoformat(), "end": end.isoformat()}
        return str(
            self._call("POST", "/_control/staff/book", json={"practitioner": practitioner, **span})["id"]
        )

    def staff_cancels(self, appointment_id: str) -> None:
        self._call("POST", f"/_control/staff/cancel/{appointment_id}")

    def staff_moves(self, appointment_id: str, start: datetime, end: datetime) -> str:
        """Staff give a visit another time; returns the id of the appointment that now stands.

        In Canvas that is a new appointment, and the old one is cancelled; in the other manners it is the same.
        """
        span = {"start": start.isoformat(), "end": end.isoformat()}
        return str(self._call("POST", f"/_control/staff/reschedule/{appointment_id}", json=span)["id"])

    def search(self, resource_type: str, **params: Any) -> list[dict[str, Any]]:
        """Every resource that a FHIR search finds, all pages of it."""
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        token = self._call("POST", self._token_path, data=form)["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        bundle = self._call("GET", f"{self._base_path}/{resource_type}", params=params, headers=headers)
        found = []
        while True:
            found += [entry["resource"] for entry in bundle.get("entry", [])]
            after = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
            if after is None:
                return [resource for resource in found if resource["resourceType"] == resource_type]
            bundle = self._call("GET", urljoin(f"{self.url}{self._base_path}/", after), headers=headers)

    def appointments(self, **params: Any) -> list[dict[str, Any]]:
        return self.search("Appointment", **params)

    def close(self) -> None:
        self._http.close()


@contextmanager
def sandbox(
    manners: str = "canvas", jwks: Path | None = None, roster: Path | None = None
) -> Iterator[SandboxControl]:
    """A sandbox of its own on a free port, as first seeded; `jwks` and `roster` as for its command line."""
    port = free_port()
    with temporary_directory("ehr") as directory:
        command = [sys.executable, "-m", "booking.sandbox", "--host", LOOPBACK, "--port", str(port)]
        command += ["--database", str(directory / "ehr.sqlite3"), "--control", "--manners", manners]
        command += ["--jwks", str(jwks)] if jwks else []
        command += ["--roster", str(roster)] if roster else []
        env = clean_environment(SANDBOX_CLIENT_ID=CLIENT_ID, SANDBOX_CLIENT_SECRET=CLIENT_SECRET)

        def ready() -> bool:
            return http_status(port, "/healthz") == 200

        with running(
            "sandbox EHR", command, log=directory / "log", env=env, ready=ready, seconds=60
        ) as child:
            client = SandboxControl(f"http://{LOOPBACK}:{port}", child, manners)
            try:
                yield client
            finally:
                client.close()


class Sandboxes:
    """A sandbox for each set of manners, started when first asked for, and never twice."""

    def __init__(self, running: ExitStack) -> None:
        self._running = running
        self._started: dict[str, SandboxControl] = {}

    def __getitem__(self, manners: str) -> SandboxControl:
        if manners not in self._started:
            self._started[manners] = self._running.enter_context(sandbox(manners))
        return self._started[manners]


@contextmanager
def sandboxes() -> Iterator[Sandboxes]:
    with ExitStack() as running:
        yield Sandboxes(running)
