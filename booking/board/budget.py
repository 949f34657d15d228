"""How many calls the EHR gets: every one that goes out is counted, and the board's own wait for room.

The limits hold for all processes together, over any second and any minute. A booking is never made to wait for them;
it leaves the board so much less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings

from booking import ehr

from .shared import ask

# What reading ahead leaves to the pages that people look at.
READING_AHEAD = 0.6

_paid: ContextVar[int] = ContextVar("paid", default=0)


def note() -> None:
    """Count a call that is going out, unless it was paid for."""
    paid = _paid.get()
    if paid:
        _paid.set(paid - 1)
    else:
        ask(lambda store: store.note_call())


ehr.count_calls_with(note)


@contextmanager
def paid_call(*, ends: float, share: float = 1.0) -> Iterator[bool]:
    """Room for one call, waited for until ``ends`` (monotonic) at most; gives whether there was any.

    ``share`` is how much of the limits may be used up by then.
    """
    per_second = max(1, int(settings.EHR_CALLS_PER_SECOND * share))
    per_minute = max(1, int(settings.EHR_CALLS_PER_MINUTE * share))
    while wait := ask(lambda store: store.spend(per_second, per_minute)):
        if time.monotonic() + wait > ends:
            yield False
            return
        time.sleep(wait)
    token = _paid.set(1)
    try:
        yield True
    finally:
        _paid.reset(token)
