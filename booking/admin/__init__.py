"""The clinic's desk, in Django admin."""

from . import clinic, compacts, directory, people, readings, reasons, work

__all__ = ["clinic", "compacts", "directory", "people", "readings", "reasons", "work"]
