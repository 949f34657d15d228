"""Having an account: signing in by code or passkey, one's own visits, and nobody else's."""

from __future__ import annotations

from tests.rig.browser import Browser
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.sandbox import SandboxControl

from .plain import PlainVisitor
from .steps import Person, choose, code_in, own_appointments, text_of, to_times


def sign_up(visitor: PlainVisitor, email: str, mailbox: Mailbox) -> None:
    visitor.open("/accounts/signup/")
    form = next(form for form in visitor.page.forms if "email" in form.fields)
    before = len(mailbox.to(email))
    visitor.press(form.buttons[0].text, fields={"email": email})
    code = code_in(text_of(mailbox.wait_for(before + 1, to=email)[-1]))
    form = next(form for form in visitor.page.forms if "code" in form.fields)
    visitor.press(form.buttons[0].text, fields={"code": code})


def test_account_books_without_a_second_code_and_sees_only_its_own_visits(
    portal_server: Portal, sandbox: SandboxControl, mailbox: Mailbox
) -> None:
    mine, other = PlainVisitor(portal_server.url), PlainVisitor(portal_server.url)
    sign_up(mine, "mine@example.com", mailbox)
    sign_up(other, "other-account@example.com", mailbox)
    to_times(mine, reason="refill", state="CA")
    choose(mine)
    assert mine.page.path == "/book/details/", mine.page.text[:400]
    mine.press("Continue", fields=Person(family="Owner").details)
    mine.press("Book this visit")
    path = mine.page.path
    assert len(own_appointments(sandbox, path.strip("/").split("/")[-1])) == 1

    assert path in [href for href, _ in mine.open("/visits/").links]
    assert [
        href for href, _ in other.open("/visits/").links if href.startswith("/visits/") and len(href) > 10
    ] == []
    assert other.open(path).status == 404

    to_times(mine, reason="refill", state="CA")
    choose(mine)
    assert mine.page.path in ("/book/details/", "/book/review/")
    assert "Owner" in mine.page.html
    mine.close()
    other.close()


def test_known_and_unknown_addresses_are_answered_alike(portal_server: Portal, mailbox: Mailbox) -> None:
    visitor = PlainVisitor(portal_server.url)
    sign_up(visitor, "known@example.com", mailbox)
    pages = []
    for email in ("known@example.com", "unknown@example.com"):
        stranger = PlainVisitor(portal_server.url)
        stranger.open("/accounts/login/")
        form = next(form for form in stranger.page.forms if "login" in form.fields)
        page = stranger.press(form.buttons[0].text, fields={"login": email})
        pages.append((page.status, page.path, page.text.replace(email, "…")))
        stranger.close()
    assert pages[0] == pages[1]
    visitor.close()


def test_passkey_is_added_and_signs_in(browser: Browser, portal_server: Portal, mailbox: Mailbox) -> None:
    with browser.visitor() as visitor:
        visitor.add_authenticator()
        page = visitor.page
        page.goto(f"{portal_server.url}/accounts/signup/")
        page.fill("input[name=email]", "passkey@example.com")
        page.locator("form:has(input[name=email]) button").first.click()
        code = code_in(text_of(mailbox.wait_for(1, to="passkey@example.com")[-1]))
        page.fill("input[name=code]", code)
        page.locator("form:has(input[name=code]) button").first.click()
        page.wait_for_url("**/visits/")
        page.goto(f"{portal_server.url}/accounts/2fa/webauthn/add/")
        page.fill("input[name=name]", "My phone")
        if page.locator("input[name=passwordless]").count():
            page.check("input[name=passwordless]", force=True)
        page.locator("form:has(input[name=name]) button").last.click()
        # The device is asked before the form is sent.
        page.wait_for_url(lambda url: not url.endswith("/webauthn/add/"))
        page.goto(f"{portal_server.url}/accounts/logout/")
        page.locator("main form button").first.click()
        page.wait_for_load_state("networkidle")
        page.goto(f"{portal_server.url}/accounts/login/")
        page.click("#passkey_login")
        page.wait_for_url("**/visits/")
        visitor.assert_clean()
