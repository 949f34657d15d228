"""``python -m tests.bench``: the slot grid beside django-appointment and beside its floor, on one clinic from one seed.

``--quick`` takes three short runs of each and fewer sizes; ``--only`` names workloads, ``--sizes`` clinics.
Prints a table; ``--json FILE`` writes every figure. Nothing is asserted but that all answers are right.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.rig.processes import ROOT, temporary_directory
from tests.rig.sandbox import sandbox

from . import data, report
from .figures import Stopwatch
from .scene import DELAYS_MS, Scene
from .systems import environment_of_peer, ground, peer_of, portal_of
from .workloads import booking, cold, costs, crowd, sweep, warm

WORKLOADS = ("limits", "warm", "next", "bytes", "fresh", "every", "crowd", "cold", "booking")
# The peer's page asks one query of each clinician; 2,000 of them, and a million rows, show nothing more.
PEER_SIZES = (1, 20, 200)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="three short runs, 20 and 200 clinicians")
    parser.add_argument("--only", default=",".join(WORKLOADS), help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--sizes", help="some of 1,20,200,2000 and 200full (95%% busy)")
    parser.add_argument("--runs", type=int, help="of each (5; quick 3)")
    parser.add_argument("--seconds", type=float, help="of each run under load (1; quick 0.5)")
    parser.add_argument("--no-peer", action="store_true", help="leave django-appointment out")
    parser.add_argument("--verbose", action="store_true", help="say what is being run")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    found = parser.parse_args()
    found.only = found.only.split(",")
    if unknown := set(found.only) - set(WORKLOADS):
        parser.error(f"there is no workload {sorted(unknown)[0]}.")
    found.sizes = (found.sizes or ("20,200" if found.quick else "1,20,200,2000,200full")).split(",")
    found.runs = found.runs or (3 if found.quick else 5)
    found.seconds = found.seconds or (0.5 if found.quick else 1.0)
    return found


def scenes(given: argparse.Namespace, stack: ExitStack, directory: Path) -> Iterator[Scene]:
    """One size after another, each with its own portal, peer and floor, which end before the next begin."""
    base = stack.enter_context(ground(directory))
    python = None if given.no_peer else environment_of_peer(ROOT / "var" / "bench-peer")
    today = datetime.now(ZoneInfo(data.ZONE)).date()
    for share, sizes in (
        (data.HALF_BUSY, [int(size) for size in given.sizes if size.isdigit()]),
        (data.NEARLY_FULL, [int(size[:-4]) for size in given.sizes if size.endswith("full")]),
    ):
        if not sizes:
            continue
        roster = directory / f"roster-{share}.json"
        data.write_roster(data.Clinic(today, share), roster)
        with sandbox(roster=roster) as ehr:
            for size in sizes:
                clinic = data.Clinic(today, share, size)
                with ExitStack() as own:
                    seeds = data.seeds(clinic)
                    portal = own.enter_context(portal_of(base, ehr, seeds))
                    scene = Scene(base, clinic, size, ehr, portal, seconds=given.seconds)
                    scene.crowds = (1, 8) if given.quick else (1, 8, 32)
                    if python is not None and size in PEER_SIZES:
                        scene.peer = own.enter_context(peer_of(base, python, seeds))
                    own.callback(scene.stop_floor)
                    yield scene
                ehr.reset()


def run(scene: Scene, watch: Stopwatch, given: argparse.Namespace, *, is_first: bool) -> None:
    wanted = set(given.only)
    is_half = scene.clinic.busy_share == data.HALF_BUSY
    if "limits" in wanted and is_first:
        costs.client_alone(watch, scene.seconds, scene.base.directory)
        costs.sandbox_alone(scene, watch)
    if "cold" in wanted:
        cold.cold(scene, watch, DELAYS_MS if is_half else (50,))
    if "fresh" in wanted:
        cold.cold_process(scene, watch)
    if "warm" in wanted:
        warm.warm(scene, watch)
    if "bytes" in wanted:
        scene.warm()
        costs.weights(scene, watch)
    if "next" in wanted:
        warm.next_available(scene, watch)
    if "every" in wanted and scene.size in (20, 200):
        sweep.every_time(scene, watch)
    if "crowd" in wanted and scene.size == 200 and is_half:
        crowd.cold_grid(scene, watch)
        crowd.visitor_minutes(scene, watch, 6 if given.quick else 60)
    if "booking" in wanted and scene.size == 200 and is_half:
        booking.booking(scene, watch)


def main() -> None:
    given = options()
    began = time.monotonic()

    def tell(what: str) -> None:
        if given.verbose:
            print(f"{time.monotonic() - began:7.1f} s  {what}", file=sys.stderr, flush=True)

    watch = Stopwatch(given.runs, tell=tell)
    with temporary_directory("bench") as directory, ExitStack() as stack:
        for number, scene in enumerate(scenes(given, stack, directory)):
            tell(f"{scene.name} clinicians are ready")
            try:
                run(scene, watch, given, is_first=number == 0)
            except AssertionError:
                print(scene.portal.web.tail(40), file=sys.stderr)
                raise
    minutes = (time.monotonic() - began) / 60
    at = datetime.now(UTC).isoformat(timespec="minutes")
    notes = [
        f"{given.runs} runs of {given.seconds} s each, client and servers on one machine, {minutes:.1f} minutes in all, {at}.",
        "Boards of more than 20 clinicians were filled without a limit on EHR calls; everything timed has the default ones.",
        "Neither many clinicians at once, nor specialty, nor licensure by state is what django-appointment was made for.",
    ]
    print(report.table(watch, notes))
    if given.json:
        figures = report.as_json(watch, {"runs": given.runs, "seconds": given.seconds}, notes)
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
