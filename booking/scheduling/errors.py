"""How things go wrong, told apart by what may be done next.

SchedulingError
├── Refusal            we say no, for a reason the patient is told, with a way on
├── CannotChange       the visit is over, was never booked, or is being changed already
└── EhrFailure         the EHR did not do what was asked
    ├── EhrUnavailable     nothing was done; the same call may succeed later
    ├── EhrRejected        nothing was done; the same call will be rejected again
    │   ├── TimeTaken          ... because the time is no longer free
    │   ├── NotFound           ... because the EHR has no such record
    │   └── Changed            ... because the record is not as it was when it was read
    └── OutcomeUnknown     a write went out and no usable answer came: never send it again blindly
"""

from __future__ import annotations

from enum import StrEnum


class RefusalCode(StrEnum):
    TIME_TAKEN = "time_taken"
    TIME_PAST = "time_past"
    TOO_SOON = "too_soon"
    TOO_FAR = "too_far"
    NOT_LICENSED = "not_licensed"
    NOT_OFFERED = "not_offered"
    HOLD_ENDED = "hold_ended"
    HOLD_LIMIT = "hold_limit"
    NOT_ACCEPTED = "not_accepted"
    EHR_AWAY = "ehr_away"


class SchedulingError(Exception):
    can_retry = False


class Refusal(SchedulingError):
    """A no with a reason. ``can_retry`` says whether choosing again can help."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(str(code))
        self.code = code
        self.can_retry = code not in {
            RefusalCode.NOT_LICENSED,
            RefusalCode.NOT_OFFERED,
            RefusalCode.NOT_ACCEPTED,
        }


class CannotChange(SchedulingError):
    pass


class EhrFailure(SchedulingError):
    """Carries no patient data: a message for logs, the HTTP status and the EHR's correlation id."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        issue_code: str = "",
        correlation_id: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.issue_code = issue_code
        self.correlation_id = correlation_id
        self.retry_after_seconds = retry_after_seconds


class EhrUnavailable(EhrFailure):
    can_retry = True


class EhrRejected(EhrFailure):
    pass


class TimeTaken(EhrRejected):
    pass


class NotFound(EhrRejected):
    pass


class Changed(EhrRejected):
    pass


class OutcomeUnknown(EhrFailure):
    pass
