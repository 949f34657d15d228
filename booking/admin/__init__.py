"""The clinic's desk, in Django admin."""

from . import clinic, people, reasons, work

__all__ = ["clinic", "people", "reasons", "work"]
