"""Bookings: our attempts to make an Appointment, from the hold on. A hold is a booking that is ``held``.

States move by compare-and-set, each move with an append-only event and the actor who made it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse

from booking.scheduling.eligibility import Visit
from booking.scheduling.lifecycle import CLAIMING, IN_DOUBT, BookingState, check
from booking.scheduling.terms import Modality, PatientKind, VisitReason

from .directory import ClinicianRecord, ScheduleRecord
from .people import PatientRecord, User
from .reasons import MODALITY_CHOICES, PATIENT_KIND_CHOICES, VisitReasonRecord

# What stands in ``attention`` while the EHR has the visit at another time than we can write down.
MOVED_ONTO_ANOTHER = "Moved onto another visit: settle, tell the patient"
# What began earlier is over: an index on starts tells it, without a look at all the visits that ever were.
LONGEST_VISIT = timedelta(days=1)
REPLACING = IN_DOUBT | {BookingState.BOOKED, BookingState.CANCELLING}
STATE_CHOICES = [(state.value, state.name.replace("_", " ").capitalize()) for state in BookingState]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever is at the browser: the account signed in, if any, and the secret of their session."""

    owner_key: str
    user: User | None = None
    # A keyed hash of the network they come from, or nothing where that is not known.
    network: str = ""


