"""Proof that a guest can be reached: a code sent by mail or text and entered here. It signs nobody in.

Built on allauth's code verification and rate limits. The code is kept as a keyed hash, bound to this session and
good for ten minutes, five tries and one use.
"""

from __future__ import annotations

import hmac
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.code_verification import AbstractCodeVerificationProcess
from allauth.core import ratelimit
from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, get_random_string, salted_hmac

from booking.messaging import channels

SESSION_KEY = "contact_code"
MOST_TRIES = 5
LIVES_SECONDS = 600
MOST_RESENDS = 3


class TooManyCodes(Exception):
    """This contact, or this network, has been sent enough codes for now."""


class ContactCode(AbstractCodeVerificationProcess):
    """One code under way. ``state`` lives in the session."""

    def __init__(self, request: HttpRequest, state: dict[str, Any]) -> None:
        super().__init__(max_attempts=MOST_TRIES, timeout=LIVES_SECONDS, state=state)
        self.request = request

    @classmethod
    def initiate(cls, request: HttpRequest, *, channel: str, value: str) -> ContactCode:
        """Send a code. Raises ``TooManyCodes`` or ``channels.DeliveryError``."""
        key = "email" if channel == "email" else "phone"
        process = cls(request, cls.initial_state(None, **{key: value}))
        process.send()
        process.persist()
        return process

    @classmethod
    def resume(cls, request: HttpRequest) -> ContactCode | None:
        state = request.session.get(SESSION_KEY)
        return cls(request, dict(state)).abort_if_invalid() if state else None

    @property
    def channel(self) -> str:
        return "email" if "email" in self.state else "mobile"

    @property
    def value(self) -> str:
        return str(self.state.get("email") or self.state["phone"])

    @property
    def can_resend(self) -> bool:
        return not self.is_resend_quota_reached(MOST_RESENDS)

    def send(self) -> None:
        # The contact itself must not become a cache key.
        key = hmac.new(settings.SECRET_KEY.encode(), self.value.lower().encode(), "sha256").hexdigest()
        if not ratelimit.consume(self.request, action="contact_code", key=key):
            raise TooManyCodes
        code = get_random_string(6, "0123456789")
        self.state["code_hash"] = self._hash(code)
        self.state["failed_attempts"] = 0
        if self.channel == "email":
            get_adapter().send_mail(
                "account/email/contact_code", self.value, {"code": code, "request": self.request}
            )
        else:
            text = f"{settings.CLINIC_NAME}: your code is {code}. It works for 10 minutes. We never ask for it by phone."
            channels.send_now("sms", self.value, channels.Text(text))

    def resend(self) -> None:
        self.record_resend()
        self.send()
        self.persist()

    def verify(self, entered: str) -> bool:
        """Whether the code is right. A right one is used up; the last wrong one ends the process."""
        if constant_time_compare(self._hash(entered), self.state.get("code_hash", "")):
            self.abort()
            return True
        self.record_invalid_attempt()
        return False

    def persist(self) -> None:
        self.request.session[SESSION_KEY] = self.state

    def abort(self) -> None:
        self.request.session.pop(SESSION_KEY, None)

    def _hash(self, code: str) -> str:
        return salted_hmac("booking.contact-code", f"{self.value}:{code}", algorithm="sha256").hexdigest()
