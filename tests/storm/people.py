"""People who book, each writing down what every page told them. Nobody here knows what was done to the servers."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from tests.journeys.plain import Button, Form, Page, PlainVisitor

from .scene import Scene

# Runs inside the portal: sessions of people with proved contacts and details, and no time chosen yet.
_SCRIPT = """
import json
from datetime import date
from importlib import import_module
from django.conf import settings
from django.utils import timezone
from booking.models import PatientRecord
first, count, by_text = PARAMETERS
store, now, made = import_module(settings.SESSION_ENGINE).SessionStore, timezone.now(), []
for n in range(first, first + count):
    mobile = f"+1510555{n:04d}" if n % by_text == 0 else ""
    mail = "" if mobile else f"storm{n}@example.com"
    patient = PatientRecord.objects.create(given_name="Storm", family_name=f"Number{n}", birth_date=date(1980, 1, 1),
        sex="female", email=mail, mobile=mobile)
    session = store()
    session["owner_key"] = f"storm-{n}"
    session["draft"] = {"reason": "refill", "is_screened": True, "jurisdiction": "CA", "zone": "America/Los_Angeles",
        "specialty": "family", "patient_id": str(patient.pk), "has_text_consent": bool(mobile),
        "contact": {"channel": "mobile" if mobile else "email", "value": mobile or mail, "verified_at": now.isoformat()}}
    session.save()
    made.append([n, session.session_key, mobile or mail])
print("MADE", json.dumps(made))
"""
BOOKED, CONFIRMING, STAFF, REFUSED, AWAY, TAKEN, FAILED = (
    "booked",
    "confirming",
    "staff",
    "refused",
    "away",
    "taken",
    "failed",
)
SETTLED = frozenset({BOOKED, CONFIRMING, STAFF, REFUSED})
TIMES = "/book/times/"
_VISIT = re.compile(r"^/visits/([0-9a-f-]{36})/$")


@dataclass(frozen=True)
class Said:
    """What one page said: when (time.time()), after how many seconds, and of which booking."""

    at: float
    seconds: float
    what: str
    status: int
    booking_id: str = ""
    request: str = ""


@dataclass
class Patient:
    number: int
    session: str
    contact: str
    history: list[Said] = field(default_factory=list)

    @property
    def last(self) -> Said | None:
        return self.history[-1] if self.history else None


def make_people(scene: Scene, count: int, *, first: int = 0, by_text: int = 5) -> list[Patient]:
    """One in ``by_text`` is reached by text, the others by mail."""
    script = _SCRIPT.replace("PARAMETERS", repr((first, count, by_text)))
    said = scene.portal.manage("shell", "-c", script).stdout
    rows = json.loads(next(line for line in said.splitlines() if line.startswith("MADE"))[5:])
    return [Patient(*row) for row in rows]


class TimesPage(Page):
    """A page of times, of which there are hundreds: only what is pressed there is read, and that by its looks."""

    def __init__(self, response: httpx.Response) -> None:
        self.status, self.url, self.path = response.status_code, response.url, response.url.path
        self.html, self.text, self.links = response.text, "", []
        values = re.findall(r'<button[^>]* name="slot" value="([^"]+)"', self.html)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.html)
        fields = {"csrfmiddlewaretoken": token[1]} if token else {}
        buttons = [Button("", "slot", value) for value in values]
        self.forms = [Form(TIMES, "post", fields, buttons=buttons)]


class LightVisitor(PlainVisitor):
    """As ``PlainVisitor``, without the certificates that cost it 40 ms and that nobody here needs."""

    def open(self, path: str) -> Page:
        response = self.http.get(path)
        is_of_times = response.is_success and response.url.path == TIMES
        self.page = TimesPage(response) if is_of_times else Page(response)
        return self.page

    def __init__(self, base_url: str, session: str, seconds: float = 30) -> None:
        self.http = httpx.Client(
            base_url=base_url, follow_redirects=True, timeout=seconds, trust_env=False, verify=False
        )
        self.http.cookies.set("session", session)


def read(page: Page) -> tuple[str, str]:
    """What a page says of the booking, and the booking's id where the page is about one."""
    found = _VISIT.match(page.path)
    if page.status == 200 and found:
        words = {
            "is booked": BOOKED,
            "We are confirming this": CONFIRMING,
            "Our staff are confirming": STAFF,
            "could not be booked": REFUSED,
        }
        return next((what for text, what in words.items() if text in page.text), FAILED), found[1]
    if page.status == 200 and page.path == TIMES:
        return TAKEN, ""
    if page.status == 200 and page.path == "/book/review/":
        return "review", ""
    if page.status == 503 and "still held" in page.text:
        return AWAY, ""
    return FAILED, ""


class Booker:
    """Books for one patient as a person would who does not give up: whatever fails is looked at again."""

    def __init__(self, scene: Scene, patient: Patient, draw: random.Random, *, patience: float) -> None:
        self.patient, self._days = patient, scene.days_ahead()
        self._draw = draw
        self._visitor = LightVisitor(scene.portal.url, patient.session)
        self._ends = time.monotonic() + patience

    def book(self) -> str:
        """The last thing the patient was told."""
        what = FAILED
        try:
            while what not in SETTLED and time.monotonic() < self._ends:
                what = self._once(what)
        finally:
            self._visitor.close()
        return what

    def _once(self, before: str) -> str:
        if before == "review":
            return self._try(lambda: self._visitor.press("Book this visit"), "POST review")
        if before == AWAY:
            time.sleep(0.5)
        if before in (AWAY, FAILED) and self.patient.history:
            # What became of the last press? The review page leads to the booking, if there is one.
            time.sleep(0.3)
            found = self._try(lambda: self._visitor.open("/book/review/"), "GET review")
            if found != TAKEN:
                return found
        day = self._draw.choice(self._days)
        found = self._try(lambda: self._visitor.open(f"/book/times/?day={day}"), "GET times")
        if found != TAKEN:
            return found
        slots = self._visitor.page.buttons("slot")
        if not slots:
            time.sleep(0.5)
            return FAILED
        choice = self._draw.choice(slots).value
        return self._try(lambda: self._visitor.press(name="slot", value=choice), "POST times")

    def _try(self, act: Callable[[], Page], request: str) -> str:
        began = time.monotonic()
        try:
            page = act()
            what, booking_id = read(page)
            status = page.status
        except httpx.TransportError:
            what, booking_id, status = FAILED, "", 0
        seconds = time.monotonic() - began
        self.patient.history.append(Said(time.time(), seconds, what, status, booking_id, request))
        return what


def book_all(
    scene: Scene,
    patients: Iterable[Patient],
    *,
    at_once: int = 6,
    patience: float = 90,
    seed: int = 1,
    is_over: Callable[[], bool] = lambda: False,
) -> list[Patient]:
    """Those who booked, or tried to until their patience ended; nobody new begins once ``is_over``."""

    def one(patient: Patient) -> Patient | None:
        if is_over():
            return None
        draw = random.Random(f"{seed}/{patient.number}")
        Booker(scene, patient, draw, patience=patience).book()
        return patient

    with ThreadPoolExecutor(at_once) as pool:
        return [patient for patient in pool.map(one, patients) if patient is not None]
