"""The portal without its restraint toward a failing EHR: what the dead EHR's test must catch. Never served but there."""

# ruff: noqa: I001 - the portal's WSGI module sets Django up, which everything below it needs

from __future__ import annotations

from portal.wsgi import application
from booking.fhir import restraint

__all__ = ["application"]

restraint.RepeatBudget.spend = lambda self: True  # type: ignore[method-assign]
restraint.Brake._is_on = lambda self, now: False  # type: ignore[method-assign]
