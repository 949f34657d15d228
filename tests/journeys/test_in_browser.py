"""The whole way in a real browser, every page and state on it looked at as its users look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.rig.browser import PHONE, Browser, Visitor
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.sandbox import SandboxControl

from .inspect import faults_of
from .steps import (
    Person,
    assert_appointment,
    busy_day,
    code_in,
    eventually,
    own_appointments,
    references,
    text_of,
)

# A tile's ring is drawn on the label around its radio button.
HAS_FOCUS_RING = """() => [document.activeElement, document.activeElement.closest("label")]
  .concat(document.activeElement.nextElementSibling, document.activeElement.parentElement)
  .some(e => e && (getComputedStyle(e).outlineStyle !== "none" || getComputedStyle(e).boxShadow !== "none"))"""


def all_are_there(page: Page) -> None:
    """Wait until no time is still to come, so that none moves another any more."""
    expect(page.locator(".wait.is-still")).to_be_attached(timeout=30_000)


class Walk:
    """One visitor in Chromium. ``look`` collects what is wrong with each state; ``wrong`` must stay empty."""

    def __init__(self, visitor: Visitor, portal: Portal) -> None:
        self.visitor, self.page, self.portal = visitor, visitor.page, portal
        self.wrong: dict[str, object] = {}

    def open(self, path: str) -> None:
        self.page.goto(self.portal.url + path)

    def look(self, name: str) -> None:
        self.page.wait_for_load_state("networkidle")
        if found := faults_of(self.visitor):
            self.wrong[name] = found

    def press(self, name: str, value: str = "") -> None:
        selector = f"button[name={name}]" + (f"[value='{value}']" if value else "")
        self.page.locator(selector).first.click()

    def go_on(self) -> None:
        self.page.get_by_role("button", name="Continue").click()

    def reason(self, code: str, state: str) -> None:
        self.open("/")
        self.press("reason", code)
        if self.path == "/book/screening/":
            self.press("answer", "no")
        # The last answer is kept for the next reason, so that the question may not come again.
        if self.path != "/book/state/":
            self.open("/book/state/")
        self.page.select_option("select[name=state]", state)
        self.go_on()

    @property
    def path(self) -> str:
        return "/" + self.page.url.split("/", 3)[3].split("?")[0]

    def choose_time(self, position: int = 0) -> datetime:
        """One of the day's own times, by its place in them."""
        self.open(f"/book/times/?day={busy_day()}")
        all_are_there(self.page)
        button = self.page.locator(".who button[name=slot]").nth(position)
        epoch = int((button.get_attribute("value") or "").split(".")[1])
        button.click()
        return datetime.fromtimestamp(epoch, UTC)

    def prove(self, email: str, mailbox: Mailbox) -> None:
        before = len(mailbox.to(email))
        self.page.fill("input[name=email]", email)
        self.page.get_by_role("button", name="code").click()
        code = code_in(text_of(mailbox.wait_for(before + 1, to=email)[-1]))
        self.page.fill("input[name=code]", code)
        self.go_on()

    def tell_details(self, person: Person) -> None:
        for name, value in person.details.items():
            if name == "sex":
                self.page.check(f"input[name=sex][value={value}]", force=True)
            else:
                self.page.fill(f"input[name={name}]", value)
        self.go_on()


@pytest.fixture
def walk(browser: Browser, portal_server: Portal) -> Iterator[Walk]:
    with browser.visitor() as visitor:
        yield Walk(visitor, portal_server)


def expected_errors(visitor: Visitor, *statuses: int) -> None:
    """Chromium and htmx each write a console line for every answer that is an error; those asked for are taken out."""
    lines = [words for status in statuses for words in (f"status of {status}", f"Status Error Code {status}")]
    visitor.console_errors = [
        error for error in visitor.console_errors if not any(line in error for line in lines)
    ]


