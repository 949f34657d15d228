"""What these manners can be told to do differently at run time, each from how servers differ or change."""

from dataclasses import dataclass
from typing import Literal

from ..switches import SwitchBoard

MedplumVersion = Literal["5.1.12", "5.1.13", "beta"]


@dataclass(slots=True)
class MedplumSwitches(SwitchBoard):
    """`medplum_version` chooses among the forms the scheduling operations had; "beta" is from 5.1.28 on.

    `transaction_bundles` is a project's feature, off until Medplum's staff turn it on. `points_per_minute` is the
    documented load one client may cause, 0 for no limit. `find_in_parameters` gives $find's answer the form that
    the documentation shows and the measured servers did not have.
    """

    medplum_version: MedplumVersion = "beta"
    serialization_conflicts: bool = True
    transaction_bundles: bool = False
    points_per_minute: int = 50_000
    find_in_parameters: bool = False
    search_lag_seconds: float = 0.0


@dataclass(slots=True)
class PlainSwitches(SwitchBoard):
    """What a server may leave out and still be FHIR R4; its CapabilityStatement says what is on.

    `appointment_takes_slots` is on where a server itself refuses an Appointment for a Slot that is not free.
    """

    identifier_search: bool = True
    conditional_update: bool = True
    conditional_create: bool = True
    json_patch: bool = False
    slot_includes: bool = True
    appointment_takes_slots: bool = False
    relative_next_links: bool = False
    search_lag_seconds: float = 0.0
