"""Celery tasks: each calls one flow. They carry no patient data, and running one twice does no harm."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from booking import health
from booking.flows import ehr_holds, find_times, hold_slot, notify
from booking.flows import follow_visits as following
from booking.flows import forget as forgetting
from booking.flows import keep_photos as photos
from booking.flows import reconcile as reconciling
from booking.flows import sweep_twins as sweeping
from booking.flows import sync_directory as syncing
from booking.flows import take_notice as noticing
from booking.scheduling.errors import EhrFailure

log = logging.getLogger(__name__)


@shared_task
def beat() -> None:
    health.beat(timezone.now())


@shared_task
def deliver_messages() -> None:
    notify.deliver(clock=timezone.now)


@shared_task
def reconcile() -> None:
    reconciling.reconcile(clock=timezone.now)


@shared_task
def sweep_twins() -> None:
    sweeping.sweep(clock=timezone.now)


@shared_task
def expire_holds() -> None:
    hold_slot.expire_holds(now=timezone.now())


@shared_task
def follow_visits() -> None:
    following.follow_visits(clock=timezone.now)


# The one job that no row stands for.
@shared_task(autoretry_for=(OperationalError,), max_retries=3, default_retry_delay=5)
def look_at_appointment(appointment_id: str) -> None:
    noticing.look(f"Appointment/{appointment_id}", clock=timezone.now)


@shared_task
def give_back_ehr_holds() -> None:
    ehr_holds.give_back_due(now=timezone.now())


@shared_task
def give_back_lost_holds() -> None:
    try:
        ehr_holds.give_back_lost(now=timezone.now())
    except EhrFailure as error:
        log.warning("lost holds were not looked for: %s (status %s)", error, error.status)


@shared_task
def read_ahead() -> None:
    find_times.read_ahead(timezone.now())


@shared_task
def sync_directory() -> None:
    try:
        syncing.sync_directory()
    except EhrFailure as error:
        log.warning("the directory could not be read: %s (status %s)", error, error.status)


@shared_task
def keep_photos() -> None:
    photos.keep_photos(clock=timezone.now)


@shared_task
def forget() -> None:
    forgetting.forget(before=timezone.now() - timedelta(days=1))
