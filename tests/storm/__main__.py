"""``make storm``: every scenario at its long size, one after another, with a report as a table and as JSON.

Sizes are given on the command line; smaller ones say so in the report. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
SCENARIOS = ("races", "kills", "random", "redis", "postgres", "carriers", "ehr", "soak", "ten-thousand")
POINTS = 16


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, separated by commas")
    parser.add_argument(
        "--rounds", type=int, default=50, help="of the race for one time (and 3/5 of it of overlaps)"
    )
    parser.add_argument("--racers", type=int, default=100)
    parser.add_argument("--each", type=int, default=25, help="kills at each point")
    parser.add_argument("--bookings", type=int, default=2000, help="under random kills")
    parser.add_argument("--every", type=float, default=5, help="seconds between random kills")
    parser.add_argument("--crashes", type=int, default=10, help="of PostgreSQL")
    parser.add_argument("--people", type=int, default=50, help="in each way of being away")
    parser.add_argument("--away-seconds", type=float, default=60, help="of the EHR")
    parser.add_argument("--a-second", type=float, default=20, help="presses while the EHR is away")
    parser.add_argument("--minutes", type=float, default=30, help="of the soak")
    parser.add_argument("--soak-bookings", type=float, default=5, help="a second")
    parser.add_argument("--soak-grids", type=float, default=50, help="a second")
    parser.add_argument("--ten-thousand", type=int, default=10_000, help="bookings at an EHR that fails")
    parser.add_argument("--json", type=Path, default=Path("var/storm.json"))
    return parser.parse_args(argv)


def run_races(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import races

    with races.racing_scene() as scene:
        one = races.race(scene, rounds=given.rounds, racers=given.racers)
        figures = one.figures()
        yield (
            "one time",
            figures,
            set(one.winners) == {1} and not figures["any other page"] and not one.deadlocks,
        )
        more = races.race(
            scene,
            rounds=max(1, given.rounds * 3 // 5),
            racers=given.racers,
            choices=races.OVERLAPPING,
            first=given.rounds,
        )
        figures = more.figures()
        yield (
            "overlapping times",
            figures,
            not (more.overlapping or figures["any other page"] or more.deadlocks),
        )
    with races.racing_scene(guarded=False) as scene:
        control = races.race(scene, rounds=1, racers=min(40, given.racers))
        yield "control: no guards", control.figures(), control.winners[0] > 1


def run_kills(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import kills
    from .people import make_people
    from .scene import scene as start

    with start(notices=True) as scene:
        numbers = count(step=kills.AT_A_TIME)
        found = kills.at_points(
            scene,
            lambda how_many: make_people(scene, how_many, first=next(numbers)),
            each=given.each,
            seconds=60 * given.each,
        )
        again = found.fired["message sent and not recorded"]
        is_kept = not found.findings.but("messages_twice") and len(found.findings.messages_twice) <= again
        all_fired = len(found.fired) == POINTS and min(found.fired.values()) >= given.each
        yield "at points", found.figures(), is_kept and all_fired and found.pages_back < 90


def run_random(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import kills
    from .people import make_people
    from .scene import scene as start

    with start() as scene:
        found = kills.at_random(scene, make_people(scene, given.bookings), every=given.every)
        yield "at random", found.figures(), not found.findings.but("messages_twice") and found.pages_back < 90


def run_redis(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import away
    from .people import make_people
    from .scene import scene as start

    with start() as scene:
        for number, how in enumerate(away.REDIS_WAYS):
            people = make_people(scene, given.people, first=number * given.people)
            found = away.without(scene, people, away.redis_away(scene, how))
            yield how, found.figures(), not found.findings.faults and found.slowest_page <= 3


def run_postgres(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import away
    from .people import make_people
    from .scene import scene as start

    with start() as scene:
        people = make_people(scene, given.people * 4)
        found = away.without(
            scene, people, away.postgres_crashes(scene, given.crashes, every=5), patience=300
        )
        yield f"{given.crashes} crashes", found.figures(), not found.findings.faults and found.back <= 10


def run_carriers(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import away
    from .people import make_people
    from .scene import scene as start

    with start() as scene:
        first = 0
        for kind, ways, make, by_text in (
            ("mail", away.MAIL_WAYS, away.mail_away, 10_000),
            ("texts", away.SMS_WAYS, away.sms_away, 1),
        ):
            for how in ways:
                people = make_people(scene, given.people, first=first or 1, by_text=by_text)
                first += given.people + 1
                found = away.without(scene, people, make(scene, how), messages_meet_it=True)
                copies = len(found.findings.messages_twice)
                # An SMS service can be asked what it took. A mail server cannot.
                may_repeat = kind == "mail" and how == away.ANSWER_LOST
                is_kept = not found.findings.but("messages_twice") and (may_repeat or not copies)
                yield f"{kind} {how}", found.figures(), is_kept


def run_ehr(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from tests.rig.fault_proxy import Mode

    from . import dead_ehr
    from .people import make_people
    from .scene import scene as start

    people = max(20, round(given.a_second * 3))
    with start() as scene:
        for number, (name, how) in enumerate(
            (("resets", Mode.RESET_BEFORE), ("refuses", Mode.REFUSE), ("hangs", Mode.HANG))
        ):
            found = dead_ehr.die(
                scene,
                make_people(scene, people, first=number * people),
                seconds=given.away_seconds,
                a_second=given.a_second,
                how=how,
            )
            is_kept = not found.findings.faults and found.ratio <= 1.1 and found.first_success_after <= 15
            is_kept = is_kept and max(found.seconds) <= 3
            yield name, found.figures(), is_kept
    with start(application="tests.storm.unrestrained:application") as scene:
        found = dead_ehr.die(scene, make_people(scene, people), seconds=10, a_second=given.a_second)
        yield "control: no restraint", found.figures(), found.ratio > 1.1


def run_soak(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import soak
    from .people import make_people
    from .scene import scene as start

    with start(can_fail=False, hours=("09:00", "17:00"), days=28) as scene:
        people = make_people(scene, int(given.minutes * 60 * given.soak_bookings) + 20)
        found = soak.soak(
            scene, people, minutes=given.minutes, bookings=given.soak_bookings, grids=given.soak_grids
        )
        is_kept = not found.errors and not found.findings.faults and found.growth < 0.1
        yield f"{given.minutes:g} minutes", found.figures(), is_kept and not found.not_begun


def run_ten_thousand(given: argparse.Namespace) -> Iterator[tuple[str, Figures, bool]]:
    from . import ten_thousand

    report = ten_thousand.run(given.ten_thousand, print)
    yield f"{given.ten_thousand} bookings", dict(ten_thousand.summary(report)), report.is_clean


RUN: dict[str, Callable[[argparse.Namespace], Iterator[tuple[str, Figures, bool]]]] = {
    "races": run_races,
    "kills": run_kills,
    "random": run_random,
    "redis": run_redis,
    "postgres": run_postgres,
    "carriers": run_carriers,
    "ehr": run_ehr,
    "soak": run_soak,
    "ten-thousand": run_ten_thousand,
}


def main(argv: list[str]) -> int:
    given = options(argv)
    wanted = given.only.split(",")
    if unknown := set(wanted) - set(RUN):
        print(f"There is no scenario {sorted(unknown)[0]}. There are: {', '.join(RUN)}.")
        return 2
    report: Figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load before": os.getloadavg(),
        "sizes": {name: str(value) for name, value in vars(given).items()},
        "scenarios": {},
    }
    is_kept = True
    for name in wanted:
        began = time.monotonic()
        for part, figures, kept in RUN[name](given):
            is_kept = is_kept and kept
            figures["seconds in all"] = round(time.monotonic() - began)
            report["scenarios"].setdefault(name, {})[part] = figures | {"kept": kept}
            print(f"\n{name}, {part}: {'kept' if kept else 'BROKEN'}")
            for what, value in figures.items():
                print(f"    {what:<32}{value}")
            given.json.parent.mkdir(exist_ok=True)
            given.json.write_text(json.dumps(report, indent=1))
    print(f"\n{'Every promise was kept.' if is_kept else 'A promise was BROKEN.'} {given.json}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    os.environ.setdefault("PORTAL_MODE", "test")
    sys.exit(main(sys.argv[1:]))
