"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set: requests by route, jobs, calls to the EHR by verb.

The spans are our own, so that nothing is in them but what is named here. No error's own words are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_tracer: Any = None


def start(service: str) -> None:
    """Reads the endpoint and its headers from the environment, as OpenTelemetry has them."""
    global _tracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("booking")


@contextmanager
def span(name: str, *, parent: dict[str, str] | None = None, **attributes: str) -> Iterator[Any]:
    """Around a piece of work, inside whatever span is under way or that ``parent`` hands on. Nothing without a tracer."""
    if _tracer is None:
        yield None
        return
    from opentelemetry.propagate import extract

    context = extract(parent) if parent else None
    with _tracer.start_as_current_span(
        name, context=context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as begun:
        yield begun


def hand_on(headers: dict[str, Any]) -> None:
    """Let a job continue the trace that starts it."""
    if _tracer is not None:
        from opentelemetry.propagate import inject

        inject(headers)
