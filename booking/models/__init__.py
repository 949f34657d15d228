"""What the portal must remember. Patient data is read through the scoped querysets only."""

from .bookings import Booking, BookingEvent
from .clinic import SchedulingPolicy
from .compacts import CompactCredentialRecord, CompactMemberRecord, CompactRecord
from .directory import ClinicianRecord, LicenseRecord, LocationRecord, ScheduleRecord, Specialty
from .outbox import Message
from .people import PatientRecord, User
from .reasons import DurationRuleRecord, ReasonModality, VisitReasonRecord
from .standing import RulesChange, Standing, standing
from .upkeep import ClinicianPhoto, DirectorySync, Heartbeat

__all__ = [
    "Booking",
    "BookingEvent",
    "ClinicianPhoto",
    "ClinicianRecord",
    "CompactCredentialRecord",
    "CompactMemberRecord",
    "CompactRecord",
    "DirectorySync",
    "DurationRuleRecord",
    "Heartbeat",
    "LicenseRecord",
    "LocationRecord",
    "Message",
    "PatientRecord",
    "ReasonModality",
    "RulesChange",
    "ScheduleRecord",
    "SchedulingPolicy",
    "Specialty",
    "Standing",
    "User",
    "VisitReasonRecord",
    "standing",
]
