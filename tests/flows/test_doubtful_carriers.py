"""Carriers that hang, talk without end or lose their answer: nothing is sent twice that need not be, nothing is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection

from booking.flows import database_away, notify
from booking.messaging import channels
from booking.messaging.texts import render
from booking.models import Booking, Message
from tests import factories
from tests.journeys.steps import eventually
from tests.rig import sms
from tests.rig.sms import Mode, Text

from .test_notify import MOBILE, owed, state


def lose_the_answer(texts, clock) -> None:
    """The carrier takes what is due and does not say so."""
    texts.mode = Mode.ACCEPT_THEN_RESET
    assert notify.deliver(clock=clock) == 0
    texts.mode = Mode.OK


@pytest.mark.django_db
def test_a_text_whose_answer_is_lost_is_looked_up_and_not_sent_again(clock, texts):
    message = owed(clock)
    lose_the_answer(texts, clock)
    assert state(message)[0] == "due"
    assert notify.deliver(clock=clock.ticked(10)) == 1
    assert ([text.to for text in texts.texts], state(message)) == ([MOBILE], ("sent", 2, ""))
    assert message.provider_id == texts.texts[0].sid


@pytest.mark.django_db
def test_where_a_carrier_cannot_be_asked_a_text_whose_answer_is_lost_is_sent_again(clock, texts):
    """At least once: the carrier took it and we cannot know."""
    message = owed(clock)
    texts.has_list = False
    lose_the_answer(texts, clock)
    assert notify.deliver(clock=clock.ticked(10)) == 1
    assert ([text.to for text in texts.texts], state(message)) == ([MOBILE] * 2, ("sent", 2, ""))


@pytest.mark.parametrize("patience", [0, database_away.WORKER_SECONDS])
def test_a_worker_records_what_went_out_once_a_crashed_database_is_back(
    clock, texts, crashes, monkeypatch, patience
):
    """Without patience it goes out twice, where the carrier cannot be asked: the control."""
    message = owed(clock)
    texts.has_list = False
    monkeypatch.setattr(database_away, "WORKER_SECONDS", patience)
    crash_once(texts, lambda: crashes.crash(1 if patience else None), monkeypatch)
    assert notify.deliver(clock=clock, most=1) == bool(patience)
    crashes.bring_back()
    notify.deliver(clock=clock.ticked(notify.LEASE.total_seconds()))
    twice = not patience
    assert (len(texts.texts), state(message)) == (1 + twice, ("sent", 1 + twice, ""))


def crash_once(texts, crash, monkeypatch) -> None:
    """The database is away from when the carrier is brought the first text."""
    is_allowed = sms._Handler._is_allowed

    def crash_first(handler) -> bool:
        if texts.requests == 1 and handler.command == "POST":
            crash()
        return is_allowed(handler)

    monkeypatch.setattr(sms._Handler, "_is_allowed", crash_first)


@pytest.mark.parametrize("patience", [0, database_away.WORKER_SECONDS])
def test_what_a_carrier_turned_away_as_the_database_crashed_comes_again_in_time(
    clock, texts, crashes, monkeypatch, patience
):
    """Without patience it waits for the end of its lease."""
    message = owed(clock)
    texts.mode = Mode.TOO_MANY
    monkeypatch.setattr(database_away, "WORKER_SECONDS", patience)
    crash_once(texts, lambda: crashes.crash(1 if patience else None), monkeypatch)
    assert notify.deliver(clock=clock, most=1) == 0
    crashes.bring_back()
    message.refresh_from_db()
    is_leased = message.lease_until is not None
    assert (is_leased, message.due_at - clock()) == (not patience, timedelta(seconds=10 if patience else 0))


@pytest.mark.django_db
def test_what_was_refused_and_then_sent_by_a_worker_that_died_is_looked_for(clock, texts):
    message = owed(clock)
    texts.mode = Mode.BROKEN
    notify.deliver(clock=clock)
    texts.mode = Mode.OK
    dying = notify._claim(clock.tick(10))
    texts.accept(Text(MOBILE, "us", render(dying).body))
    assert (notify.deliver(clock=clock.ticked(notify.LEASE.total_seconds())), len(texts.texts)) == (1, 1)
    assert state(message) == ("sent", 3, "")


@pytest.mark.django_db
def test_a_list_that_does_not_come_is_asked_for_again_before_anything_is_sent(clock, texts):
    message = owed(clock)
    lose_the_answer(texts, clock)
    texts.mode = Mode.BROKEN
    assert (notify.deliver(clock=clock.ticked(10)), texts.requests) == (0, 1)
    assert state(message) == ("due", 2, "sms list 500")
    texts.mode = Mode.OK
    assert (notify.deliver(clock=clock.ticked(30)), len(texts.texts)) == (1, 1)
    assert state(message) == ("sent", 3, "")


@pytest.mark.django_db
def test_two_messages_that_say_the_same_are_both_delivered(clock, texts):
    """The first met a server that had not taken it and could not say so; the second's copy is not the first's."""
    first = owed(clock, "needs_staff")
    texts.mode = Mode.HANG
    texts.release()
    assert notify.deliver(clock=clock) == 0
    texts.mode = Mode.OK
    second = owed(clock, "needs_staff", starts_at=first.booking.starts_at + timedelta(days=1))
    Booking.objects.filter(pk=second.booking_id).update(
        starts_at=first.booking.starts_at,
        ends_at=first.booking.ends_at,
        clinician=factories.clinician("Else"),
    )
    assert notify.deliver(clock=clock) == 1
    assert (state(first)[0], state(second)[0], len(texts.texts)) == ("due", "sent", 1)
    assert (notify.deliver(clock=clock.ticked(10)), texts.looks) == (1, 1)
    one, other = texts.texts
    assert (one.body, one.to, state(first)[0]) == (other.body, other.to, "sent")
    assert [second.provider_id, first.provider_id] == [one.sid, other.sid]


@pytest.mark.django_db
def test_what_was_taken_for_somebody_else_is_not_ours(clock, texts):
    """The same words to another number, with nothing on record of it."""
    first = owed(clock, "needs_staff")
    texts.mode = Mode.HANG
    texts.release()
    notify.deliver(clock=clock)
    texts.mode = Mode.OK
    body = render(Message.objects.get(pk=first.pk)).body
    texts.accept(Text("+15105550199", "us", body))
    assert (notify.deliver(clock=clock.ticked(10)), [text.to for text in texts.texts]) == (
        1,
        ["+15105550199", MOBILE],
    )


@pytest.mark.django_db
def test_a_text_is_found_behind_newer_ones(clock, texts):
    message = owed(clock)
    lose_the_answer(texts, clock)
    for number in range(5):
        texts.accept(Text(f"+1510555020{number}", "us", "Something else"))
    texts.page_size = 2
    assert (notify.deliver(clock=clock.ticked(10)), texts.looks, len(texts.texts)) == (1, 3, 6)
    assert state(message) == ("sent", 2, "")


@pytest.fixture
def slow_mail(settings) -> Iterator[socket.socket]:
    """A mail server that takes connections and says nothing until it is closed."""
    settings.EMAIL_BACKEND, settings.EMAIL_USE_TLS = "booking.messaging.smtp.EmailBackend", False
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.EMAIL_HOST, settings.EMAIL_PORT = listener.getsockname()
        yield listener


@pytest.mark.django_db(transaction=True)
def test_a_message_is_its_workers_from_the_moment_it_is_leased_however_long_the_others_took(
    clock, texts, slow_mail
):
    """A run is not young when it comes to its last message, and so were leases that counted from its beginning."""
    owed(clock)
    mail = owed(clock, contact_channel="email", contact_value="ana@mail.example")
    began = clock()

    def work() -> None:
        try:
            notify.deliver(clock=lambda: clock.tick(20))
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: Message.objects.get(pk=mail.pk).lease_until is not None)
    leased_at = clock()
    assert (len(texts.texts), leased_at - began) == (1, timedelta(seconds=60))
    # Where the lease ended that counted from the beginning of the run.
    at = began + timedelta(seconds=20) + notify.LEASE
    assert (notify.deliver(clock=lambda: at), state(mail)) == (0, ("due", 1, ""))
    mail.refresh_from_db()
    assert mail.lease_until == leased_at + notify.LEASE
    slow_mail.close()
    worker.join()


def test_a_message_is_leased_for_longer_than_a_carrier_is_waited_for(settings):
    assert notify.LEASE.total_seconds() > settings.CARRIER_SECONDS
    # A look for an earlier attempt, a sending, and the wait for a database to write down how it went.
    longest = notify.LONGEST_RUN_SECONDS + channels.LONGEST_SECONDS + database_away.WORKER_SECONDS
    assert longest < settings.CELERY_TASK_SOFT_TIME_LIMIT


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("backend", ["django.core.mail.backends.smtp", "booking.messaging.smtp"])
def test_a_mail_server_that_never_stops_talking_is_given_up(clock, slow_mail, settings, backend):
    """The control is Django's own: its limit is for each read, and it would listen for as long as there is a word."""
    settings.EMAIL_BACKEND, settings.CARRIER_SECONDS = f"{backend}.EmailBackend", 1
    message = owed(clock, contact_channel="email", contact_value="ana@mail.example")
    ends = threading.Event()

    def talk() -> None:
        talking, _ = slow_mail.accept()
        with talking, suppress(OSError):
            while not ends.wait(0.1):
                talking.sendall(b"220-one moment\r\n")

    def work() -> None:
        try:
            notify.deliver(clock=clock)
        finally:
            connection.close()

    talker, worker = threading.Thread(target=talk), threading.Thread(target=work)
    talker.start()
    worker.start()
    is_ours = backend == "booking.messaging.smtp"
    worker.join(20 if is_ours else 4)
    is_given_up = not worker.is_alive()
    ends.set()
    worker.join()
    talker.join()
    assert is_given_up == is_ours
    assert state(message) == ("due", 1, "smtp SMTPServerDisconnected")


@pytest.mark.django_db
def test_texts_do_not_wait_behind_mails_that_nobody_takes(clock, texts, slow_mail, settings):
    settings.EMAIL_TIMEOUT = 0.2
    mails = [owed(clock, contact_channel="email", contact_value=f"{n}@mail.example") for n in range(3)]
    text = owed(clock.ticked(1))
    assert (notify.deliver(clock=clock, most=2), state(text)) == (1, ("sent", 1, ""))
    assert [state(mail)[1] for mail in mails] == [1, 0, 0]
    # And none is forgotten for it.
    assert (notify.deliver(clock=clock), [state(mail)[1] for mail in mails]) == (0, [1, 1, 1])
