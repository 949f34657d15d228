"""What is counted and timed, for Prometheus. Labels come from short lists of our own; none is about a patient.

With PROMETHEUS_MULTIPROC_DIR all processes write into that folder, workers and other machines' containers too, and
any web process can answer for all.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

if FOLDER:
    # Containers count their processes from one: the number alone would have two of them write into one file.
    _host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
    values.ValueClass = values.MultiProcessValue(lambda: f"{_host}-{os.getpid()}")

BOOKINGS = Counter("portal_bookings", "Bookings that came to a state; held are the holds.", ["state"])
EHR_SECONDS = Histogram(
    "portal_ehr_call_seconds",
    "Calls to the EHR gateway, retries inside; outcome is ok, rejected, unavailable or unknown.",
    ["verb", "dialect", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30),
)
PAGE_SECONDS = Histogram(
    "portal_page_seconds",
    "Requests by route; the grid of times is the route times.",
    ["route", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BOARD_READ_AT = Gauge(
    "portal_board_read_timestamp_seconds",
    "When free times were last read from the EHR.",
    multiprocess_mode="mostrecent",
)


def observe_page(route: str, status: int, seconds: float) -> None:
    PAGE_SECONDS.labels(route, f"{status // 100}xx").observe(seconds)


class _Figures(Collector):
    def __init__(self, figures: Mapping[str, Iterable[tuple[str, float]]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, parts in self._figures.items():
            family = GaugeMetricFamily(f"portal_{name}", name.replace("_", " "), labels=["part"])
            for part, value in parts:
                family.add_metric([part], value)
            yield family


def page(figures: Mapping[str, Iterable[tuple[str, float]]]) -> bytes:
    """Everything in Prometheus' text form. ``figures``, by name and part, are what is looked up and not counted."""
    if FOLDER:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=FOLDER)
        counted = generate_latest(registry)
    else:
        counted = generate_latest(REGISTRY)
    looked_up = CollectorRegistry()
    looked_up.register(_Figures(figures))
    return counted + generate_latest(looked_up)
