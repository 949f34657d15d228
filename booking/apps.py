from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BookingConfig(AppConfig):
    name = "booking"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        from . import checks  # noqa: F401, PLC0415 - registers them, which needs the app registry


class DeskConfig(AdminConfig):
    default_site = "booking.desk.DeskSite"
