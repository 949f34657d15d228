"""A mail server that keeps what it is given."""

from __future__ import annotations

import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from threading import Condition
from typing import Any

from aiosmtpd.controller import Controller

from .processes import LOOPBACK, free_port


@dataclass
class Mailbox:
    """What arrived, oldest first. Set ``refusal`` ("451 try later") to have messages turned away with it."""

    port: int
    messages: list[EmailMessage] = field(default_factory=list)
    refusal: str | None = None
    refused: int = 0
    _changed: Condition = field(default_factory=Condition, repr=False)

    @property
    def env(self) -> dict[str, str]:
        """What the portal needs to send here."""
        return {"EMAIL_HOST": LOOPBACK, "EMAIL_PORT": str(self.port), "EMAIL_USE_TLS": "false"}

    def to(self, address: str) -> list[EmailMessage]:
        return [message for message in list(self.messages) if address in (message["To"] or "")]

    def wait_for(self, count: int = 1, *, to: str = "", seconds: float = 20.0) -> list[EmailMessage]:
        """At least ``count`` messages (to ``to``), or AssertionError."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.to(to)) >= count, seconds)
        found = self.to(to)
        assert len(found) >= count, (
            f"{len(found)} of {count} messages to {to or 'anyone'} in {seconds} seconds"
        )
        return found

    def clear(self) -> None:
        self.messages.clear()
        self.refusal, self.refused = None, 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        with self._changed:
            if self.refusal:
                self.refused += 1
                return self.refusal
            message = message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
            self._changed.notify_all()
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server on a free port, answered from a thread of this process."""
    box = Mailbox(free_port())
    controller = Controller(box, hostname=LOOPBACK, port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
