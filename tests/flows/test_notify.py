"""Messages owed and delivered: one row per kind, at least one delivery each, and a late worker changes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from celery import current_app
from django.db import IntegrityError, connection, transaction
from kombu.exceptions import OperationalError

from booking.flows import notify
from booking.models import Message
from tests import factories
from tests.rig.processes import free_port
from tests.rig.sms import Mode

MOBILE = "+15105550123"
TEXTS = {"contact_channel": "mobile", "contact_value": MOBILE}
WAITS = (10, 30, 60, 120, 300, 900, 1800, 3600, 7200)


def owed(clock, kind: str = "confirmation", **booking) -> Message:
    """A text message by default."""
    made = factories.booking(**{**TEXTS, "text_consent_at": clock(), **booking})
    message = notify.owe(made, kind, now=clock())
    assert message is not None
    return message


def state(message: Message) -> tuple[str, int, str]:
    message.refresh_from_db()
    return message.state, message.attempts, message.last_error


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "email", "expected"),
    [
        pytest.param({**TEXTS, "consents": True}, "ana@x.example", ("sms", MOBILE), id="texts-agreed-to"),
        pytest.param(TEXTS, "ana@x.example", ("email", "ana@x.example"), id="a-number-without-consent"),
        pytest.param(TEXTS, "", None, id="a-number-without-consent-and-no-mail"),
        pytest.param(
            {"contact_channel": "email", "contact_value": "b@x.example"},
            "ana@x.example",
            ("email", "b@x.example"),
            id="the-address-they-proved",
        ),
        pytest.param(
            {"contact_channel": "email", "contact_value": "b@x.example", "consents": True},
            "",
            ("email", "b@x.example"),
            id="consent-to-texts-without-a-number",
        ),
    ],
)
def test_a_channel_is_one_the_patient_proved_and_agreed_to(clock, fields, email, expected):
    fields = dict(fields)
    consents = fields.pop("consents", False)
    made = factories.booking(
        **fields, patient=factories.patient(email=email), text_consent_at=clock() if consents else None
    )
    assert notify.channel_for(made) == expected
    message = notify.owe(made, "confirmation", now=clock())
    assert (message and (message.channel, message.recipient)) == expected


@pytest.mark.django_db
def test_a_message_of_a_kind_is_owed_once(clock):
    message = owed(clock)
    again = notify.owe(message.booking, "confirmation", now=clock.tick(60))
    other = notify.owe(message.booking, "needs_staff", now=clock())
    assert (again.pk, again.due_at) == (message.pk, message.due_at)
    assert sorted(Message.objects.values_list("kind", flat=True)) == ["confirmation", "needs_staff"]
    assert other.pk != message.pk


@pytest.mark.django_db
def test_the_database_refuses_a_second_message_of_a_kind(clock):
    message = owed(clock)
    copy = {"channel": "sms", "recipient": MOBILE, "due_at": clock()}
    with pytest.raises(IntegrityError, match="message_one_per_kind"), transaction.atomic():
        Message.objects.create(booking=message.booking, kind="confirmation", **copy)


@pytest.mark.django_db
def test_a_text_is_delivered_once_and_written_down(clock, texts):
    message = owed(clock)
    assert [notify.deliver(clock=clock), notify.deliver(clock=clock.ticked(3600))] == [1, 0]
    (text,) = texts.texts
    assert (text.to, texts.requests) == (MOBILE, 1)
    message.refresh_from_db()
    assert (message.state, message.attempts, message.lease_until, message.last_error) == ("sent", 1, None, "")
    assert message.sent_at == clock() - timedelta(hours=1)
    assert message.provider_id.startswith("SM")


@pytest.mark.django_db
def test_a_mail_is_delivered_once_with_a_name_of_its_own(clock, mails, settings):
    message = owed(clock, contact_channel="email", contact_value="ana@mail.example")
    assert [notify.deliver(clock=clock), notify.deliver(clock=clock.ticked(3600))] == [1, 0]
    (mail,) = mails.wait_for(1, to="ana@mail.example")
    assert mail["Message-ID"] == f"<{message.pk}@juniper.example>"
    assert mail["Subject"] == f"{settings.CLINIC_NAME}: your visit is booked"
    assert state(message) == ("sent", 1, "")


@pytest.mark.django_db
def test_what_is_not_due_yet_waits(clock, texts):
    message = owed(clock)
    Message.objects.update(due_at=clock() + timedelta(seconds=60))
    assert [notify.deliver(clock=clock.ticked(59)), notify.deliver(clock=clock.ticked(1))] == [0, 1]
    assert state(message)[0] == "sent"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "error"), [(Mode.BROKEN, "sms 500"), (Mode.TOO_MANY, "sms 429")], ids=["broken", "too-many"]
)
def test_a_failed_text_is_tried_again_on_schedule_and_then_given_up(clock, texts, mode, error):
    message = owed(clock)
    texts.mode = mode
    assert notify.deliver(clock=clock) == 0
    for attempt, seconds in enumerate(WAITS, start=1):
        assert state(message) == ("due", attempt, error)
        assert message.due_at == clock() + timedelta(seconds=seconds)
        assert (notify.deliver(clock=clock.ticked(seconds - 1)), texts.requests) == (0, attempt)
        assert (notify.deliver(clock=clock.ticked(1)), texts.requests) == (0, attempt + 1)
    assert state(message) == ("dead", 10, error)
    assert (notify.deliver(clock=clock.ticked(86400)), texts.requests, texts.texts) == (0, 10, [])


@pytest.mark.django_db
def test_a_text_that_was_refused_at_first_arrives_later_and_is_not_looked_for(clock, texts):
    message = owed(clock)
    texts.mode = Mode.BROKEN
    notify.deliver(clock=clock)
    texts.mode = Mode.OK
    assert notify.deliver(clock=clock.ticked(10)) == 1
    assert (len(texts.texts), texts.looks, state(message)) == (1, 0, ("sent", 2, ""))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [{"SMS_ACCOUNT_SID": "AC-unknown"}, {"IS_PRODUCTION": True, "SMS_API_URL": ""}],
    ids=["the-carrier-does-not-know-us", "no-carrier"],
)
def test_what_cannot_work_is_given_up_at_once(clock, texts, settings, change):
    message = owed(clock)
    for name, value in change.items():
        setattr(settings, name, value)
    assert notify.deliver(clock=clock) == 0
    assert state(message)[:2] == ("dead", 1)
    assert (notify.deliver(clock=clock.ticked(86400)), texts.texts) == (0, [])


@pytest.mark.django_db
def test_a_carrier_that_refuses_our_key_may_accept_it_later(clock, texts, settings):
    message = owed(clock)
    settings.SMS_AUTH_TOKEN = "old"
    notify.deliver(clock=clock)
    assert state(message) == ("due", 1, "sms 401")


@pytest.mark.django_db
def test_a_mail_server_that_is_busy_is_tried_again(clock, mails):
    message = owed(clock, contact_channel="email", contact_value="ana@mail.example")
    mails.refusal = "451 try later"
    assert (notify.deliver(clock=clock), state(message)) == (0, ("due", 1, "smtp 451"))
    mails.refusal = None
    assert (notify.deliver(clock=clock.ticked(10)), state(message)) == (1, ("sent", 2, ""))


@pytest.mark.django_db
def test_a_mail_server_that_is_away_is_tried_again(clock, mails, settings):
    message = owed(clock, contact_channel="email", contact_value="ana@mail.example")
    settings.EMAIL_PORT = free_port()
    assert (notify.deliver(clock=clock), state(message)) == (0, ("due", 1, "smtp ConnectionRefusedError"))


@pytest.mark.django_db
def test_one_that_fails_does_not_stop_the_others(clock, texts, mails):
    failing = owed(clock)
    mail = owed(clock, contact_channel="email", contact_value="b@mail.example")
    texts.mode = Mode.BROKEN
    assert notify.deliver(clock=clock) == 1
    assert (state(failing)[0], state(mail)[0]) == ("due", "sent")


@pytest.mark.django_db
def test_a_worker_that_was_killed_leaves_its_messages_to_the_next(clock, texts):
    """It had leased the message and sent nothing: nobody else may send it before the lease ends, then anybody."""
    message = owed(clock)
    notify._claim(clock())
    lease = notify.LEASE.total_seconds()
    assert [notify.deliver(clock=clock.ticked(lease - 1)), notify.deliver(clock=clock.ticked(1))] == [0, 1]
    assert (len(texts.texts), state(message)) == (1, ("sent", 2, ""))


@pytest.mark.django_db
@pytest.mark.parametrize("mode", [Mode.OK, Mode.BROKEN], ids=["delivered", "failed"])
def test_a_late_worker_cannot_overwrite_what_the_next_one_wrote(clock, texts, mode):
    message = owed(clock)
    late = notify._claim(clock())
    clock.tick(notify.LEASE.total_seconds())
    assert notify.deliver(clock=clock) == 1
    message.refresh_from_db()
    before = (message.state, message.sent_at, message.provider_id, message.due_at, message.last_error)
    texts.mode = mode
    assert notify._send(late, clock.ticked(60)) is False
    message.refresh_from_db()
    assert (message.state, message.sent_at, message.provider_id, message.due_at, message.last_error) == before


@pytest.mark.django_db
def test_a_late_worker_cannot_free_the_next_ones_lease(clock, texts):
    message = owed(clock)
    late = notify._claim(clock())
    clock.tick(notify.LEASE.total_seconds())
    current = notify._claim(clock())
    texts.mode = Mode.BROKEN
    notify._send(late, clock)
    message.refresh_from_db()
    assert (message.fence, message.lease_until) == (current.fence, clock() + notify.LEASE)


@pytest.mark.django_db
def test_a_late_worker_does_not_send_what_the_next_one_has_sent(clock, texts):
    owed(clock)
    late = notify._claim(clock())
    notify.deliver(clock=clock.ticked(notify.LEASE.total_seconds()))
    notify._send(late, clock)
    assert len(texts.texts) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_send_each_message_once(clock, texts):
    for number in range(12):
        owed(clock, contact_value=f"+1510555{number:04d}")
    sent, start = [], threading.Barrier(4)

    def work() -> None:
        start.wait()
        try:
            sent.append(notify.deliver(clock=clock, most=5))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (sum(sent), len(texts.texts), len({text.to for text in texts.texts})) == (12, 12, 12)
    assert set(Message.objects.values_list("state", "attempts")) == {("sent", 1)}


@pytest.mark.django_db(transaction=True)
def test_what_is_owed_in_a_transaction_that_fails_is_not_owed(clock):
    made = factories.booking()

    class Killed(BaseException):
        pass

    @transaction.atomic
    def killed_before_commit() -> None:
        notify.owe(made, "confirmation", now=clock())
        raise Killed

    with pytest.raises(Killed):
        killed_before_commit()
    assert Message.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_bell_that_nobody_takes_loses_nothing(clock, monkeypatch, texts):
    """The broker is away: the row is there, and the relay finds it."""

    def away(*args, **kwargs):
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", away)
    message = owed(clock)
    assert (notify.deliver(clock=clock), state(message)) == (1, ("sent", 1, ""))
