"""For load balancers and for the developer at their own machine."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET

from booking import health
from booking import metrics as counted
from booking.messaging import development


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """Each part of the portal with its state and age; 503 when patients cannot be served."""
    report = health.report(now=timezone.now())
    return JsonResponse(report.to_json(), status=200 if report.is_ready else 503)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, with its token; without the setting there is no such page."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not constant_time_compare(
        request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}"
    ):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    figures = health.figures(now=timezone.now())
    return HttpResponse(counted.page(figures), content_type=counted.CONTENT_TYPE)


@require_GET
def dev_messages(request: HttpRequest) -> HttpResponse:
    """The mail and texts of the demo. There is no such page in production."""
    if settings.IS_PRODUCTION:
        raise Http404
    messages = [
        entry | {"sent_words": f"{datetime.fromisoformat(entry['sent_at']):%b %d, %H:%M:%S} UTC"}
        for entry in development.latest()
    ]
    return render(request, "dev/messages.html", {"messages": messages})
