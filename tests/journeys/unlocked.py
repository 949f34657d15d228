"""The portal with its guards against double booking taken out: what the race tests must catch. Never served but there."""

# ruff: noqa: I001 - the portal's WSGI module sets Django up, which everything below it needs

from __future__ import annotations

import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from portal.wsgi import application
from booking.flows import confirm_booking, hold_slot

__all__ = ["application"]

_is_free = hold_slot.is_free


def _is_free_and_slow(*args: Any, **kwargs: Any) -> bool:
    """The gap between looking and writing, held open as a busy server would."""
    found = _is_free(*args, **kwargs)
    time.sleep(1.5)
    return found


# With the lock alone taken out, those who hold the time twice still find one another at the last look and are refused.
confirm_booking.last_look = lambda booking, *, now: None
hold_slot.lock_clinician = lambda clinician_id: None
hold_slot.transaction = SimpleNamespace(atomic=nullcontext)  # type: ignore[assignment]
hold_slot.is_free = _is_free_and_slow
