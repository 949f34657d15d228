"""Where the EHR tells that an appointment or a slot has changed. It has no session and no page."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from booking.flows import take_notice

MOST_BYTES = 256 * 1024


@csrf_exempt
def notices(request: HttpRequest) -> HttpResponse:
    """202 for whatever is from the EHR and can be read, known or not; 503 asks it to send it once more."""
    if not settings.EHR_NOTICE_SECRET:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        return _said(413)
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        take_notice.take(body, headers, now=timezone.now())
    except take_notice.NotFromTheEhr:
        response = _said(401)
        response["WWW-Authenticate"] = "Bearer"
        return response
    except ValueError:
        return _said(400)
    except take_notice.QueueAway:
        response = _said(503)
        response["Retry-After"] = "10"
        return response
    return _said(202)


def _said(status: int) -> HttpResponse:
    return HttpResponse(status=status, content_type="text/plain")
