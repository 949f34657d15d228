"""For load balancers and for the developer at their own machine."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from booking.messaging import development


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


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
