"""The Celery app. Tasks carry row ids only; the rows are the truth and the broker the doorbell."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisAway

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


class Channel(redis.Channel):
    """As kombu's, but that one whose connection is gone says so in a way Celery expects.

    Where Redis goes away as a task is in hand, Celery 5.7 closes its connection twice. The second time kombu 5.7 wants to
    give the task back, finds no address to do so, and the AttributeError about that ends the worker.
    """

    def _connparams(self, *args: Any, **options: Any) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisAway("the connection is closed")
        return super()._connparams(*args, **options)  # type: ignore[misc]


class Transport(redis.Transport):
    Channel = Channel


TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
# The tasks are found by importing this module, so that a worker and the web process know the same ones.
app.conf.imports = ("booking.jobs",)
app.set_default()
