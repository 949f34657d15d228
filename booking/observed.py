"""A gateway that is watched: each call's outcome goes into the record of the EHR as last seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from booking import ehr_seen
from booking.scheduling.errors import EhrFailure, EhrRejected
from booking.scheduling.gateway import SchedulingGateway

# What asks nothing of the EHR, or not for a patient's sake.
UNWATCHED = frozenset({"close", "capabilities", "limits", "can_move", "photo"})
VERBS = frozenset(
    name for name in vars(SchedulingGateway) if not name.startswith("_") and name not in UNWATCHED
)


class _Watched:
    def __init__(self, gateway: SchedulingGateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        return _watch(found) if name in VERBS else found


def _watch(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = call(*args, **kwargs)
        except EhrFailure as error:
            # A rejection is an answer too.
            ehr_seen.record(isinstance(error, EhrRejected), datetime.now(UTC))
            raise
        ehr_seen.record(True, datetime.now(UTC))
        return answer

    return watched


def watched(gateway: SchedulingGateway) -> SchedulingGateway:
    return cast(SchedulingGateway, _Watched(gateway))
