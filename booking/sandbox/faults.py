"""Faults on demand: which request goes wrong next, and how.

Owns the list of faults and the choice of one for a request. `edge` carries the choice out.
"""

import random
import threading
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal[
    "slow",
    "401",
    "403-html",
    "422",
    "429",
    "500",
    "502",
    "reset-before-commit",
    "commit-then-no-answer",
    "commit-then-500",
    "commit-late",
    "drip",
    "bad-json",
]

_FIELDS = {"method", "type", "kind", "times", "delay_seconds", "probability"}


@dataclass(slots=True)
class Fault:
    """`times` counts down to nothing; None is forever. No method or type means any FHIR request.

    `delay_seconds` is a wait before whatever the kind does, except for 429, where it is the Retry-After, and for a drip,
    over which the answer is spread. Half an answer is what bad JSON is.
    """

    kind: Kind
    method: str | None = None
    type: str | None = None
    times: int | None = 1
    delay_seconds: float = 0.0
    probability: float = 1.0

    @classmethod
    def from_json(cls, given: Any) -> "Fault":
        """Raises ValueError with a sentence that says what is wrong."""
        if not isinstance(given, dict):
            raise ValueError("A fault is a JSON object.")
        if unknown := set(given) - _FIELDS:
            raise ValueError(f"A fault has no {sorted(unknown)[0]!r}.")
        kind: Any = given.get("kind")
        if kind not in get_args(Kind):
            raise ValueError(f"kind is one of: {', '.join(get_args(Kind))}.")
        times = given.get("times", 1)
        if times is not None and (not _is_number(times) or times != int(times) or times < 1):
            raise ValueError("times is a whole number above 0, or null for every time.")
        delay, probability = given.get("delay_seconds", 0), given.get("probability", 1)
        if not _is_number(delay) or delay < 0:
            raise ValueError("delay_seconds is a number, 0 or more.")
        if not _is_number(probability) or not 0 <= probability <= 1:
            raise ValueError("probability is a number from 0 to 1.")
        for name in ("method", "type"):
            if given.get(name) is not None and not isinstance(given[name], str):
                raise ValueError(f"{name} is a string.")
        method = given.get("method")
        return cls(
            kind=kind,
            method=method.upper() if method else None,
            type=given.get("type"),
            times=None if times is None else int(times),
            delay_seconds=float(delay),
            probability=float(probability),
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "method": self.method,
            "type": self.type,
            "times": self.times,
            "delay_seconds": self.delay_seconds,
            "probability": self.probability,
        }

    def fits(self, method: str, kind: str) -> bool:
        """The token endpoint answers to the type "auth", and only when named."""
        wanted = self.type == kind if self.type or kind == "auth" else True
        return wanted and self.method in (None, method)


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._dice = random.Random()  # noqa: S311 - chance, not secrets

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def as_list(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.as_dict() for fault in self._faults]

    def take(self, method: str, kind: str) -> Fault | None:
        """The first fault that fits and whose dice agree; uses up one of its times."""
        with self._lock:
            for fault in self._faults:
                if not fault.fits(method, kind) or self._dice.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
