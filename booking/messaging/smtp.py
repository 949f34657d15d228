"""Django's mail backend, given up after ``CARRIER_SECONDS`` whatever the server does.

``EMAIL_TIMEOUT`` is per socket operation: a server that takes its time over each reply, or sends it byte by byte, could
hold a worker for minutes and outlast the lease of the message.
"""

from __future__ import annotations

import smtplib
import socket
from contextlib import ExitStack, suppress
from threading import Event, Thread
from typing import Any

from django.conf import settings
from django.core.mail.backends import smtp

# A connection that is being made, or is just taking up TLS, cannot be ended yet: it is tried again until it can.
_AGAIN_SECONDS = 0.2
_TRIES = 100


class _Bounded(smtplib.SMTP):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._is_over = Event()
        Thread(target=self._end, daemon=True, name="mail that takes too long").start()
        with ExitStack() as unless_it_is_made:
            unless_it_is_made.callback(self.close)
            super().__init__(*args, **kwargs)
            unless_it_is_made.pop_all()

    def _end(self) -> None:
        seconds: float = settings.CARRIER_SECONDS
        for _ in range(_TRIES):
            if self._is_over.wait(seconds):
                return
            seconds = _AGAIN_SECONDS
            with suppress(OSError):
                if (mine := self.sock) is not None:
                    # Not an SSLSocket's own way, which would let what follows go out in the clear.
                    socket.socket.shutdown(mine, socket.SHUT_RDWR)
                    return

    def close(self) -> None:
        self._is_over.set()
        super().close()


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _Bounded
