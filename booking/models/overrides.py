"""Fields the EHR fills and the desk may set otherwise: what the EHR says is kept beside what counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.db import models


class EhrFilled(models.Model):
    """``ehr_values`` is what the EHR said last, by field; ``overridden`` the names of fields that the desk set.

    Values are as JSON has them: text, numbers, and lists for many-to-many fields.
    """

    EHR_FIELDS: ClassVar[tuple[str, ...]] = ()
    # Every row of this kind has these, each declared with its own words.
    ehr_ref: models.CharField[str, str]
    is_active: models.BooleanField[bool, bool]

    ehr_values = models.JSONField(default=dict, editable=False)
    overridden = models.JSONField(default=list, editable=False)

    class Meta:
        abstract = True

    def hear(self, values: Mapping[str, Any]) -> bool:
        """Take in what the EHR says now. What the desk set stays. True when the row has to be saved."""
        before: dict[str, Any] = dict(self.ehr_values)
        is_changed = False
        self.ehr_values = {**before, **values}
        for name, value in values.items():
            if name not in self.overridden and self.current(name) != value:
                self.put(name, value)
                is_changed = True
        return is_changed or self.ehr_values != before

    def settle(self, names: Iterable[str]) -> None:
        """After the desk gave these fields their values: one that differs from the EHR's is an override, one that
        does not is none. A value given before the EHR ever said its own is an override."""
        overridden = set(self.overridden)
        for name in names:
            if name in self.ehr_values and self.current(name) == self.ehr_values[name]:
                overridden.discard(name)
            else:
                overridden.add(name)
        self.overridden = sorted(overridden)

    def take_ehr_values(self) -> None:
        """End every override. A field of which the EHR has said nothing keeps its value until it does."""
        for name in self.overridden:
            if name in self.ehr_values:
                self.put(name, self.ehr_values[name])
        self.overridden = []

    def current(self, name: str) -> Any:
        return getattr(self, name)

    def put(self, name: str, value: Any) -> None:
        setattr(self, name, value)
