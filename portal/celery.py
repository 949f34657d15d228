"""The Celery app. Tasks carry row ids only; the rows are the truth and the broker the doorbell."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
# The tasks are found by importing this module, so that a worker and the web process know the same ones.
app.conf.imports = ("booking.jobs",)
app.set_default()
