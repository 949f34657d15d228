"""What is not a race: bytes of a page, memory, the sandbox's own time, and the load client's own."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.rig.processes import accepts_tcp, free_port, running

from .. import grid, load
from ..figures import Figures, Stopwatch
from ..scene import Scene, per_round
from ..usage import cpu_seconds

_FILES = re.compile(r'<(?:link|script)\b[^>]*?\b(?:href|src)="([^"]+\.(css|js|mjs)(?:\?[^"]*)?)"')


def weight(page: bytes, read: Callable[[str], bytes]) -> Figures:
    """Bytes of a page and of the style sheets and scripts it names itself, plain and as gzip -6, and how many files.

    ``files_elsewhere`` are those it has from other hosts, which are counted and not weighed.
    """
    kinds: dict[str, list[bytes]] = {"html": [page], "css": [], "js": []}
    elsewhere = 0
    for address, kind in dict(_FILES.findall(page.decode())).items():
        if address.startswith(("http", "//")):
            elsewhere += 1
        else:
            kinds["js" if kind == "mjs" else kind].append(read(address))
    found = {"files": float(sum(map(len, kinds.values()))), "files_elsewhere": float(elsewhere)}
    for kind, bodies in kinds.items():
        found[f"{kind}_bytes"] = float(sum(map(len, bodies)))
        found[f"{kind}_gzip_bytes"] = float(sum(len(gzip.compress(body, 6)) for body in bodies))
    found["all_gzip_bytes"] = sum(found[f"{kind}_gzip_bytes"] for kind in kinds)
    return found


def weights(scene: Scene, watch: Stopwatch) -> None:
    (path, *_) = grid.week_pages(scene.clinic.week(0))
    browser = grid.Browser(scene.portal.port, {**scene.visitors[0], "Accept-Encoding": "identity"})
    rows = {
        "ours: page": weight(browser.get(path), browser.get),
        "ours: part": weight(browser.get(path, grid.HTMX), browser.get),
    }
    browser.close()
    if scene.peer is not None:
        peer = scene.peer
        browser = grid.Browser(peer.port, {})
        # Its users have a server in front for these.
        rows["peer: its page"] = weight(
            browser.get(peer.page),
            lambda address: (peer.static / address.removeprefix("/static/")).read_bytes(),
        )
        browser.close()
    for what, figures in rows.items():
        watch.note(("bytes", scene.name, what, ""), figures, watch.best_ms)
    watch.note(("memory", scene.name, "ours", "after the warm pages"), scene.portal.memory(), watch.best_ms)
    if scene.peer is not None:
        watch.note(("memory", scene.name, "peer", "after its page"), scene.peer.memory(), watch.best_ms)


def sandbox_alone(scene: Scene, watch: Stopwatch) -> None:
    """Slot searches of one week straight at the sandbox: what a cold page could not be quicker than."""
    scene.delay(0)
    form = "grant_type=client_credentials&client_id=portal-demo&client_secret=portal-demo-secret"
    port = int(scene.sandbox.url.rpartition(":")[2])
    token = load.run(
        port,
        [load.Visitor([load.Ask("/auth/token/", "POST", body=form)])],
        rounds=1,
        keep_bodies=True,
    ).bodies[0][0]
    headers = {"Authorization": f"Bearer {json.loads(token)['access_token']}"}
    days = scene.clinic.week(0)
    asks = [
        load.Ask(
            f"/Slot?schedule=Location.1-Staff.{person.staff_id}&start={days[0]}&end={days[-1]}&duration=20"
        )
        for person in scene.clinic.people[:20]
    ]

    def act(count: int) -> Figures:
        before = cpu_seconds(scene.sandbox.child.pid)
        crowd = [
            load.Visitor([asks[(number + turn) % 20] for turn in range(1)], headers)
            for number in range(count)
        ]
        outcome = load.run(port, crowd, seconds=scene.seconds)
        spent = {"sandbox_cpu": cpu_seconds(scene.sandbox.child.pid) - before}
        return outcome.figures() | per_round(spent, outcome.rounds)

    watch.take(
        {("limits", "", "sandbox: one Slot search", f"c={count}"): partial(act, count) for count in (1, 8)}
    )


def client_alone(watch: Stopwatch, seconds: float, directory: Path) -> None:
    """The load client against a server that does nothing: what it would never measure less than."""
    port = free_port()
    program = [sys.executable, "-m", "tests.bench.nothing", str(port)]
    log = directory / "nothing.log"
    with running("nothing", program, log=log, ready=lambda: accepts_tcp(port)):

        def act(count: int) -> Figures:
            crowd = [load.Visitor([load.Ask("/")]) for _ in range(count)]
            return load.run(port, crowd, seconds=seconds).figures()

        name = ("limits", "", "load client: 30 kB from memory")
        watch.take({(*name, f"c={count}"): partial(act, count) for count in (1, 32)})
