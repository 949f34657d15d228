"""A gateway that is watched: each call's time and outcome, and the record of the EHR as last seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from booking import ehr_seen, metrics, tracing
from booking.scheduling.errors import EhrFailure, EhrRejected, OutcomeUnknown
from booking.scheduling.gateway import SchedulingGateway

# What asks nothing of the EHR, or not for a patient's sake.
UNWATCHED = frozenset({"close", "capabilities", "limits", "can_move", "photo"})
VERBS = frozenset(
    name for name in vars(SchedulingGateway) if not name.startswith("_") and name not in UNWATCHED
)


class _Watched:
    def __init__(self, gateway: SchedulingGateway, dialect: str) -> None:
        self._gateway = gateway
        self._dialect = dialect

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        return _watch(found, name, self._dialect) if name in VERBS else found


def _watch(call: Callable[..., Any], verb: str, dialect: str) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        outcome = "ok"
        try:
            with tracing.span(f"EHR {verb}", dialect=dialect):
                return call(*args, **kwargs)
        except EhrRejected:
            outcome = "rejected"
            raise
        except OutcomeUnknown:
            outcome = "unknown"
            raise
        except EhrFailure:
            outcome = "unavailable"
            raise
        finally:
            metrics.EHR_SECONDS.labels(verb, dialect, outcome).observe(time.perf_counter() - began)
            # A rejection is an answer too.
            ehr_seen.record(outcome in ("ok", "rejected"), datetime.now(UTC))
            if outcome == "ok" and verb.startswith("free_slots"):
                metrics.BOARD_READ_AT.set_to_current_time()

    return watched


def watched(gateway: SchedulingGateway, dialect: str) -> SchedulingGateway:
    return cast(SchedulingGateway, _Watched(gateway, dialect))
