"""Chromium, kept on this machine, with a record of everything a page did that it should not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from . import programs
from .processes import ROOT

PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 900}
AXE_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

# What htmx says of a request that it gave up itself, for a newer one or as its page ends. A failure says more than that.
_GIVEN_UP = ("htmx:afterRequest", "htmx:sendAbort")
# Runs before any script of the page's own.
_REPORT_CSP = """document.addEventListener("securitypolicyviolation", event =>
    window.reportPolicyViolation(`${event.effectiveDirective}: ${event.blockedURI} ${event.sourceFile}`))"""


@dataclass
class Visitor:
    """One person's browser: own cookies, one ``page`` to start with, and what went wrong in any of its pages."""

    context: BrowserContext
    page: Page
    left_this_machine: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)
    policy_violations: list[str] = field(default_factory=list)

    def axe(self, page: Page | None = None) -> list[dict[str, Any]]:
        return axe(page or self.page)

    def screenshot(self, name: str, page: Page | None = None) -> Path:
        """The full page as var/screenshots/``name``.png."""
        path = ROOT / "var" / "screenshots" / f"{name}.png"
        (page or self.page).screenshot(path=path, full_page=True)
        return path

    def add_authenticator(self) -> None:
        """A passkey device that always agrees, for this visitor's page."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
        }
        options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        session.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    def assert_clean(self) -> None:
        """No request left this machine, no script failed, nothing met the content security policy."""
        if not self.page.is_closed():
            self.page.evaluate("null")  # what is still on its way here arrives before the answer
        found = {
            "requests to elsewhere": self.left_this_machine,
            "policy violations": self.policy_violations,
            "console errors": self.console_errors,
        }
        assert not any(found.values()), "\n".join(
            f"{what}: {list_}" for what, list_ in found.items() if list_
        )


def axe(page: Page, rules: tuple[str, ...] = AXE_RULES) -> list[dict[str, Any]]:
    """axe's violations on the page as it is now, each with its rule, weight and the elements concerned."""
    options = {"runOnly": {"type": "tag", "values": list(rules)}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        {
            "rule": item["id"],
            "impact": item["impact"],
            "help": item["help"],
            "html": [n["html"] for n in item["nodes"]],
        }
        for item in found
    ]


class Browser:
    """The running Chromium; every visitor is a fresh profile in it."""

    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium

    @contextmanager
    def visitor(self, *, viewport: dict[str, int] | None = None, **options: Any) -> Iterator[Visitor]:
        """``options`` are Playwright's for a context: ``java_script_enabled=False``, ``locale``, ``timezone_id`` ..."""
        context = self.chromium.new_context(viewport=viewport or DESKTOP, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        visitor = Visitor(context, page=None)  # type: ignore[arg-type]

        def requested(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in (
                "localhost",
                "127.0.0.1",
            ):
                visitor.left_this_machine.append(request.url)

        def said(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(_GIVEN_UP):
                visitor.console_errors.append(message.text)

        def violated(what: str) -> None:
            visitor.policy_violations.append(what)

        context.on("request", requested)
        context.on("console", said)
        context.on("weberror", lambda error: visitor.console_errors.append(str(error.error)))
        context.expose_function("reportPolicyViolation", violated)
        context.add_init_script(_REPORT_CSP)
        visitor.page = context.new_page()
        try:
            yield visitor
        finally:
            context.close()


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium that can look up no name but localhost and goes through no proxy."""
    program = programs.require(programs.chromium_program(), "chromium")
    with sync_playwright() as playwright:
        arguments = [
            "--no-proxy-server",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        ]
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=arguments)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


@contextmanager
def running_loop(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Inside the block ``loop`` (None: none) counts as this thread's running event loop.

    Playwright leaves its own marked as running between calls, and Django then refuses the database to everybody.
    """
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)
