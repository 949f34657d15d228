"""Starting a child program for a test: free port, readiness, output in a file, gone at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.children import (
    LOOPBACK,
    ROOT,
    Child,
    ChildFailed,
    accepts_tcp,
    clean_environment,
    free_port,
    http_status,
    is_free,
    running,
    stop_all,
)

__all__ = [
    "LOOPBACK",
    "ROOT",
    "Child",
    "ChildFailed",
    "accepts_tcp",
    "clean_environment",
    "free_port",
    "http_status",
    "is_free",
    "running",
    "stop_all",
    "temporary_directory",
]


@contextmanager
def temporary_directory(name: str, owner: str | None = None) -> Iterator[Path]:
    """A directory of its owner's alone, with a path short enough for a socket; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"portal-{name}-"))
    try:
        if owner:
            shutil.chown(path, owner)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
