"""Owing a message and delivering it: rows first, then the bell, then at least one delivery each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from booking import crash_points
from booking.messaging import channels, texts
from booking.models import Booking, Message

from . import clinic_rules, database_away
from .bell import Bell

log = logging.getLogger(__name__)

# Longer than a carrier is waited for, or the next worker would send what this one is still sending.
LEASE = timedelta(seconds=max(settings.WORKER_LEASE_SECONDS, channels.LONGEST_SECONDS + 5))
# One run sends for this long; what is left is due at the next bell, a few seconds later.
LONGEST_RUN_SECONDS = 30
# After each failed attempt, in seconds; then the message is given up and shown to staff.
RETRY_AFTER = (10, 30, 60, 120, 300, 900, 1800, 3600, 7200)


def channel_for(booking: Booking) -> tuple[str, str] | None:
    """Where messages about a booking go: a text if the patient agreed to texts at a number they proved, else mail."""
    if booking.contact_channel == "mobile" and booking.text_consent_at:
        return Message.Channel.SMS, booking.contact_value
    if booking.contact_channel == "email":
        return Message.Channel.EMAIL, booking.contact_value
    if booking.patient and booking.patient.email:
        return Message.Channel.EMAIL, booking.patient.email
    return None


def owe(booking: Booking, kind: str, *, now: datetime, about: str = "") -> Message | None:
    """Write the row of a message; call it in the transaction that makes the message true.

    Once per booking, kind and what it is about. Whatever happens to the broker, the relay finds the row.
    """
    channel = channel_for(booking)
    if channel is None:
        return None
    message, _ = Message.objects.get_or_create(
        booking=booking,
        kind=kind,
        about=about,
        defaults={"channel": channel[0], "recipient": channel[1], "due_at": now},
    )
    transaction.on_commit(ring)
    return message


def try_again(messages: Iterable[Message], *, now: datetime) -> list[Message]:
    """Make messages that were given up due again, as if they had never been tried. Returns those that were given up."""
    again = [
        message
        for message in messages
        if Message.objects.filter(pk=message.pk, state=Message.State.DEAD).update(
            state=Message.State.DUE, due_at=now, attempts=0, lease_until=None
        )
    ]
    if again:
        transaction.on_commit(ring)
    return again


_bell = Bell("booking.jobs.deliver_messages")
ring = _bell.ring


def deliver(*, clock: Callable[[], datetime], most: int = 50) -> int:
    """Send what is due. Returns how many were sent; leases let any number of workers run side by side.

    Each message is leased just before it is sent, from that moment on: a carrier that took its time over others must not
    have used up its lease. What goes over another channel than one that just failed comes first, so that texts do not
    wait behind mails.
    """
    ends = time.monotonic() + LONGEST_RUN_SECONDS
    sent, failing = 0, set[str]()
    for _ in range(most):
        if time.monotonic() >= ends:
            break
        message = _claim(clock(), other_than=failing)
        if message is None and failing:
            message = _claim(clock())
        if message is None:
            break
        crash_points.reach("message leased")
        if _send(message, clock):
            sent += 1
            failing.discard(message.channel)
        else:
            failing.add(message.channel)
    return sent


def _claim(now: datetime, *, other_than: Collection[str] = ()) -> Message | None:
    """Lease the row that is due longest to this worker. ``fence`` grows with each lease, so that a late worker cannot
    overwrite. ``last_error`` of what is returned is the last attempt's; on record nothing is known of this one yet."""
    ready = Message.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=now), state=Message.State.DUE, due_at__lte=now
    ).exclude(channel__in=other_than)
    with transaction.atomic():
        row = ready.select_for_update(skip_locked=True).order_by("due_at").first()
        if row is None:
            return None
        row.lease_until = now + LEASE
        row.fence += 1
        row.attempts += 1
        before, row.last_error = row.last_error, ""
        row.save(update_fields=["lease_until", "fence", "attempts", "last_error"])
    row.booking = clinic_rules.whole(Booking.objects.filter(pk=row.booking_id))
    row.last_error = before
    return row


def _taken_before(message: Message, text: channels.Text) -> str:
    """The carrier's id of an earlier attempt at this that it took without our knowing, where it can be asked.

    Raises ``DeliveryError`` when it does not say, as it would not take the message either.
    """
    if message.fence == 1 or channels.was_refused(message.last_error):
        return ""
    taken = channels.taken_before(message.channel, message.recipient, text, since=message.created_at)
    # Two messages may say the same, and each is owed.
    known = set(Message.objects.filter(provider_id__in=taken).values_list("provider_id", flat=True))
    return next((each for each in taken if each not in known), "")


def _send(message: Message, clock: Callable[[], datetime]) -> bool:
    ours = Message.objects.filter(pk=message.pk, fence=message.fence, state=Message.State.DUE)
    if not ours.exists():
        return False
    try:
        text = texts.render(message)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # Trying again cannot help: it must not come back with every lease, but lie where staff see it.
        log.exception("message %s cannot be worded", message.pk)
        ours.update(state=Message.State.DEAD, lease_until=None, last_error=f"words {type(error).__name__}")
        return False
    try:
        provider_id = _taken_before(message, text) or channels.send(
            message.channel, message.recipient, text, key=message.pk
        )
    except channels.DeliveryError as error:
        log.warning("message %s was not delivered: %s", message.pk, error.code)
        if error.is_permanent or message.attempts > len(RETRY_AFTER):
            _record(ours, message, clock(), state=Message.State.DEAD, lease_until=None, last_error=error.code)
        else:
            now = clock()
            due_at = now + timedelta(seconds=RETRY_AFTER[message.attempts - 1])
            _record(ours, message, now, due_at=due_at, lease_until=None, last_error=error.code)
        return False
    crash_points.reach("message sent and not recorded")
    log.info(
        "message %s was sent", message.pk, extra={"booking": str(message.booking_id), "kind": message.kind}
    )
    now = clock()
    return _record(
        ours,
        message,
        now,
        state=Message.State.SENT,
        sent_at=now,
        lease_until=None,
        provider_id=provider_id[:100],
        last_error="",
    )


def _record(ours: QuerySet[Message], message: Message, now: datetime, **fields: Any) -> bool:
    """Write down what the carrier said, as soon as there is a database to do so: nobody else knows it."""
    assert message.lease_until is not None
    # Once the lease has ended, another worker may be sending it.
    seconds = min(database_away.WORKER_SECONDS, (message.lease_until - now).total_seconds())
    try:
        return bool(database_away.outlast(lambda: ours.update(**fields), about=message, seconds=seconds))
    except database_away.AWAY:
        # The lease ends by itself, and the same key is sent once more.
        log.exception("what a carrier said of message %s could not be recorded", message.pk)
        return False
