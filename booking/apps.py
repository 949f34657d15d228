from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate


class BookingConfig(AppConfig):
    name = "booking"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        from . import checks, job_trace, outcomes, tracing  # need the app registry
        from .models.standing import watch

        outcomes.watch()
        job_trace.watch()
        if settings.HAS_TRACES:
            tracing.start("portal")
        post_migrate.connect(watch, sender=self, dispatch_uid="booking.watch")

        # A web server or worker runs no system checks; it must not start on settings that cannot work either.
        for problem in checks.ehr_settings(None):
            raise ImproperlyConfigured(f"{problem.msg} {problem.hint}")


class DeskConfig(AdminConfig):
    default_site = "booking.desk.DeskSite"
