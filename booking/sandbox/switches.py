"""What the sandbox can be told to do differently: one setting per manner that is configurable or unknown."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

UnknownSchedule = Literal["empty", "404"]


class SwitchBoard:
    """Base of a dataclass of switches. A float is a number of seconds, an int a number of things."""

    def as_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def change(self, wanted: dict[str, Any]) -> None:
        """Applies all of `wanted` or raises ValueError, with a sentence, and applies none."""
        hints = get_type_hints(type(self))
        for name, value in wanted.items():
            if name not in hints:
                raise ValueError(f"There is no switch named {name!r}.")
            _check(name, hints[name], value)
        for name, value in wanted.items():
            setattr(self, name, float(value) if hints[name] is float else value)

    def restore_defaults(self) -> None:
        self.change(type(self)().as_dict())


@dataclass(slots=True)
class Switches(SwitchBoard):
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


def _check(name: str, hint: Any, value: Any) -> None:
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false.")
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{name} is a number of seconds, 0 or more.")
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} is a whole number, 0 or more.")
    elif value not in get_args(hint):
        raise ValueError(f"{name} is {' or '.join(repr(each) for each in get_args(hint))}.")
