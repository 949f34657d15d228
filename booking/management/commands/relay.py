from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from booking import health
from booking.flows import relay


class Command(BaseCommand):
    help = (
        "Send the messages that are due and look up the bookings in doubt, without Redis or Celery, every few seconds. "
        "Runs beside the workers, does all of their work for patients while none is heard of, and says so in the log."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=float, default=2.0, help="from one turn to the next")
        parser.add_argument("--touch", type=Path, help="a file to touch after each turn, for a health check")
        parser.add_argument("--once", action="store_true", help="one turn, with the workers' part, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            relay.turn(timezone.now, is_alone=True)
            return
        stopping = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            # What is in hand is finished first.
            signal.signal(number, lambda *_: stopping.set())
        watch = relay.Watch()
        while not stopping.is_set():
            now = timezone.now()
            try:
                late = health.late(now)
            except DatabaseError:
                late = {"database": None}
            watch.tell(late, now)
            relay.turn(timezone.now, is_alone=health.BEAT in late)
            if options["touch"]:
                options["touch"].touch()
            stopping.wait(options["seconds"])
