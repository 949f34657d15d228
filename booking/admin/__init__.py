"""The clinic's desk, in Django admin."""

from . import clinic, compacts, people, reasons, work

__all__ = ["clinic", "compacts", "people", "reasons", "work"]