class BookingQuerySet(models.QuerySet["Booking"]):
    def of(self, visitor: Visitor) -> BookingQuerySet:
        """Loading is authorizing: what this visitor may see, and nothing else."""
        mine = Q(pk=None)
        if visitor.owner_key:
            mine |= Q(owner_key=visitor.owner_key)
        if visitor.user is not None:
            mine |= Q(user=visitor.user)
        return self.filter(mine)

    def claiming(self, now: datetime) -> BookingQuerySet:
        """Those that take their time from everybody else at this instant. Expiry is judged here, on reading."""
        return self.filter(state__in=CLAIMING).exclude(state=BookingState.HELD, hold_expires_at__lte=now)

    def for_staff(self) -> BookingQuerySet:
        """What a person has to look at: what nobody could settle, and visits that there were two of."""
        return self.filter(Q(state=BookingState.NEEDS_STAFF) | ~Q(attention=""))

    def look_up_due(self, now: datetime) -> BookingQuerySet:
        """Those whose time to be looked up has come, and which no worker has in hand."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lte=now), look_up_at__lte=now)

    def overlapping(self, clinician_id: int, starts_at: datetime, ends_at: datetime) -> BookingQuerySet:
        return self.filter(
            clinician_id=clinician_id,
            starts_at__lt=ends_at,
            starts_at__gt=starts_at - LONGEST_VISIT,
            ends_at__gt=starts_at,
        )


class Booking(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=12, choices=STATE_CHOICES, default=BookingState.HELD)
    owner_key = models.CharField(max_length=64, db_index=True)
    # While somebody may still count the holds of a network; forgotten after a day.
    network_key = models.CharField(max_length=32, blank=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="bookings")

    clinician = models.ForeignKey(ClinicianRecord, on_delete=models.PROTECT, related_name="bookings")
    schedule = models.ForeignKey(ScheduleRecord, on_delete=models.PROTECT, related_name="bookings")
    reason = models.ForeignKey(VisitReasonRecord, on_delete=models.PROTECT, related_name="bookings")
    modality = models.CharField(max_length=10, choices=MODALITY_CHOICES)
    specialty = models.CharField(max_length=50, blank=True)
    patient_kind = models.CharField(max_length=12, blank=True, choices=PATIENT_KIND_CHOICES)
    jurisdiction = models.CharField("state at the time of the visit", max_length=2)
    zone = models.CharField("patient's time zone", max_length=50)
    license_number = models.CharField(max_length=50, blank=True)
    license_basis = models.CharField(
        "stands on", max_length=150, blank=True, help_text="The license or compact privilege, as of the hold."
    )
    license_compact = models.CharField("compact", max_length=60, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    hold_expires_at = models.DateTimeField()
    hold_full_expires_at = models.DateTimeField()
    hold_is_extended = models.BooleanField(default=False)
    # Set while the EHR may be keeping the time for us: from then on the outcome of asking for it is settled.
    ehr_hold_settled_at = models.DateTimeField(null=True, blank=True, editable=False)

    patient = models.ForeignKey(
        PatientRecord, on_delete=models.PROTECT, null=True, blank=True, related_name="bookings"
    )
    contact_channel = models.CharField(max_length=10, blank=True)
    contact_value = models.CharField(max_length=254, blank=True)
    contact_verified_at = models.DateTimeField(null=True, blank=True)
    text_consent_at = models.DateTimeField(null=True, blank=True)

    video_url = models.URLField(max_length=500, blank=True)
    appointment_ref = models.CharField(max_length=100, blank=True)
    failure = models.CharField(max_length=60, blank=True)
    posts = models.PositiveSmallIntegerField("create attempts", default=0)
    misses = models.PositiveSmallIntegerField("look-ups without a find", default=0)
    look_up_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    booked_at = models.DateTimeField(null=True, blank=True)
    followed_at = models.DateTimeField("last compared with the EHR", null=True, blank=True, editable=False)

    replaces = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="replacements", editable=False
    )
    cancelling_at = models.DateTimeField("cancelling since", null=True, blank=True)
    # Database defaults, so that processes of the version before can insert rows while both run.
    cancels = models.PositiveSmallIntegerField("cancel attempts", default=0, db_default=0)
    # When to look next for a second visit that a create without an answer may have left in the EHR.
    sweep_at = models.DateTimeField("next look for twins", null=True, blank=True)
    sweeps = models.PositiveSmallIntegerField("looks for twins", default=0, db_default=0)
    attention = models.CharField("for staff to see", max_length=60, blank=True, default="", db_default="")

    objects = BookingQuerySet.as_manager()
    events: models.Manager[BookingEvent]

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["clinician", "starts_at"], name="booking_clinician_start"),
            models.Index(fields=["state", "look_up_at"], name="booking_state_look_up"),
            models.Index(
                fields=["starts_at"], condition=Q(state__in=sorted(CLAIMING)), name="booking_claims_by_start"
            ),
            models.Index(fields=["sweep_at"], condition=Q(sweep_at__isnull=False), name="booking_sweep_at"),
        ]
        constraints = [
            # The backstop behind the clinician lock. PostgreSQL has an exclusion constraint on overlaps as well.
            models.UniqueConstraint(
                fields=["clinician", "starts_at"],
                condition=Q(state__in=sorted(CLAIMING)),
                name="booking_one_claim_per_start",
            ),
            # A visit is moved to one new time, not to two by two presses.
            models.UniqueConstraint(
                fields=["replaces"],
                condition=Q(replaces__isnull=False, state__in=sorted(REPLACING)),
                name="booking_one_replacement",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")), name="booking_ends_after_start"
            ),
            models.CheckConstraint(
                condition=~Q(state=BookingState.BOOKED) | ~Q(appointment_ref=""),
                name="booking_booked_has_appointment",
            ),
        ]

    def __str__(self) -> str:
        return f"Booking {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("visit", args=[self.pk])

    @property
    def status(self) -> BookingState:
        return BookingState(self.state)

    def is_live_hold(self, now: datetime) -> bool:
        return self.state == BookingState.HELD and self.hold_expires_at > now

    def to_visit(self, reason: VisitReason) -> Visit:
        """What the patient asked for, to weigh it again by the reason's rules."""
        return Visit(
            reason=reason,
            jurisdiction=self.jurisdiction,
            zone=self.zone,
            modality=Modality(self.modality),
            specialty=self.specialty or None,
            patient_kind=PatientKind(self.patient_kind) if self.patient_kind else None,
        )

    @property
    def is_moved_onto_another(self) -> bool:
        """Whether staff moved it onto another visit of ours, so that the time that stands here is not the EHR's any more."""
        return self.state == BookingState.BOOKED and self.attention == MOVED_ONTO_ANOTHER

    @property
    def is_by_video(self) -> bool:
        return self.modality == Modality.VIDEO

    def move(self, new: BookingState, *, actor: str, note: str = "", **fields: Any) -> bool:
        """Go to ``new`` if nobody went elsewhere first; False when someone did. Writes the event beside it.

        ``actor`` is ``patient``, ``system`` or ``staff:<id>``; ``note`` is a code, never patient data.
        """
        old = self.status
        check(old, new)
        with transaction.atomic():
            moved = Booking.objects.filter(pk=self.pk, state=old).update(state=new, **fields)
            if not moved:
                return False
            BookingEvent.objects.create(booking=self, old_state=old, new_state=new, actor=actor, note=note)
        self.state = new
        for name, value in fields.items():
            setattr(self, name, value)
        return True

    def note(self, note: str) -> None:
        """Put on record what was seen of it, with its state as it is."""
        BookingEvent.objects.create(
            booking=self, old_state=self.state, new_state=self.state, actor="system", note=note[:100]
        )


class BookingEvent(models.Model):
    """What happened to a booking, in order. Rows are added, never changed."""

    booking = models.ForeignKey(Booking, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    old_state = models.CharField(max_length=12, blank=True)
    new_state = models.CharField(max_length=12)
    actor = models.CharField(max_length=60)
    note = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.old_state or 'new'} to {self.new_state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("booking events are only ever added")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("booking events are only ever added")
