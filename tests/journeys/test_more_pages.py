"""The pages and states that a smooth journey does not pass, looked at as the others are; and what a hold does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.rig.browser import Browser
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.sandbox import SandboxControl

from .ready import Ready, make_ready
from .steps import code_in, eventually, text_of
from .test_in_browser import Walk, expected_errors


@pytest.fixture
def walk(browser: Browser, portal_server: Portal) -> Iterator[Walk]:
    with browser.visitor() as visitor:
        yield Walk(visitor, portal_server)


def arrive(walk: Walk, person: Ready) -> None:
    """Come with the session of somebody who stands before the last button."""
    cookie = {"name": "session", "value": person.session, "url": walk.portal.url}
    walk.visitor.context.add_cookies([cookie])  # type: ignore[list-item]


def in_portal(portal: Portal, code: str) -> str:
    """What a line of Python run inside the portal prints."""
    return (
        portal.manage("shell", "-c", f"from booking.models import *\nprint('SAYS', {code})")
        .stdout.split("SAYS ")[1]
        .strip()
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("needs_staff", "staff"),
        ("cancelled", "cancel"),
        ("refused", "could not book this visit online"),
    ],
)
def test_every_end_of_a_booking_is_told_soundly(
    state: str, words: str, walk: Walk, portal_server: Portal
) -> None:
    person = make_ready(portal_server, 1, skip=30 + len(state))[0]
    arrive(walk, person)
    in_portal(
        portal_server,
        f"Booking.objects.filter(pk='{person.booking_id}').update(state='{state}', failure='not_accepted', appointment_ref='')",
    )
    walk.open(f"/visits/{person.booking_id}/")
    walk.look(state)
    assert words in walk.page.inner_text("main")
    assert "is booked" not in walk.page.inner_text("main")
    assert walk.wrong == {}
    walk.visitor.assert_clean()


def test_pages_of_an_account_are_sound(walk: Walk, mailbox: Mailbox) -> None:
    page = walk.page
    walk.open("/accounts/signup/")
    page.fill("input[name=email]", "pages@example.com")
    page.locator("form:has(input[name=email]) button").first.click()
    walk.look("code of an account")
    page.fill("input[name=code]", code_in(text_of(mailbox.wait_for(1, to="pages@example.com")[-1])))
    page.locator("form:has(input[name=code]) button").first.click()
    page.wait_for_url("**/visits/")
    for path in (
        "/visits/",
        "/accounts/email/",
        "/accounts/2fa/",
        "/accounts/2fa/totp/activate/",
        "/accounts/2fa/webauthn/",
        "/accounts/2fa/webauthn/add/",
        "/accounts/logout/",
    ):
        walk.open(path)
        walk.look(path)
    assert walk.wrong == {}
    walk.visitor.assert_clean()


def test_pages_for_when_something_is_amiss_are_sound(
    walk: Walk, portal_server: Portal, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    page = walk.page
    walk.open("/dev/messages/")
    walk.look("development messages")
    person, other = make_ready(portal_server, 2, skip=45)
    arrive(walk, person)
    walk.open("/book/review/")
    in_portal(portal_server, f"Booking.objects.filter(pk='{person.booking_id}').update(state='released')")
    # Later than a page waits, so that it is the page itself that looks again and finds out.
    sandbox.faults(kind="500", type="Slot", times=None, delay_seconds=2)
    in_portal(portal_server, "__import__('django.core.cache').core.cache.cache.clear()")
    walk.open("/book/times/")
    expect(page.locator("h1")).to_have_text("The clinic's system is not answering", timeout=30_000)
    expect(page.locator("h1")).to_be_focused()
    walk.look("EHR away")
    sandbox.clear_faults()
    in_portal(portal_server, "__import__('django.core.cache').core.cache.cache.clear()")
    in_portal(
        portal_server,
        f"__import__('django.contrib.sessions.models').contrib.sessions.models.Session.objects.filter(pk='{person.session}').delete()",
    )
    walk.open("/book/times/")
    walk.look("session ended")
    expect(page.locator("h1")).to_have_text("Your session has ended")
    arrive(walk, other)
    walk.open("/book/contact/?change=1")
    page.fill("input[name=email]", "ended@example.com")
    page.get_by_role("button", name="code").click()
    wrong = (
        "000000"
        if code_in(text_of(mailbox.wait_for(1, to="ended@example.com")[-1])) != "000000"
        else "111111"
    )
    for _ in range(5):
        page.fill("input[name=code]", wrong)
        walk.go_on()
    walk.look("code used up")
    page.context.clear_cookies()
    page.goto(walk.portal.url)
    page.context.clear_cookies()
    walk.press("reason", "refill")
    walk.look("form without its token")
    assert walk.wrong == {}
    expected_errors(walk.visitor, 403, 422, 503)
    walk.visitor.assert_clean()


def test_hold_counts_down_can_be_extended_once_and_ends_soon_after_leaving(
    walk: Walk, portal_server: Portal
) -> None:
    person, page = make_ready(portal_server, 1, skip=48)[0], walk.page
    arrive(walk, person)
    left = f"int((Booking.objects.get(pk='{person.booking_id}').hold_expires_at - __import__('django.utils.timezone').utils.timezone.now()).total_seconds())"
    walk.open("/book/review/")
    expect(page.locator("#hold")).to_contain_text(re.compile(r"About \d+ minutes left"))
    page.locator("#hold").get_by_role("button", name="I need more time").click()
    expect(page.locator("#hold").get_by_role("button", name="I need more time")).to_have_count(0)
    assert 500 < int(in_portal(portal_server, left)) <= 600
    page.goto("about:blank")
    eventually(lambda: int(in_portal(portal_server, left)) <= 90)
    walk.open("/book/review/")
    page.wait_for_timeout(800)
    assert int(in_portal(portal_server, left)) > 400
    page.locator("#hold").get_by_role("button", name="Choose another time").click()
    page.wait_for_url("**/book/times/**")
    assert in_portal(portal_server, f"Booking.objects.get(pk='{person.booking_id}').state") == "released"
    walk.visitor.assert_clean()
