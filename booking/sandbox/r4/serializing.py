"""PostgreSQL's SERIALIZABLE, as a client sees it: work that meets another's commit fails, whatever it was about.

Measured on Medplum: of twenty $book on twenty free times only a few succeed at first, on one Schedule or on twenty,
and two at once always do, because the server itself tries a second time. Work that is not serializable neither fails
this way nor makes other work fail.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .clinic import Clinic
from .outcomes import Answer, Refused, conflict
from .records import Record

ATTEMPTS = 2
# Between what the measured server read and its commit, and before its second attempt.
SNAPSHOT_SECONDS = 0.02
PAUSE_SECONDS = (0.03, 0.07)
# Six of eight measured meetings of $confirm and $cancel.
DEADLOCKS = 0.75


@dataclass(slots=True)
class Plan:
    """What work has decided to do on the state it read. `read` must still be so when it is done.

    `apply` writes and gives the answer; `about` is what two operations can be at odds over, `kind` their name.
    """

    apply: Callable[[], Answer]
    kind: str = ""
    about: str = ""
    read: list[Record] = field(default_factory=list)


class Serializer:
    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._commits = 0
        self._recent: deque[tuple[int, str, str]] = deque(maxlen=200)
        self._lock = threading.Lock()
        self._dice = random.Random()  # noqa: S311 - chance, not secrets

    def alone(self, work: Callable[[], Answer]) -> Answer:
        """Serializable work that reads and writes in one."""
        return self.run(lambda: Plan(apply=work))

    def run(self, prepare: Callable[[], Plan]) -> Answer:
        """`prepare` only reads. It and what it plans are one transaction."""
        medplum = self._clinic.medplum
        if medplum is None or not medplum.serialization_conflicts:
            with self._clinic.records.writing():
                return prepare().apply()
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(self._dice.uniform(*PAUSE_SECONDS))
            with self._lock:
                began = self._commits
            plan = prepare()
            time.sleep(SNAPSHOT_SECONDS)
            answer = self._commit(plan, began)
            if answer is not None:
                return answer
        raise conflict("could not serialize access due to read/write dependencies among transactions")

    def _commit(self, plan: Plan, began: int) -> Answer | None:
        # Until the commit is through: who begins meanwhile would count it and not see it.
        with self._lock, self._clinic.records.writing():
            between = [each for each in self._recent if each[0] > began]
            if self._commits > began:
                others = {kind for _, kind, about in between if about == plan.about}
                if plan.about and others - {plan.kind} and self._dice.random() < DEADLOCKS:
                    raise Refused(400, "invalid", "deadlock detected")
                return None
            if any(self._has_changed(record) for record in plan.read):
                return None
            answer = plan.apply()
            self._commits += 1
            self._recent.append((self._commits, plan.kind, plan.about))
        return answer

    def _has_changed(self, record: Record) -> bool:
        now = self._clinic.records.find(record.type, record.id)
        return now is None or now.version != record.version
