"""The outermost layer: what every reply of a Canvas host has in common, and where faults strike.

Owns routing between FHIR, /auth/, /_control/ and the health check, the bearer check, the correlation id, and the
form of create and update replies. Everything about resources is the framework's and its handlers'.
"""

import asyncio
import uuid
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .access import SCOPE_KEY
from .auth import Auth
from .ehr import Ehr
from .strikes import FHIR_JSON, App, Message, Receive, Replies, Send, counted, outcome, page, strike
from .visit_rules import TIME_TAKEN

SERVED = frozenset({"Appointment", "Location", "Patient", "Practitioner", "Schedule", "Slot"})
_LETTERS = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "u"}


def _too_many(seconds: float) -> Response:
    response = page(429, "Too Many Requests")
    response.headers["Retry-After"] = str(max(1, round(seconds)))
    return response


_REPLIES = Replies(
    unknown_client=lambda: JSONResponse({"error": "invalid_client"}, 401),
    time_taken=lambda: outcome(422, "business-rule", TIME_TAKEN),
    too_many=_too_many,
)


class Edge:
    """The ASGI application that uvicorn, or a test, is given."""

    def __init__(self, fhir: App, ehr: Ehr, auth: Auth, control: App | None) -> None:
        self.ehr = ehr
        self._fhir = fhir
        self._auth = auth
        self._control = control

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fhir(scope, receive, send)
            return
        send = _with_correlation_id(send)
        first = _first_segment(scope)
        if first == "_control" and self._control is not None:
            await self._control(scope, receive, send)
        elif first == "auth":
            await counted(self.ehr.calls, scope, receive, send, "auth", self._serve_auth)
        elif first in SERVED:
            await counted(self.ehr.calls, scope, receive, send, first, self._serve_fhir)
        elif scope["path"] == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif scope["path"] == "/.well-known/smart-configuration":
            await JSONResponse(_smart_configuration(Request(scope)))(scope, receive, send)
        else:
            await self._fhir(scope, receive, send)

    async def _serve_auth(self, scope: Any, receive: Receive, send: Send) -> None:
        async def answer(scope: Any, receive: Receive, send: Send) -> None:
            response = await self._auth.answer(Request(scope, receive))
            await response(scope, receive, send)

        fault = self.ehr.faults.take(scope["method"], "auth")
        if fault is None:
            await answer(scope, receive, send)
        else:
            await strike(fault, _REPLIES, answer, scope, receive, send)

    async def _serve_fhir(self, scope: Any, receive: Receive, send: Send) -> None:
        request = Request(scope)
        kind = _first_segment(scope)
        token = self._auth.find(request.headers.get("authorization"))
        if token is None:
            await outcome(401, "unknown", "Authentication failed")(scope, receive, send)
            return
        if not token.allows(kind, _letter(scope)):
            await outcome(403, "forbidden", "Authorization failed")(scope, receive, send)
            return
        scope[SCOPE_KEY] = token
        send = self._with_reply_form(request, send)
        fault = self.ehr.faults.take(scope["method"], kind)
        if fault is None:
            await self._fhir(scope, receive, send)
        elif fault.kind == "401":
            await asyncio.sleep(fault.delay_seconds)
            await run_in_threadpool(self._auth.revoke, token)
            await outcome(401, "unknown", "Authentication failed")(scope, receive, send)
        else:
            await strike(fault, _REPLIES, self._fhir, scope, receive, send)

    def _with_reply_form(self, request: Request, send: Send) -> Send:
        """Location as `http://host/Type/id/_history/1` and an empty body, or the other form of each by switch."""
        switches = self.ehr.switches
        if request.method not in ("POST", "PUT"):
            return send
        answers_null = False

        async def reply(message: Message) -> None:
            nonlocal answers_null
            if message["type"] == "http.response.start" and message["status"] in (200, 201):
                headers = {name.lower(): value for name, value in message["headers"]}
                location = headers.get(b"location")
                if location and not switches.relative_location_header:
                    host = request.headers.get("host", "localhost").encode()
                    headers[b"location"] = b"http://" + host + location + b"/_history/1"
                answers_null = switches.null_body and headers.get(b"content-length") == b"0"
                if answers_null:
                    headers |= {b"content-length": b"4", b"content-type": FHIR_JSON.encode()}
                message = {**message, "headers": list(headers.items())}
            elif message["type"] == "http.response.body" and answers_null and not message.get("more_body"):
                message = {**message, "body": b"null"}
            await send(message)

        return reply


def _first_segment(scope: Any) -> str:
    first: str = scope["path"].lstrip("/").partition("/")[0]
    return first


def _letter(scope: Any) -> str:
    """The interaction's letter in SMART scopes."""
    parts = [part for part in scope["path"].split("/") if part]
    if scope["method"] == "GET":
        return "s" if len(parts) == 1 else "r"
    if parts[-1] == "_search":
        return "s"
    return _LETTERS.get(scope["method"], "r")


def _with_correlation_id(send: Send) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            stamp = (b"fumage-correlation-id", str(uuid.uuid4()).encode())
            message = {**message, "headers": [*message["headers"], stamp]}
        await send(message)

    return stamped


def not_found_page() -> Response:
    """A wrong host or path answers in HTML, as Canvas's web servers do."""
    return page(404, "Not Found")


def _smart_configuration(request: Request) -> dict[str, Any]:
    base = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
    return {
        "token_endpoint": f"{base}/auth/token/",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["patient/*.*", "user/*.*"],
        "capabilities": [
            "client-confidential-symmetric",
            "permission-v1",
            "permission-v2",
            "permission-patient",
        ],
    }
