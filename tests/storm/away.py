"""Redis, PostgreSQL, the mail server and the SMS service away in every way they can be, while people book."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from tests.journeys.steps import eventually
from tests.rig.fault_proxy import Mode
from tests.rig.sms import Mode as SmsMode

from .checker import Findings, check, look_again, settle, slowest
from .people import Patient, book_all
from .scene import Scene

END_OF_MAIL = b"\r\n.\r\n"
REDIS_WAYS = ("stopped", "hung", "killed", "flushed", "reset", "dripping")
MAIL_WAYS = ("down", "451", "421", "hanging", "accepted and reset")
SMS_WAYS = ("down", "429", "500", "hanging", "accepted and reset")
# What the carrier took on without telling us so can only be sent again, under the same key.
ANSWER_LOST = "accepted and reset"


@dataclass
class Away:
    """One way of being away. ``back`` is from its end to the first page that worked; ``drained`` to the last message."""

    findings: Findings
    slowest_page: float = 0.0
    failed_pages: int = 0
    drained: float = 0.0
    back: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        return self.findings.figures() | {
            "slowest page s": round(self.slowest_page, 2),
            "failed pages": self.failed_pages,
            "drained after s": round(self.drained, 1),
            "back after s": round(self.back, 1),
            **self.notes,
        }


def without(
    scene: Scene,
    patients: list[Patient],
    way: Callable[[], Any],
    *,
    at_once: int = 4,
    patience: float = 90,
    messages_meet_it: bool = False,
) -> Away:
    """Those people book while ``way`` (a context manager's maker) is in force, which for a carrier's lasts until each
    message has met it."""
    with way():
        book_all(scene, patients, at_once=at_once, patience=patience)
        if messages_meet_it:
            eventually(lambda: _are_tried(scene, patients), seconds=180)
    ended = time.monotonic()
    # The last crash may have come when everybody had booked.
    scene.wait_until(lambda: scene.is_up() and scene.postgres.answers())
    back = time.monotonic() - ended
    drained = settle(scene)
    pages = [said for patient in patients for said in patient.history]
    look_again(scene, patients)
    found = Away(check(scene, patients), drained=drained, back=back)
    found.slowest_page = max(said.seconds for said in pages)
    found.failed_pages = sum(said.status == 0 or said.status >= 400 for said in pages)
    found.notes["booked to message s"] = round(slowest(scene, patients)[1], 1)
    return found


def _are_tried(scene: Scene, patients: list[Patient]) -> bool:
    found = scene.query(
        "SELECT count(*) FROM booking_message JOIN booking_booking ON booking_id = booking_booking.id"
        # Of one under way again nothing is known on record, but it has met what there is to meet.
        " WHERE contact_value = ANY(%s) AND booking_message.state = 'due' AND attempts <= 1 AND last_error = ''",
        [patient.contact for patient in patients],
    )
    return found[0][0] == 0


def redis_away(scene: Scene, how: str) -> Callable[[], Any]:
    @contextmanager
    def away() -> Iterator[None]:
        proxy, child = scene.proxies["redis"], scene.redis.child
        if how in ("stopped", "reset", "dripping"):
            mode = {"stopped": Mode.REFUSE, "reset": Mode.RESET_BEFORE, "dripping": Mode.DRIP}[how]
            with proxy.behaving(mode, seconds=0.05):
                yield
        elif how == "hung":
            child.popen.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                child.popen.send_signal(signal.SIGCONT)
        elif how == "killed":
            child.kill()
            try:
                yield
            finally:
                scene.restart_redis()
        else:
            with _again_and_again(scene.redis.flush, every=0.5):
                yield

    return away


@contextmanager
def _again_and_again(act: Callable[[], object], *, every: float) -> Iterator[None]:
    over = Event()

    def run() -> None:
        while not over.wait(every):
            act()

    thread = Thread(target=run, daemon=True, name="again and again")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def postgres_crashes(scene: Scene, times: int, *, every: float) -> Callable[[], Any]:
    """The cluster ends in immediate mode so many times, and is started again within a second or two."""

    @contextmanager
    def crashing() -> Iterator[None]:
        left = [times]

        def crash() -> None:
            if left[0] and scene.postgres.running:
                left[0] -= 1
                scene.postgres.crash()

        with _again_and_again(crash, every=every):
            yield
            eventually(lambda: left[0] == 0, seconds=times * (every + 30))

    return crashing


def mail_away(scene: Scene, how: str) -> Callable[[], Any]:
    @contextmanager
    def away() -> Iterator[None]:
        proxy = scene.proxies["smtp"]
        if how in ("451", "421"):
            scene.mail.refusal = f"{how} try again later"
            try:
                yield
            finally:
                scene.mail.refusal = None
            return
        modes = {"down": Mode.REFUSE, "hanging": Mode.HANG, ANSWER_LOST: Mode.RESET_AFTER}
        with proxy.behaving(modes[how], only=END_OF_MAIL if how == ANSWER_LOST else b""):
            yield

    return away


def sms_away(scene: Scene, how: str) -> Callable[[], Any]:
    @contextmanager
    def away() -> Iterator[None]:
        if how == "down":
            with scene.proxies["sms"].behaving(Mode.REFUSE):
                yield
            return
        scene.sms.mode = {
            "429": SmsMode.TOO_MANY,
            "500": SmsMode.BROKEN,
            "hanging": SmsMode.HANG,
            ANSWER_LOST: SmsMode.ACCEPT_THEN_RESET,
        }[how]
        try:
            yield
        finally:
            scene.sms.mode = SmsMode.OK
            scene.sms.release()

    return away
