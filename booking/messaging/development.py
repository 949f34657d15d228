"""Mail and texts of the demo, kept as files under VAR_DIR and shown on the development page. Never in production."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

MOST_KEPT = 200


def _folder() -> Path:
    folder = Path(settings.VAR_DIR) / "messages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(channel: str, to: str, subject: str, body: str) -> str:
    now = timezone.now()
    name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
    entry = {
        "id": name,
        "channel": channel,
        "to": to,
        "subject": subject,
        "body": body,
        "sent_at": now.isoformat(),
    }
    folder = _folder()
    draft = folder / f".{name}"
    draft.write_text(json.dumps(entry), encoding="utf-8")
    # Readers see a whole file or none.
    draft.rename(folder / f"{name}.json")
    for old in sorted(folder.glob("*.json"))[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
    return name


def latest(count: int = 50) -> list[dict[str, Any]]:
    """The newest first, each with the links its body holds."""
    entries = []
    for path in sorted(_folder().glob("*.json"), reverse=True)[:count]:
        entry = json.loads(path.read_text(encoding="utf-8"))
        entry["links"] = re.findall(r"https?://[^\s<>]+", entry["body"])
        entries.append(entry)
    return entries


class EmailBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            for recipient in message.recipients():
                keep("email", recipient, str(message.subject), str(message.body))
        return len(email_messages)
