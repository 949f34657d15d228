"""One correlation id from a request through the jobs it starts to the EHR; a job that beat starts gets its own."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from contextvars import Token
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from booking import tracing
from booking.ehr import correlation_id

HEADER = "portal_correlation_id"
_running: dict[str, tuple[Token[str], ExitStack]] = {}


def hand_on(headers: dict[str, Any], **_: Any) -> None:
    if correlation_id.get():
        headers[HEADER] = correlation_id.get()
    tracing.hand_on(headers)


def take_up(task_id: str, task: Any, **_: Any) -> None:
    given = str(task.request.get(HEADER) or "")
    is_ours = len(given) == 32 and given.isalnum()
    token = correlation_id.set(given if is_ours else uuid.uuid4().hex)
    work = ExitStack()
    parent = {name: str(task.request.get(name) or "") for name in ("traceparent", "tracestate")}
    work.enter_context(tracing.span(f"job {task.name.rsplit('.', 1)[-1]}", parent=parent))
    _running[task_id] = token, work


def put_down(task_id: str, **_: Any) -> None:
    if task_id in _running:
        token, work = _running.pop(task_id)
        work.close()
        correlation_id.reset(token)


def watch() -> None:
    before_task_publish.connect(hand_on, dispatch_uid="booking.job_trace")
    task_prerun.connect(take_up, dispatch_uid="booking.job_trace")
    task_postrun.connect(put_down, dispatch_uid="booking.job_trace")
