"""Messages we owe, written in the transaction that makes them true. The broker only rings the bell."""

from __future__ import annotations

import uuid

from django.db import models

from .bookings import Booking


class Message(models.Model):
    """One message to one contact. ``id`` is its idempotency key with whoever delivers it.

    The text is rendered when it is sent, from the booking as it stands then.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        SMS = "sms", "Text message"

    class State(models.TextChoices):
        DUE = "due", "Due"
        SENT = "sent", "Sent"
        DEAD = "dead", "Given up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    booking = models.ForeignKey(Booking, on_delete=models.CASCADE, related_name="messages")
    kind = models.CharField(max_length=30)
    # What tells one message of a kind from the next, such as the new time of a visit that was moved.
    about = models.CharField(max_length=40, blank=True, editable=False)
    channel = models.CharField(max_length=5, choices=Channel.choices)
    recipient = models.CharField(max_length=254)
    state = models.CharField(max_length=4, choices=State.choices, default=State.DUE)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=100, blank=True)
    provider_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "due_at"], name="message_state_due")]
        constraints = [
            # One message of a kind and matter per booking, however often the flow that writes it is run.
            models.UniqueConstraint(fields=["booking", "kind", "about"], name="message_one_per_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
