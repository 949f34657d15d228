"""When the database is away for a moment just as there is something to write that nobody else knows.

A database that crashed is back within seconds. What a carrier or the EHR said to one process would be lost with the
error: the message would go out twice, and a visit that is made would be looked for until it is found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InternalError, OperationalError, connection, models

T = TypeVar("T")
log = logging.getLogger(__name__)

# As long as somebody waits for a page; a worker has more time.
PAGE_SECONDS = 5.0
WORKER_SECONDS = 15.0
_AGAIN_SECONDS = 0.3
# The second is what one says that is no longer the primary, and may not be written to.
AWAY = (OperationalError, InternalError)


def outlast(write: Callable[[], T], *, about: models.Model, seconds: float | None = None) -> T:
    """What ``write`` returns, tried anew while the database is away. ``about`` is each time as it was at first.

    ``write`` sets states by compare-and-set, so that one whose commit was done and not told of does nothing more.
    Raises what is in ``AWAY`` after so many seconds (a page's, if none are given), and at once within a transaction,
    which is lost as a whole.
    """
    ends = time.monotonic() + (PAGE_SECONDS if seconds is None else seconds)
    as_it_was = dict(vars(about))
    while True:
        try:
            return write()
        except AWAY as error:
            if connection.in_atomic_block or time.monotonic() >= ends:
                raise
            log.warning("waiting for the database, which is away: %s", type(error).__name__)
            vars(about).update(as_it_was)
            connection.close()
            time.sleep(_AGAIN_SECONDS)
