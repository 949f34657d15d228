from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import ImproperlyConfigured


class BookingConfig(AppConfig):
    name = "booking"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        from . import checks  # needs the app registry

        # A web server or worker runs no system checks; it must not start on settings that cannot work either.
        for problem in checks.ehr_settings(None):
            raise ImproperlyConfigured(f"{problem.msg} {problem.hint}")


class DeskConfig(AdminConfig):
    default_site = "booking.desk.DeskSite"
