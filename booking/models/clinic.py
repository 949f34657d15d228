"""The clinic's limits on booking, one row that the desk edits."""

from __future__ import annotations

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from booking.scheduling.availability import Policy


class SchedulingPolicy(models.Model):
    lead_minutes = models.PositiveIntegerField(
        "lead time (minutes)",
        default=120,
        validators=[MaxValueValidator(14 * 24 * 60)],
        help_text=(
            "A time can be chosen no later than this long before it starts. "
            "Whoever has chosen it can book it for as long as it is held."
        ),
    )
    horizon_days = models.PositiveIntegerField(
        "horizon (days)",
        default=28,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="How many days ahead a visit can be booked.",
    )
    buffer_minutes = models.PositiveIntegerField(
        "buffer (minutes)",
        default=0,
        validators=[MaxValueValidator(240)],
        help_text="Time kept free before and after each visit that is booked here.",
    )
    daily_cap = models.PositiveIntegerField(
        "most visits per clinician and day",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Counts visits booked here. Leave empty for no limit.",
    )
    hold_minutes = models.PositiveIntegerField(
        "hold (minutes)",
        default=10,
        validators=[MinValueValidator(3), MaxValueValidator(60)],
        help_text="How long a chosen time is kept while the patient fills in the rest. It can be extended once.",
    )
    change_words = models.TextField(
        "how to change or cancel",
        default="Call us at least 24 hours before your visit if you need to change or cancel it.",
        help_text="Shown on the confirmation. Plain words; say what to do.",
    )
    cost_words = models.TextField(
        "what a visit may cost",
        blank=True,
        help_text="Shown before booking. Leave empty to show nothing.",
    )

    class Meta:
        verbose_name = "scheduling policy"
        verbose_name_plural = "scheduling policy"

    def __str__(self) -> str:
        return "Scheduling policy"

    @classmethod
    def current(cls) -> SchedulingPolicy:
        return cls.objects.get_or_create(pk=1)[0]

    def to_term(self) -> Policy:
        return Policy(
            lead=timedelta(minutes=self.lead_minutes),
            horizon_days=self.horizon_days,
            buffer=timedelta(minutes=self.buffer_minutes),
            daily_cap=self.daily_cap,
        )
