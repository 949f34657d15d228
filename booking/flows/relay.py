"""What is due, done without a broker: the way on when the queue, the workers or beat are away.

Everything here works on rows with leases, so it may run beside any number of workers. What has no lease and would ask
the EHR twice is left to them for as long as they are heard of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError, close_old_connections, connections

from booking.scheduling.errors import EhrFailure

from . import ehr_holds, follow_visits, hold_slot, notify, reconcile, sweep_twins
from .confirm_booking import Clock

log = logging.getLogger(__name__)

ALWAYS: dict[str, Callable[[Clock], object]] = {
    "messages": lambda clock: notify.deliver(clock=clock),
    "look-ups": lambda clock: reconcile.reconcile(clock=clock),
}
ALONE: dict[str, Callable[[Clock], object]] = {
    "holds that ended": lambda clock: hold_slot.expire_holds(now=clock()),
    "holds in the EHR": lambda clock: ehr_holds.give_back_due(now=clock()),
    "twins": lambda clock: sweep_twins.sweep(clock=clock),
    "visits to come": lambda clock: follow_visits.follow_visits(clock=clock),
}


def turn(clock: Clock, *, is_alone: bool) -> None:
    """One turn. One kind of work that fails keeps nothing else waiting."""
    for name, work in (ALWAYS | ALONE if is_alone else ALWAYS).items():
        try:
            close_old_connections()
            work(clock)
        except DatabaseError as error:
            log.error("%s: the database did not do it: %s", name, type(error).__name__)
            connections.close_all()
        except EhrFailure as error:
            log.warning("%s: %s (EHR id %s)", name, error, error.correlation_id)


class Watch:
    """Says what is late, each thing once a minute."""

    EVERY_SECONDS = 60

    def __init__(self) -> None:
        self._said: dict[str, datetime] = {}

    def tell(self, late: dict[str, float | None], now: datetime) -> None:
        """``late`` has the age in seconds of what is late, by the part; None where it was never seen."""
        for part, age in late.items():
            said = self._said.get(part)
            if said is None or (now - said).total_seconds() >= self.EVERY_SECONDS:
                self._said[part] = now
                how_long = "never" if age is None else f"for {age:.0f} s"
                log.error("%s is late: %s", part, how_long, extra={"part": part, "age_seconds": age})
        for part in set(self._said) - set(late):
            del self._said[part]
            log.info("%s is well again", part)
