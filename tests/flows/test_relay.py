"""Messages and look-ups without Redis, without workers, and after a kill between sending and writing it down."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from booking import health
from booking.flows import notify, relay
from booking.models import Booking, Message
from tests import factories
from tests.rig.processes import ROOT, clean_environment, free_port

MOBILE = "+15105550123"
pytestmark = pytest.mark.django_db(transaction=True)


def owed(number: str = MOBILE) -> Message:
    now = timezone.now()
    visit = factories.booking(contact_channel="mobile", contact_value=number, text_consent_at=now)
    message = notify.owe(visit, "confirmation", now=now)
    assert message is not None
    return message


def relay_process(sms_gateway: Any, tmp_path: Path, *args: str, **env: str) -> subprocess.Popen[str]:
    """A relay on this test's database, whose Redis nobody runs."""
    at = connection.settings_dict
    url = f"postgres://{at['USER']}@{at['HOST']}:{at['PORT']}/{connection.settings_dict['NAME']}"
    return subprocess.Popen(
        [sys.executable, "manage.py", "relay", "--seconds", "0.2", *args],
        cwd=ROOT,
        env=clean_environment(
            PORTAL_MODE="test",
            DATABASE_URL=url,
            REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
            VAR_DIR=str(tmp_path),
            **sms_gateway.env,
            **env,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_relay_sends_what_is_due_while_redis_is_away(texts, tmp_path):
    messages = [owed(f"+1510555{number:04d}") for number in range(5)]
    process = relay_process(texts, tmp_path)
    try:
        with suppress(TimeoutError):
            texts.wait_for(5, seconds=60)
        process.send_signal(signal.SIGTERM)
        words, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, words
    assert {text.to for text in texts.texts} == {message.recipient for message in messages}
    assert set(Message.objects.values_list("state", "attempts")) == {("sent", 1)}
    assert "beat is late: never" in words


@pytest.mark.parametrize(("has_list", "copies"), [(True, 1), (False, 2)])
def test_what_a_killed_relay_had_sent_and_not_written_down_goes_out_once_more_only_where_nobody_can_be_asked(
    texts, tmp_path, has_list, copies
):
    """At least once: the lease of the dead one runs out, and the carrier is asked, or can tell by the key that it has it."""
    texts.has_list = has_list
    message = owed()
    points = tmp_path / "points"
    points.mkdir()
    (points / "message sent and not recorded").touch()
    process = relay_process(texts, tmp_path, PORTAL_CRASH_DIR=str(points))
    words, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, words
    message.refresh_from_db()
    assert (len(texts.texts), message.state, message.attempts, message.fence) == (1, "due", 1, 1)
    assert message.lease_until is not None
    now = timezone.now()
    assert (notify.deliver(clock=lambda: now), len(texts.texts)) == (0, 1)
    later = now + notify.LEASE
    assert (notify.deliver(clock=lambda: later), len(texts.texts)) == (1, copies)
    message.refresh_from_db()
    assert (message.state, message.attempts, message.fence, message.lease_until) == ("sent", 2, 2, None)
    assert notify.deliver(clock=lambda: later + timedelta(days=1)) == 0


def test_one_turn_does_the_workers_part_as_well(texts):
    message = owed()
    lapsed = factories.booking(
        state="held", hold_expires_at=timezone.now() - timedelta(minutes=1), appointment_ref=""
    )
    call_command("relay", once=True)
    message.refresh_from_db()
    assert (message.state, Booking.objects.get(pk=lapsed.pk).state) == ("sent", "expired")


def test_what_is_late_is_said_once_a_minute_and_when_it_is_well_again(caplog):
    caplog.set_level(logging.INFO, logger="booking.flows.relay")
    watch, now = relay.Watch(), timezone.now()
    for seconds in range(0, 130, 10):
        watch.tell({"outbox": 70.0 + seconds}, now + timedelta(seconds=seconds))
    watch.tell({}, now + timedelta(seconds=131))
    assert [record.getMessage() for record in caplog.records] == [
        "outbox is late: for 70 s",
        "outbox is late: for 130 s",
        "outbox is late: for 190 s",
        "outbox is well again",
    ]


def test_late_is_what_is_due_and_in_nobodys_hands():
    now = timezone.now()
    health.beat(now)
    message = owed()
    assert health.late(now + timedelta(seconds=20)) == {}
    silent = health.late(now + timedelta(seconds=90))
    assert set(silent) == {"beat", "outbox"}
    Message.objects.filter(pk=message.pk).update(lease_until=now + timedelta(seconds=200))
    health.beat(now + timedelta(seconds=90))
    assert health.late(now + timedelta(seconds=90)) == {}
    # A cancel that nobody looks at counts as a booking in doubt does.
    Booking.objects.update(state="cancelling", look_up_at=now)
    assert set(health.late(now + timedelta(seconds=90))) == {"reconcile"}
