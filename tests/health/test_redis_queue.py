"""The broker in Redis: a worker outlives it, whatever the worker has in hand."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress

import pytest
from kombu import Connection, Queue
from kombu.common import ignore_errors
from kombu.transport import TRANSPORT_ALIASES

from tests.rig.redis import redis as start_redis

OURS = TRANSPORT_ALIASES["redis"]
TASKS, ORDERS = Queue("tasks"), Queue("orders")


@pytest.mark.parametrize(
    ("transport", "ends"),
    [
        pytest.param(OURS, nullcontext(), id="ours"),
        pytest.param(
            "kombu.transport.redis:Transport", pytest.raises(AttributeError), id="control-as-it-comes"
        ),
    ],
)
def test_redis_that_goes_away_with_a_task_in_hand_is_no_error_celery_does_not_know(
    transport: str, ends: AbstractContextManager[object]
) -> None:
    with start_redis() as server:
        connection = Connection(server.url(), transport=transport)
        in_hand: list[object] = []
        consumers = [
            connection.Consumer([TASKS], callbacks=[lambda body, _: in_hand.append(body)]),
            connection.Consumer([ORDERS], channel=connection.channel(), callbacks=[lambda *_: None]),
        ]
        for consumer in consumers:
            consumer.consume()
        connection.Producer().publish("a task", routing_key=TASKS.name)
        while not in_hand:
            connection.drain_events(timeout=10)
        # It waits for what comes next, as a worker does.
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
    # What Celery's consumer does about a connection that was lost.
    with suppress(Exception):
        connection.collect()
    with ends:
        ignore_errors(connection, connection.close)
    assert OURS == TRANSPORT_ALIASES["rediss"] == "portal.celery:Transport"
