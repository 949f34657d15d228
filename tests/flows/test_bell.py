"""The bell costs nobody who rings it anything, and all who ring while it is held up are served by one more ring."""

from __future__ import annotations

import threading
import time

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from booking.ehr import correlation_id
from booking.flows.bell import Bell


class Broker:
    """Takes each bell only when told to; keeps under whose correlation id it came."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.lets_through = threading.Event()
        self.reached = threading.Event()

    def send_task(self, name: str, **options: object) -> None:
        self.reached.set()
        assert self.lets_through.wait(10)
        self.heard.append(correlation_id.get())


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(current_app, "send_task", broker.send_task)
    return broker


def ring_as(bell: Bell, who: str) -> None:
    token = correlation_id.set(who)
    bell.ring()
    correlation_id.reset(token)


def wait_until_quiet() -> None:
    ends = time.monotonic() + 10
    while any(thread.name == "bell" for thread in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_broker_that_hangs_holds_up_nobody_and_is_rung_once_more_for_all(broker: Broker) -> None:
    bell = Bell("booking.jobs.deliver_messages")
    ring_as(bell, "first")
    assert broker.reached.wait(10)
    began = time.monotonic()
    for number in range(100):
        ring_as(bell, f"later {number}")
    assert time.monotonic() - began < 0.5
    assert sum(thread.name == "bell" for thread in threading.enumerate()) == 1
    broker.lets_through.set()
    wait_until_quiet()
    assert broker.heard == ["first", "later 99"]


def test_a_bell_rings_again_after_it_has_been_quiet(broker: Broker) -> None:
    broker.lets_through.set()
    bell = Bell("booking.jobs.deliver_messages")
    for who in ("first", "second"):
        ring_as(bell, who)
        wait_until_quiet()
    assert broker.heard == ["first", "second"]


def test_a_broker_that_is_away_ends_no_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", away)
    bell = Bell("booking.jobs.deliver_messages")
    bell.ring()
    wait_until_quiet()
    bell.ring()
    wait_until_quiet()
