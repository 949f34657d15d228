"""What every request gets: a correlation id, privacy headers, whole-page redirects under htmx, and EHR failures as pages."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect

from booking import ehr, metrics, tracing
from booking.scheduling.errors import EhrFailure

log = logging.getLogger(__name__)
View = Callable[[HttpRequest], HttpResponseBase]


class CorrelationFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = ehr.correlation_id.get() or "-"
        return True


def correlation(get_response: View) -> View:
    """One id per request, sent to the EHR with every call it causes and written on every line of the log."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        token = ehr.correlation_id.set(uuid.uuid4().hex)
        try:
            response = get_response(request)
            response["X-Correlation-ID"] = ehr.correlation_id.get()
            return response
        finally:
            ehr.correlation_id.reset(token)

    return middleware


def timed(get_response: View) -> View:
    """How long each route takes. Files and addresses that are no route are not timed."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        with tracing.span(str(request.method)) as span:
            response = get_response(request)
            if span is not None and request.resolver_match is not None:
                span.update_name(f"{request.method} {request.resolver_match.view_name}")
                span.set_attribute("http.response.status_code", response.status_code)
        if request.resolver_match is not None:
            metrics.observe_page(
                request.resolver_match.view_name, response.status_code, time.perf_counter() - began
            )
        return response

    return middleware


def private_pages(get_response: View) -> View:
    """Nothing a view answers may be kept by a browser or a proxy; a page and its partial are told apart."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["HX-Request"])
        return response

    return middleware


def htmx_redirects(get_response: View) -> View:
    """A redirect that answers an htmx request goes to the whole page, so that no page lands inside another.

    An expired sign-in during a swap therefore ends at the login page itself.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if getattr(request, "htmx", False) and response.status_code in (301, 302, 303, 307, 308):
            whole = HttpResponseClientRedirect(response["Location"])
            whole.cookies = response.cookies
            return whole
        return response

    return middleware


class ehr_failures:  # noqa: N801 - named as the function it acts as
    """The EHR being away becomes a page, or the same words inside the part of a page that was asked for."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, EhrFailure):
            return None
        level = logging.WARNING if exception.can_retry else logging.ERROR
        log.log(
            level, "EHR: %s (status %s, EHR id %s)", exception, exception.status, exception.correlation_id
        )
        retry_url = request.get_full_path() if request.method == "GET" else ""
        response = render(request, "booking/ehr_unavailable.html", {"retry_url": retry_url}, status=503)
        if getattr(request, "htmx", False):
            # The whole page, in place of the one that is there.
            response["HX-Retarget"] = "body"
            response["HX-Reswap"] = "outerHTML"
        return response
