"""Runs that take turns, each after a calibration, and what is made of them.

A machine's neighbors double wall and CPU time alike, without notice. So before each run a fixed loop is timed; a run
whose loop took more than 1.15 times the best is done again, a few times at most, and is left out at the end unless
too few would remain. Then the figure stands, with a mark.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

LOOP = 300_000
NOISY = 1.15
FEWEST = 3

Figures = dict[str, float]
Act = Callable[[], Figures]


def calibration() -> float:
    """Milliseconds that a fixed loop takes now: the better of two, so that one interrupt does not count."""
    return min(_loop(), _loop())


def _loop() -> float:
    started, total = time.perf_counter(), 0
    for number in range(LOOP):
        total += number & 7
    return (time.perf_counter() - started) * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all are not above."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latency_figures(milliseconds: Sequence[float]) -> Figures:
    return {
        "p50_ms": percentile(milliseconds, 0.50),
        "p95_ms": percentile(milliseconds, 0.95),
        "p99_ms": percentile(milliseconds, 0.99),
    }


@dataclass
class Sample:
    calibration_ms: float
    figures: Figures


@dataclass
class Series:
    """All runs of one thing. ``samples`` grows; ``kept`` is what counts in the end."""

    samples: list[Sample] = field(default_factory=list)

    def kept(self, best_ms: float) -> list[Sample]:
        """The quiet runs; the quietest few when too few are."""
        quiet = [each for each in self.samples if each.calibration_ms <= NOISY * best_ms]
        if len(quiet) >= min(FEWEST, len(self.samples)):
            return quiet
        return sorted(self.samples, key=lambda each: each.calibration_ms)[:FEWEST]

    def summary(self, best_ms: float) -> Summary:
        kept = self.kept(best_ms)
        names = {name: None for each in kept for name in each.figures}
        values = {name: [each.figures[name] for each in kept if name in each.figures] for name in names}
        return Summary(
            runs=len(kept),
            discarded=len(self.samples) - len(kept),
            is_noisy=any(each.calibration_ms > NOISY * best_ms for each in kept),
            median={name: statistics.median(found) for name, found in values.items()},
            least={name: min(found) for name, found in values.items()},
            most={name: max(found) for name, found in values.items()},
        )


@dataclass
class Summary:
    """Medians, minima and maxima by figure over the runs that count."""

    runs: int
    discarded: int
    is_noisy: bool
    median: Figures
    least: Figures
    most: Figures


class Stopwatch:
    """Takes the runs of a whole benchmark, and knows the best calibration of all."""

    def __init__(
        self,
        runs: int,
        tries: int = 3,
        calibrate: Callable[[], float] = calibration,
        tell: Callable[[str], object] = str,
    ) -> None:
        self.runs = runs
        self.tries = tries
        self.best_ms = float("inf")
        self._calibrate = calibrate
        self._tell = tell
        self.series: dict[tuple[str, ...], Series] = {}

    def quiet(self) -> float:
        """Wait for a quiet moment, for a few short pauses at most; the calibration as it then was."""
        for attempt in range(self.tries):
            found = self._calibrate()
            self.best_ms = min(self.best_ms, found)
            if found <= NOISY * self.best_ms:
                break
            if attempt + 1 < self.tries:
                time.sleep(0.2)
        return found

    def take(self, acts: Mapping[tuple[str, ...], Act], runs: int | None = None) -> None:
        """Run each of ``acts`` in turn, A B A B. A run that fell into noise gets one more turn at the end."""
        for _ in range(runs or self.runs):
            for name, act in acts.items():
                self._once(name, act)
        for name, act in acts.items():
            noisy = [each for each in self.series[name].samples if self._is_noisy(each)]
            for _ in noisy[: self.tries]:
                self._once(name, act)

    def _once(self, name: tuple[str, ...], act: Act) -> None:
        before = self.quiet()
        self._tell(" · ".join(filter(None, name)))
        self.series.setdefault(name, Series()).samples.append(Sample(before, act()))

    def note(self, name: tuple[str, ...], figures: Figures, calibration_ms: float) -> None:
        """One run that somebody else took, with the calibration before it."""
        self.series.setdefault(name, Series()).samples.append(Sample(calibration_ms, figures))

    def _is_noisy(self, sample: Sample) -> bool:
        return sample.calibration_ms > NOISY * self.best_ms

    def summaries(self) -> dict[tuple[str, ...], Summary]:
        return {name: each.summary(self.best_ms) for name, each in self.series.items()}
