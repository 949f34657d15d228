"""What an answer means: the only place that reads statuses and OperationOutcome issues.

A read that failed did nothing, so it is either worth another try (``EhrUnavailable``) or not
(``EhrRejected``). A create that failed may still have been performed; where that cannot be ruled out it is
``OutcomeUnknown``.

Messages carry statuses and issue codes, never the EHR's own text, which may name a patient.
"""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

from booking.scheduling.errors import (
    Changed,
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    NotFound,
    OutcomeUnknown,
    TimeTaken,
)

from .wire import Answer, Flaw, NoAnswer

Json = dict[str, Any]
_F = TypeVar("_F", bound=EhrFailure)

_MAX_RETRY_AFTER_SECONDS = 86_400.0
_ISSUE_CODE = re.compile(r"[a-z][a-z-]{0,39}")
_OAUTH_ERROR = re.compile(r"[a-z][a-z_]{0,39}")
_CREATED_AT = re.compile(r"(?:^|/)([A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]*)?/?$")
_QUOTA = re.compile(r";\s*r=(-?[0-9]{1,9})\s*;\s*t=([0-9]{1,9})")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")

# Canvas' wording when double booking is switched off and the time overlaps (its Appointment page, 422).
_TIME_TAKEN = "this appointment time is no longer available"

# Canvas' wordings for a mapping that the clinic has to mend. They name codes and no patient.
_MENDABLE = (
    ("appointment type does not exist", "the EHR does not know the appointment type"),
    ("is not scheduleable", "the EHR does not let this appointment type be scheduled"),
    ("structured reason for visit", "the EHR does not know the reason for visit's code, or knows it twice"),
)


class TooLarge(EhrRejected):
    """The answer is more than is taken in; a question for less may do."""


def parse_object(body: bytes) -> Json | None:
    """The JSON object in a body; None for HTML, half a document, NaN, bottomless nesting or anything else."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def wants_new_token(answer: Answer | NoAnswer) -> bool:
    return isinstance(answer, Answer) and answer.status == 401


def read_object(answer: Answer | NoAnswer) -> Json:
    """The object a safe read brought."""
    if isinstance(answer, NoAnswer):
        raise _silent(EhrUnavailable, answer)
    if not 200 <= answer.status < 300:
        raise _failed_read(answer)
    return _whole_object(answer)


def created_reference(answer: Answer | NoAnswer, resource_type: str) -> str:
    """The reference ``Type/id`` of what a create made, from its Location header or else from its body.

    Canvas answers 201 with an empty body or a literal ``null``. Its Location is an absolute http URL that
    ends in ``/_history/1``, or in newer versions of its framework a path without history.
    """
    if isinstance(answer, NoAnswer):
        raise _silent(OutcomeUnknown if answer.was_sent else EhrUnavailable, answer)
    if not 200 <= answer.status < 300:
        raise _failed_create(answer)
    place = answer.headers.get("location", "").split("?", 1)[0]
    if (found := _CREATED_AT.search(place)) and found[1] == resource_type:
        return f"{resource_type}/{found[2]}"
    body = parse_object(answer.body) or {}
    made = body.get("id")
    if body.get("resourceType") == resource_type and isinstance(made, str) and _ID.fullmatch(made):
        return f"{resource_type}/{made}"
    raise _failure(OutcomeUnknown, answer, "accepted, but the answer does not say what was made")


def written_object(answer: Answer | NoAnswer) -> Json:
    """The object that an update, a patch or an operation answered with; empty where the EHR answers with none.

    Raises ``Changed`` when a condition did not hold, ``OutcomeUnknown`` when it may or may not have been done.
    """
    if isinstance(answer, NoAnswer):
        raise _silent(OutcomeUnknown if answer.was_sent else EhrUnavailable, answer)
    if not 200 <= answer.status < 300:
        raise _failed_create(answer)
    return parse_object(answer.body) or {}


def updated(answer: Answer | NoAnswer) -> Json:
    """As ``written_object``, for a PUT: there some servers tell a condition that does not hold with 409 (HAPI), and
    Medplum a write that met another one and was rolled back."""
    if isinstance(answer, Answer) and answer.status == 409 and not _says_time_taken(answer):
        raise _failure(Changed, answer, "it has changed since it was read")
    return written_object(answer)


def token_object(answer: Answer | NoAnswer) -> Json:
    """The token endpoint's object. To ask for a token changes nothing, so no outcome is unknown."""
    if isinstance(answer, NoAnswer):
        raise _silent(EhrUnavailable, answer)
    if 300 <= answer.status < 400:
        raise _failure(
            EhrRejected,
            answer,
            "the token endpoint redirects: set token_url to the address it redirects to. "
            "For Canvas it ends in a slash: https://<instance>.canvasmedical.com/auth/token/",
        )
    if answer.status in (400, 401) or (answer.status == 403 and parse_object(answer.body) is not None):
        reason = (parse_object(answer.body) or {}).get("error")
        known = reason if isinstance(reason, str) and _OAUTH_ERROR.fullmatch(reason) else "no reason given"
        raise _failure(EhrRejected, answer, f"no token for this client id, secret and scope ({known})")
    if not 200 <= answer.status < 300:
        raise _failed_read(answer)
    return _whole_object(answer)


