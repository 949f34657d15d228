"""What the sandbox can be told to do differently: one setting per manner that is configurable or unknown in Canvas."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

UnknownSchedule = Literal["empty", "404"]


@dataclass(slots=True)
class Switches:
    """Defaults are Canvas's own where it has one.

    `null_body` and `relative_location_header` choose between forms that different sources show;
    `unknown_schedule` and `cancelled_frozen` cover behavior no source settles.
    `structured_reason_for_visit` is off in a new Canvas instance, on in this clinic.
    """

    allow_double_booking: bool = True
    structured_reason_for_visit: bool = True
    null_body: bool = False
    relative_location_header: bool = False
    unknown_schedule: UnknownSchedule = "empty"
    cancelled_frozen: bool = True
    search_lag_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def change(self, wanted: dict[str, Any]) -> None:
        """Applies all of `wanted` or raises ValueError, with a sentence, and applies none."""
        for name, value in wanted.items():
            _check(name, value)
        for name, value in wanted.items():
            setattr(self, name, float(value) if name == "search_lag_seconds" else value)

    def restore_defaults(self) -> None:
        self.change(asdict(Switches()))


def _check(name: str, value: Any) -> None:
    if name not in {field.name for field in fields(Switches)}:
        raise ValueError(f"There is no switch named {name!r}.")
    if name == "unknown_schedule":
        if value not in get_args(UnknownSchedule):
            raise ValueError("unknown_schedule is 'empty' or '404'.")
    elif name == "search_lag_seconds":
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError("search_lag_seconds is a number of seconds, 0 or more.")
    elif not isinstance(value, bool):
        raise ValueError(f"{name} is true or false.")
