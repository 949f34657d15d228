"""Places at which a build under test can be made to die, so that what a crash leaves behind can be seen.

A point is armed by a file of its name in the folder that PORTAL_CRASH_DIR names. Whichever process comes to it first
renames the file and kills itself, so each file kills once. The settings refuse such a folder outside of tests.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Literal

Name = Literal[
    "hold written",
    "attempt on record",
    "patient about to be created",
    "patient created",
    "create about to be sent",
    "create answered",
    "booked and not committed",
    "committed and bell not rung",
    "message leased",
    "message sent and not recorded",
    "look-up leased",
    "look-up answered",
    "hold expired",
    "notice taken",
    "change seen in the EHR",
    "beat heard",
]

_FOLDER = os.environ.get("PORTAL_CRASH_DIR", "").strip()


def _pass(name: Name) -> None:
    """Nobody asked for crashes."""


def _die_if_armed(name: Name) -> None:
    armed = Path(_FOLDER, name)
    try:
        armed.rename(armed.with_name(f"{name}, {os.getpid()}"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


reach = _die_if_armed if _FOLDER else _pass