def _whole_object(answer: Answer) -> Json:
    if answer.flaw in (Flaw.TOO_LARGE, Flaw.ENCODED):
        raise _failure(TooLarge if answer.flaw is Flaw.TOO_LARGE else EhrRejected, answer, answer.flaw)
    if answer.flaw:
        raise _failure(EhrUnavailable, answer, answer.flaw)
    if (found := parse_object(answer.body)) is not None:
        return found
    # Often a maintenance or log-in page put in front of the EHR.
    raise _failure(EhrUnavailable, answer, "the answer is not a JSON object")


def _failed_read(answer: Answer) -> EhrFailure:
    if answer.status in (408, 425, 429) or answer.status >= 500:
        return _failure(EhrUnavailable, answer, "the EHR cannot answer now")
    if _is_edge_block(answer):
        return _failure(EhrUnavailable, answer, "blocked in front of the EHR")
    return _refused(answer)


def _failed_create(answer: Answer) -> EhrFailure:
    if answer.status in (425, 429):
        return _failure(EhrUnavailable, answer, "the EHR takes no more requests now")
    if _is_edge_block(answer):
        return _failure(EhrUnavailable, answer, "blocked in front of the EHR")
    # 303 says that the work is done and can be seen elsewhere; 408 may be a proxy's that gave up waiting.
    if answer.status in (303, 408) or not 300 <= answer.status < 500:
        return _failure(OutcomeUnknown, answer, "the EHR failed while it worked on it")
    if answer.status in (400, 409, 422) and _says_time_taken(answer):
        return _failure(TimeTaken, answer, "the time is no longer free")
    return _refused(answer)


def _refused(answer: Answer) -> EhrFailure:
    if 300 <= answer.status < 400:
        return _failure(EhrRejected, answer, "the EHR redirects: set base_url to its final address")
    if answer.status == 401:
        # Nothing was looked at, let alone done; the next token may be good. No patient is refused for it.
        return _failure(EhrUnavailable, answer, "the EHR refuses a token that is new")
    if answer.status == 403:
        return _failure(EhrRejected, answer, "our token does not allow it: check the client's scopes")
    if answer.status in (404, 410) and parse_object(answer.body) is not None:
        return _failure(NotFound, answer, "the EHR has no such record")
    if answer.status == 412:
        return _failure(Changed, answer, "it has changed since it was read")
    hints = [hint for mark, hint in _MENDABLE if any(mark in text for text in issue_texts(answer))]
    return _failure(EhrRejected, answer, hints[0] if hints else "the EHR refuses it")


def _says_time_taken(answer: Answer) -> bool:
    return any(_TIME_TAKEN in text for text in issue_texts(answer))


def _is_edge_block(answer: Answer) -> bool:
    # The EHR itself refuses with an OperationOutcome. Anything else comes from the firewall before it,
    # which has been seen to block whole sites for a while.
    return answer.status == 403 and parse_object(answer.body) is None


def issues(answer: Answer) -> list[Json]:
    issues = (parse_object(answer.body) or {}).get("issue")
    return [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []


def issue_texts(answer: Answer) -> list[str]:
    found: list[object] = []
    for issue in issues(answer):
        details = issue.get("details")
        found += [details.get("text") if isinstance(details, dict) else None, issue.get("diagnostics")]
    return [" ".join(text.split()).casefold() for text in found if isinstance(text, str)]


def _failure(kind: type[_F], answer: Answer, meaning: str) -> _F:
    codes = [issue.get("code") for issue in issues(answer)]
    code = next((code for code in codes if isinstance(code, str) and _ISSUE_CODE.fullmatch(code)), "")
    return kind(
        f"{answer.request}: {meaning} (status {answer.status}{f', {code}' if code else ''})",
        status=answer.status,
        issue_code=code,
        correlation_id=answer.correlation_id,
        retry_after_seconds=_retry_after(answer),
    )


def _silent(kind: type[_F], answer: NoAnswer) -> _F:
    return kind(f"{answer.request}: no answer ({answer.reason})", correlation_id=answer.correlation_id)


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait, from Retry-After, or from the RateLimit header that Medplum sends in its place (IETF draft
    ``ratelimit-headers``: ``"requests";r=0;t=17``, where r is what is left and t the seconds until there is more)."""
    value = answer.headers.get("retry-after", "").strip()
    if not value and answer.status == 429:
        quotas = _QUOTA.findall(answer.headers.get("ratelimit", ""))
        # A write may cost more than what is left, so that nothing is at 0 and it is refused all the same.
        waits = [float(t) for r, t in quotas if int(r) <= 0] or [float(t) for _, t in quotas]
        return min(max(waits), _MAX_RETRY_AFTER_SECONDS) if waits else None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), _MAX_RETRY_AFTER_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
