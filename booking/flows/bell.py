"""The doorbell of the workers. Ringing it costs the caller nothing, whatever the broker does.

A thread of this process rings; those who come while it does are served by one more ring. A bell that is not heard
costs no message either: the workers look for what is due every few seconds.
"""

from __future__ import annotations

import logging
from contextvars import Context, copy_context
from threading import Lock, Thread

from celery import current_app
from kombu.exceptions import OperationalError

from booking import crash_points

log = logging.getLogger(__name__)


class Bell:
    """One task's; at most one thread rings and one ring waits."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._lock = Lock()
        self._waiting: Context | None = None
        self._ringer: Thread | None = None

    def ring(self) -> None:
        crash_points.reach("committed and bell not rung")
        with self._lock:
            # Whoever waits already is served by the same ring: it goes out after both have committed.
            self._waiting = copy_context()
            if self._ringer is None or not self._ringer.is_alive():
                self._ringer = Thread(target=self._serve, daemon=True, name="bell")
                self._ringer.start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                context, self._waiting = self._waiting, None
                if context is None:
                    self._ringer = None
                    return
            context.run(self._send)

    def _send(self) -> None:
        try:
            current_app.send_task(self._task, retry=False, expires=60)
        except (OperationalError, OSError) as error:
            log.warning("the queue did not take the bell: %s", type(error).__name__)
