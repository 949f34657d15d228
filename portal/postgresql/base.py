"""PostgreSQL as Django knows it, but for when a connection is looked at, and how.

A server that ended one has closed it, and that can be seen without asking: the socket has something to read. So one in
steady use is not asked whether it lives, and looked at before each statement outside a transaction, not each request
alone: a page or a job waits for the EHR in between, and what the EHR said must not fail for a connection that ended
meanwhile.
"""

from __future__ import annotations

import select
import time

from django.db.backends.postgresql import base

# A connection that lay idle for longer may have been forgotten by something on the way, which tells nobody.
IDLE_SECONDS = 5


class DatabaseWrapper(base.DatabaseWrapper):
    _used_at = 0.0

    def close_if_health_check_failed(self) -> None:
        # Asked too as a connection is made and as a transaction ends, where nothing must come in between.
        if self.connection is not None and self.connection.autocommit and not self.in_atomic_block:
            self.health_check_done = False
        super().close_if_health_check_failed()

    def is_usable(self) -> bool:
        now = time.monotonic()
        is_open = self.connection is not None and not self.connection.closed
        is_steady = is_open and now < self._used_at + IDLE_SECONDS
        is_good = (is_steady and not _has_word(self.connection.fileno())) or super().is_usable()
        self._used_at = now if is_good else 0.0
        return is_good


def _has_word(descriptor: int) -> bool:
    """Whether the server sent something that nobody asked for: its good-bye, or a notice."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
