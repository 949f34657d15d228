"""Ways to reach a person: mail through Django, texts through a Twilio-compatible HTTP service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any
from uuid import UUID, uuid4

import httpx
from django.conf import settings
from django.core.mail import EmailMessage

from . import development


@dataclass(frozen=True, slots=True)
class Text:
    """What to say. ``subject`` and ``attachments`` (name, content, type) are for mail only."""

    body: str
    subject: str = ""
    attachments: tuple[tuple[str, str, str], ...] = ()


class DeliveryError(Exception):
    """Not delivered, or not surely. ``code`` is for logs; ``is_permanent`` says that trying again cannot help."""

    def __init__(self, code: str, *, is_permanent: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.is_permanent = is_permanent


def send_now(channel: str, recipient: str, text: Text) -> None:
    """Deliver something that is worth nothing later, such as a code. Raises ``DeliveryError``."""
    send(channel, recipient, text, key=uuid4())


def send(channel: str, recipient: str, text: Text, *, key: UUID) -> str:
    """Deliver and return the carrier's id. ``key`` is the same on every attempt at one message, so that a carrier
    that knows it delivers once. Raises ``DeliveryError``."""
    if channel == "sms":
        return _send_sms(recipient, text.body, key)
    return _send_mail(recipient, text, key)


def _send_mail(recipient: str, text: Text, key: UUID) -> str:
    # Mail systems that see one Message-ID twice keep one copy.
    domain = settings.DEFAULT_FROM_EMAIL.rsplit("@", 1)[-1].strip(">")
    message_id = f"<{key}@{domain}>"
    mail = EmailMessage(text.subject, text.body, to=[recipient], headers={"Message-ID": message_id})
    for name, content, content_type in text.attachments:
        mail.attach(name, content, content_type)
    try:
        mail.send()
    except SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise DeliveryError(f"smtp {codes}", is_permanent=all(code >= 500 for code in codes)) from error
    except SMTPDataError as error:
        raise DeliveryError(f"smtp {error.smtp_code}", is_permanent=error.smtp_code >= 500) from error
    except SMTPResponseException as error:
        raise DeliveryError(f"smtp {error.smtp_code}") from error
    except (SMTPException, OSError) as error:
        raise DeliveryError(f"smtp {type(error).__name__}") from error
    return message_id


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    # A place in the pool, a connection, TLS, the request and its answer may each take as long.
    return httpx.Client(timeout=settings.CARRIER_SECONDS / 5, follow_redirects=False, trust_env=False)


def _send_sms(recipient: str, body: str, key: UUID) -> str:
    """The Messages resource of Twilio's API (2010-04-01), which other carriers copy."""
    if not settings.SMS_API_URL:
        if settings.IS_PRODUCTION:
            raise DeliveryError("sms is not set up", is_permanent=True)
        return development.keep("sms", recipient, "", body)
    url = f"{settings.SMS_API_URL.rstrip('/')}/2010-04-01/Accounts/{settings.SMS_ACCOUNT_SID}/Messages.json"
    try:
        response = _client().post(
            url,
            data={"To": recipient, "From": settings.SMS_FROM, "Body": body},
            auth=(settings.SMS_ACCOUNT_SID, settings.SMS_AUTH_TOKEN),
            headers={"Idempotency-Key": str(key)},
        )
    except httpx.HTTPError as error:
        raise DeliveryError(f"sms {type(error).__name__}") from error
    if response.is_success:
        return _sid(response)
    is_permanent = 400 <= response.status_code < 500 and response.status_code not in (401, 403, 408, 429)
    raise DeliveryError(f"sms {response.status_code}", is_permanent=is_permanent)


def _sid(response: httpx.Response) -> str:
    try:
        answer: Any = response.json()
    except ValueError:
        return ""
    return str(answer.get("sid", "")) if isinstance(answer, dict) else ""
