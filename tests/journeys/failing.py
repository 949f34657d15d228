"""The portal, with a database that quotes the row it will not keep, as PostgreSQL does in the words of its errors."""

from typing import Any

from django.db import IntegrityError

from portal.wsgi import application

from booking.models import PatientRecord  # isort: skip


def refuse(self: PatientRecord, *args: Any, **kwargs: Any) -> None:
    raise IntegrityError(f"Failing row contains ({self.given_name}, {self.family_name}, {self.birth_date}).")


PatientRecord.save = refuse  # type: ignore[method-assign]

__all__ = ["application"]