def test_guest_books_a_video_visit_and_every_page_on_the_way_is_sound(
    walk: Walk, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    page, person = walk.page, Person(email="browser@example.com", given="Bea", family="Browser")
    walk.open("/")
    walk.look("front page")
    page.get_by_label("What do you need help with?").fill("itchy skin")
    expect(page.locator("#reasons")).to_contain_text("for “itchy skin”")
    expect(page.locator("#reasons")).to_contain_text("Rash or itching")
    walk.look("search results")
    page.get_by_label("What do you need help with?").fill("qwertyuiop")
    expect(page.locator("#reasons")).to_contain_text("no reason for “qwertyuiop”")
    walk.look("search without results")
    page.get_by_label("What do you need help with?").fill("chest pain")
    expect(page.locator("#reasons")).to_contain_text("Is this happening now?")
    walk.look("search with a red flag")
    walk.open("/")
    walk.press("reason", "rash")
    walk.look("screening")
    walk.press("answer", "no")
    walk.look("state")
    page.select_option("select[name=state]", "CA")
    walk.go_on()
    walk.look("specialty")
    walk.press("specialty", "dermatology")
    walk.look("times")
    starts_at = walk.choose_time(3)
    walk.look("contact")
    before = len(mailbox.to(person.email))
    page.fill("input[name=email]", person.email)
    page.get_by_role("button", name="code").click()
    walk.look("code")
    code = code_in(text_of(mailbox.wait_for(before + 1, to=person.email)[-1]))
    page.fill("input[name=code]", code)
    walk.go_on()
    walk.look("details")
    walk.tell_details(person)
    walk.look("review")
    page.get_by_role("button", name="Book this visit").click()
    expect(page.locator("h1")).to_contain_text("Your visit")
    walk.look("booked")

    booking_id = walk.path.strip("/").split("/")[-1]
    (appointment,) = own_appointments(sandbox, booking_id)
    practitioner, patient = references(appointment["participant"])
    locations = [
        each["reference"]
        for each in appointment["supportingInformation"]
        if each["reference"].startswith("Location/")
    ]
    assert_appointment(
        appointment,
        booking_id=booking_id,
        practitioner=practitioner,
        starts_at=starts_at,
        minutes=20,
        reason_code="RASH",
        type_code="448337001",
        location=locations[0],
        patient=patient,
    )
    (clinician,) = sandbox.search("Practitioner", _id=practitioner.removeprefix("Practitioner/"))
    assert clinician["name"][0]["family"] in page.inner_text("main")
    mails = eventually(lambda: [mail for mail in mailbox.to(person.email) if "booked" in mail["Subject"]])
    assert len(mails) == 1
    calendar = page.request.get(walk.portal.url + walk.path + "visit.ics")
    assert calendar.headers["content-type"] == "text/calendar; charset=utf-8"
    link = re.search(r"http://localhost:\d+/v/\S+", text_of(mails[0]))
    assert link
    page.goto(link[0])
    walk.look("link in a message")
    assert walk.wrong == {}
    walk.visitor.assert_clean()


def test_every_error_state_is_sound(walk: Walk, sandbox: SandboxControl, mailbox: Mailbox) -> None:
    page = walk.page
    walk.open("/")
    walk.press("reason", "headache")
    walk.press("answer", "yes")
    walk.look("urgent")
    walk.open("/")
    walk.press("reason", "checkup")
    walk.go_on()
    walk.look("state not chosen")
    page.select_option("select[name=state]", "TX")
    walk.go_on()
    walk.look("new or established")
    walk.reason("refill", "WY")
    walk.look("nobody licensed")
    walk.reason("refill", "CA")
    walk.look("times of one specialty")
    page.get_by_role("link", name="In person").click()
    walk.look("times in person")
    walk.open(f"/book/times/?day={busy_day()}&part=evening&clinician=999999")
    walk.look("no times with these filters")
    walk.choose_time(1)
    page.get_by_role("button", name="code").click()
    walk.look("contact not given")
    page.fill("input[name=email]", "states@example.com")
    page.get_by_role("button", name="code").click()
    page.fill("input[name=code]", "12")
    walk.go_on()
    walk.look("code too short")
    real = code_in(text_of(mailbox.wait_for(1, to="states@example.com")[-1]))
    page.fill("input[name=code]", real)
    walk.go_on()
    walk.go_on()
    walk.look("details not given")
    walk.tell_details(Person(family="Of-the-many-States-and-Conditions", email="states@example.com"))
    sandbox.faults(kind="500", times=None)
    page.get_by_role("button", name="Book this visit").click()
    walk.look("EHR away at the last step")
    assert "your time is still held" in page.inner_text("main")
    sandbox.clear_faults()
    sandbox.faults(method="POST", type="Appointment", kind="422")
    page.get_by_role("button", name="Book this visit").click()
    expect(page.locator("main")).to_contain_text("That time was just taken")
    walk.look("time taken, with alternatives")
    page.locator("button[name=slot]").first.click()
    sandbox.faults(method="POST", type="Appointment", kind="commit-then-no-answer")
    page.get_by_role("button", name="Book this visit").click()
    expect(page.locator("main")).to_contain_text("We are confirming")
    walk.look("confirming")
    walk.open("/nowhere/")
    walk.look("not found")
    walk.open("/accounts/login/")
    walk.look("sign in")
    walk.open("/accounts/login/code/")
    walk.look("sign in by code")
    walk.open("/accounts/signup/")
    walk.look("sign up")
    assert walk.wrong == {}
    expected_errors(walk.visitor, 404, 422, 503)
    walk.visitor.assert_clean()


def test_whole_journey_by_keyboard_alone(browser: Browser, portal_server: Portal, mailbox: Mailbox) -> None:
    with browser.visitor(viewport=PHONE) as visitor:
        walk, page, keys = Walk(visitor, portal_server), visitor.page, visitor.page.keyboard

        def tab_to(selector: str) -> None:
            for _ in range(400):
                keys.press("Tab")
                if page.evaluate("s => document.activeElement.matches(s)", selector):
                    assert page.evaluate(HAS_FOCUS_RING), f"no focus ring on {selector}"
                    return
            raise AssertionError(f"{selector} cannot be reached by Tab on {walk.path}")

        walk.open("/")
        tab_to("button[name=reason][value=refill]")
        keys.press("Enter")
        page.wait_for_url("**/book/state/**")
        tab_to("select[name=state]")
        keys.type("Texas")
        keys.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Continue"
        keys.press("Enter")
        page.wait_for_url("**/book/times/**")
        walk.open(f"/book/times/?day={busy_day()}")
        all_are_there(page)
        tab_to(".who button[name=slot]")
        keys.press("Enter")
        page.wait_for_url("**/book/contact/**")
        tab_to("input[name=email]")
        keys.type("keys@example.com")
        keys.press("Enter")
        page.wait_for_url("**/book/code/**")
        code = code_in(text_of(mailbox.wait_for(1, to="keys@example.com")[-1]))
        tab_to("input[name=code]")
        keys.type(code)
        keys.press("Enter")
        page.wait_for_url("**/book/details/**")
        for name, value in Person(family="Keys").details.items():
            tab_to(f"input[name={name}]")
            if name == "sex":
                keys.press("Space")
            else:
                keys.type(value)
        keys.press("Enter")
        page.wait_for_url("**/book/review/**")
        tab_to(".button.is-big, main form > button, main form .button")
        while page.evaluate("document.activeElement.innerText") != "Book this visit":
            keys.press("Tab")
        keys.press("Enter")
        page.wait_for_url("**/visits/**")
        expect(page.locator("h1")).to_contain_text("Your visit")
        visitor.assert_clean()


def test_grid_reads_as_lists_of_labelled_times(walk: Walk) -> None:
    walk.reason("refill", "CA")
    walk.open(f"/book/times/?day={busy_day()}")
    all_are_there(walk.page)
    labels = walk.page.locator("button[name=slot]").evaluate_all(
        "buttons => buttons.map(b => [b.getAttribute('aria-label') || b.innerText, b.closest('li') !== null])"
    )
    assert len(labels) > 20
    assert [in_list for _, in_list in labels] == [True] * len(labels)
    pattern = re.compile(r"\d{1,2}:\d\d [ap]m\s+Pacific")
    assert [label for label, _ in labels if not pattern.search(label)] == []


def test_htmx_swaps_a_day_and_keeps_the_address(walk: Walk) -> None:
    walk.reason("refill", "CA")
    all_are_there(walk.page)
    requests: list[str] = []
    walk.page.on("request", lambda request: requests.append(request.headers.get("hx-request", "")))
    day = walk.page.locator("a[href*='day=']").nth(4)
    href = day.get_attribute("href") or ""
    day.click()
    walk.page.wait_for_url(f"**{href}")
    assert "true" in requests
    # No page is kept in the browser: the one before is read anew.
    with walk.page.expect_event("load"):
        walk.page.go_back()
    assert walk.path == "/book/times/"
    assert href not in walk.page.url
    expect(walk.page.locator("h1")).to_have_text("Choose a time")
    walk.visitor.assert_clean()
