"""How often appointments are read because the EHR tells of them, over all processes together: each once at first and
once more for all that follows closely, and of all no more than EHR_NOTICE_READS_PER_MINUTE."""

from __future__ import annotations

import hashlib
import logging

from django.conf import settings
from django.core.cache import cache

log = logging.getLogger(__name__)

TOGETHER_SECONDS = 3


def seconds_until_look(ref: str) -> int | None:
    """How long to wait with the look that a notice asks for; None where one to come serves it as well.

    What follows a first notice closely may tell of more than that look saw, hence one at the end.
    """
    now, again = _keys(ref)
    if cache.add(now, True, TOGETHER_SECONDS):
        return 0
    return TOGETHER_SECONDS if cache.add(again, True, TOGETHER_SECONDS) else None


def forget(ref: str) -> None:
    """The look did not come about: the next notice is a first one."""
    cache.delete_many(_keys(ref))


def has_room(*, at: float) -> bool:
    """Count one read; whether it is among those that this minute (of epoch seconds ``at``) has room for."""
    key, most = f"notice:reads:{int(at) // 60}", settings.EHR_NOTICE_READS_PER_MINUTE
    cache.add(key, 0, 120)
    try:
        count = cache.incr(key)
    except ValueError:
        # Evicted between the two: a new count begins.
        return True
    if count == most + 1:
        log.warning("more than %d notices in this minute: the rest waits for the ordinary look", most)
    return bool(count <= most)


def _keys(ref: str) -> list[str]:
    told = hashlib.blake2b(ref.encode(), digest_size=12).hexdigest()
    return [f"notice:{told}:now", f"notice:{told}:again"]
