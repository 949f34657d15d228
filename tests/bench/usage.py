"""CPU time and memory of a process and everything below it, from /proc (Linux)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _stat(pid: int) -> list[str]:
    """The fields after the name, which itself may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(*_GONE):
                children[int(_stat(int(name))[1])].append(int(name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the whole tree, children that have ended included."""
    ticks = 0
    for pid in tree(root):
        with suppress(*_GONE):
            # utime, stime, and those of children that were waited for.
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICK


def memory_bytes(root: int) -> tuple[int, int]:
    """Resident memory of the tree: with shared pages counted for each process, and with them shared out."""
    resident = shared_out = 0
    for pid in tree(root):
        with suppress(*_GONE):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name == "Rss":
                    resident += int(rest.split()[0]) * 1024
                elif name == "Pss":
                    shared_out += int(rest.split()[0]) * 1024
    return resident, shared_out


def serving_process(port: int, client_port: int, pids: Iterable[int]) -> int | None:
    """Which of ``pids`` holds the server's end of the connection from ``client_port`` on the loopback."""
    inode = None
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = (int(address.split(":")[1], 16) for address in fields[1:3])
        if (here, there) == (port, client_port):
            inode = fields[9]
    for pid in pids:
        with suppress(*_GONE):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with suppress(*_GONE):
                    if os.readlink(entry.path) == f"socket:[{inode}]":
                        return pid
    return None
