"""Ways to reach a person: mail through Django, texts through a Twilio-compatible HTTP service."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any
from uuid import UUID, uuid4

import httpx
from django.conf import settings
from django.core.mail import EmailMessage

from . import development

# A look for an earlier attempt, and a sending.
LONGEST_SECONDS = 2 * settings.CARRIER_SECONDS
# Of a carrier's newest messages, so many pages are looked through for one.
_MOST_PAGES, _PAGE_SIZE = 4, 500
_NOT_OUT = frozenset({"failed", "undelivered", "canceled"})


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


def was_refused(code: str) -> bool:
    """Whether that is the code of a carrier's own "no", after which it has surely not taken the message."""
    return bool(re.fullmatch(r"sms \d{3}", code))


def taken_before(channel: str, recipient: str, text: Text, *, since: datetime) -> list[str]:
    """The carrier's ids of what it has taken on since then that says just this to them. Raises ``DeliveryError``.

    None where it cannot be asked: of mail servers, and of SMS services without a list. The question names nobody;
    Twilio's list of Messages, which others copy, begins with the newest and is looked through here.
    """
    if channel != "sms" or not settings.SMS_API_URL:
        return []
    return [
        str(found.get("sid"))
        for found in _newest_texts(since - timedelta(minutes=1))
        if found.get("to") == recipient
        and text.body in str(found.get("body"))
        and found.get("status") not in _NOT_OUT
    ]


def _newest_texts(since: datetime) -> Iterator[dict[str, Any]]:
    """With whatever else is on the page where the older ones begin."""
    ends = time.monotonic() + settings.CARRIER_SECONDS
    url = httpx.URL(_texts_url(), params={"PageSize": _PAGE_SIZE})
    for _ in range(_MOST_PAGES):
        page = _page_of_texts(url)
        texts = [each for each in page.get("messages") or () if isinstance(each, dict)]
        yield from texts
        following = url.join(str(page.get("next_page_uri") or ""))
        is_elsewhere = (following.scheme, following.netloc) != (url.scheme, url.netloc)
        if following == url or is_elsewhere or any(_made_at(each) < since for each in texts):
            return
        if time.monotonic() > ends:
            raise DeliveryError("sms list takes too long")
        url = following


def _page_of_texts(url: httpx.URL) -> dict[str, Any]:
    """Empty when the service has no such list."""
    try:
        response = _client().get(url, auth=(settings.SMS_ACCOUNT_SID, settings.SMS_AUTH_TOKEN))
    except httpx.HTTPError as error:
        raise DeliveryError(f"sms list {type(error).__name__}") from error
    if response.is_success:
        with suppress(ValueError):
            page = response.json()
            return page if isinstance(page, dict) else {}
    elif not _is_final(response.status_code):
        raise DeliveryError(f"sms list {response.status_code}")
    return {}


def _made_at(text: dict[str, Any]) -> datetime:
    """Now, where that is not said as RFC 2822 has it: then it is no sign that the older ones begin."""
    with suppress(ValueError, TypeError):
        at = parsedate_to_datetime(str(text.get("date_created")))
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.now(UTC)


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
    try:
        response = _client().post(
            _texts_url(),
            data={"To": recipient, "From": settings.SMS_FROM, "Body": body},
            auth=(settings.SMS_ACCOUNT_SID, settings.SMS_AUTH_TOKEN),
            headers={"Idempotency-Key": str(key)},
        )
    except httpx.HTTPError as error:
        raise DeliveryError(f"sms {type(error).__name__}") from error
    if response.is_success:
        return _sid(response)
    raise DeliveryError(f"sms {response.status_code}", is_permanent=_is_final(response.status_code))


def _texts_url() -> str:
    return f"{settings.SMS_API_URL.rstrip('/')}/2010-04-01/Accounts/{settings.SMS_ACCOUNT_SID}/Messages.json"


def _is_final(status: int) -> bool:
    """Whether asking the same again cannot help; our key may be mended, and who is busy will have time."""
    return 400 <= status < 500 and status not in (401, 403, 408, 429)


def _sid(response: httpx.Response) -> str:
    try:
        answer: Any = response.json()
    except ValueError:
        return ""
    return str(answer.get("sid", "")) if isinstance(answer, dict) else ""
