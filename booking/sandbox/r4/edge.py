"""The outermost layer: routing, the bearer check, the headers every reply has, and where faults strike."""

import asyncio
import uuid
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..faults import Fault
from ..strikes import FHIR_JSON, App, Message, Receive, Replies, Send, counted, outcome, page, strike
from .batches import run_bundle
from .clinic import BASE_PATHS, TOKEN_PATHS, Clinic
from .interactions import Call, Interactions
from .outcomes import Answer, Refused
from .quotas import Quotas, price
from .tokens import Token, Tokens

_LETTERS = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}
_OPEN = frozenset({"metadata", ".well-known"})
_TIME_TAKEN = "The time is taken."
_TOKEN_KEY = "sandbox.token"  # noqa: S105 - a key in the ASGI scope


class R4Edge:
    """The ASGI application that uvicorn, or a test, is given."""

    def __init__(
        self, clinic: Clinic, interactions: Interactions, tokens: Tokens, control: App | None
    ) -> None:
        self.ehr = clinic
        self._interactions = interactions
        self._tokens = tokens
        self._control = control
        self._quotas = Quotas(clinic)
        clinic.on_reseed.append(self._quotas.reset)
        self._base = BASE_PATHS[clinic.manners]
        self._replies = _replies(clinic)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("The sandbox speaks HTTP only.")
        path: str = scope["path"]
        send = self._with_headers(Request(scope), send)
        if path.startswith("/_control/") and self._control is not None:
            await self._control(scope, receive, send)
        elif path == TOKEN_PATHS[self.ehr.manners]:
            await counted(self.ehr.calls, scope, receive, send, "auth", self._serve_token)
        elif path == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif path in ("/.well-known/smart-configuration", f"{self._base}/.well-known/smart-configuration"):
            await JSONResponse(self._tokens.configuration(_origin(Request(scope))))(scope, receive, send)
        elif path == self._base or path.startswith(f"{self._base}/"):
            await counted(self.ehr.calls, scope, receive, send, self._kind(path), self._serve_fhir)
        else:
            await page(404, "Not Found")(scope, receive, send)

    def _kind(self, path: str) -> str:
        return path.removeprefix(self._base).strip("/").partition("/")[0] or "Bundle"

    async def _serve_token(self, scope: Any, receive: Receive, send: Send) -> None:
        async def answer(scope: Any, receive: Receive, send: Send) -> None:
            response = await self._tokens.answer(Request(scope, receive))
            await response(scope, receive, send)

        fault = self.ehr.faults.take(scope["method"], "auth")
        if fault is None:
            await answer(scope, receive, send)
        else:
            await strike(fault, self._replies, answer, scope, receive, send)

    async def _serve_fhir(self, scope: Any, receive: Receive, send: Send) -> None:
        kind = self._kind(scope["path"])
        token = self._tokens.find(Request(scope).headers.get("authorization"))
        if token is None and kind not in _OPEN:
            await _unauthorized()(scope, receive, send)
            return
        if (
            token is not None
            and kind not in (*_OPEN, "Bundle")
            and not token.allows(kind, _letter(scope, kind))
        ):
            await outcome(403, "forbidden", "Forbidden")(scope, receive, send)
            return
        scope[_TOKEN_KEY] = token
        fault = self.ehr.faults.take(scope["method"], kind)
        if fault is None:
            await self._answer(scope, receive, send)
        elif fault.kind == "401" and token is not None:
            await self._forget(fault, token)
            await _unauthorized()(scope, receive, send)
        else:
            await strike(fault, self._replies, self._answer, scope, receive, send)

    async def _forget(self, fault: Fault, token: Token) -> None:
        await asyncio.sleep(fault.delay_seconds)
        await run_in_threadpool(self._tokens.revoke, token)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        token: Token | None = scope[_TOKEN_KEY]
        call = Call(
            method=request.method,
            parts=tuple(request.url.path.removeprefix(self._base).strip("/").split("/")),
            pairs=tuple(request.query_params.multi_items()),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
            base=f"{_origin(request)}{self._base}",
            client=token.client_id if token else "",
        )
        answer = await run_in_threadpool(self._perform, call)
        response = Response(answer.as_bytes(), answer.status, answer.headers, media_type=FHIR_JSON)
        await response(scope, receive, send)

    def _perform(self, call: Call) -> Answer:
        try:
            self._quotas.request()
            if call.parts == ("",):
                if call.method != "POST":
                    raise Refused(404, "not-found", "Not found")
                return run_bundle(self.ehr, call, self._interactions.perform, self._spend)
            return self._spend(call)
        except Refused as refused:
            return refused.answer()

    def _spend(self, call: Call) -> Answer:
        if self.ehr.medplum is not None and call.parts != ("metadata",):
            self._quotas.spend(price(call))
        return self._interactions.perform(call)

    def _with_headers(self, request: Request, send: Send) -> Send:
        """A request id of our own and the client's, if it sent one; in Medplum, what is left of the quota."""
        theirs = request.headers.get("x-request-id") or request.headers.get("x-correlation-id")

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"x-request-id", str(uuid.uuid4()).encode())]
                if theirs:
                    headers.append((b"x-correlation-id", theirs.encode()))
                names = {name.lower() for name, _ in headers}
                if self.ehr.medplum is not None and b"ratelimit" not in names:
                    headers.append((b"ratelimit", self._quotas.header().encode()))
                message = {**message, "headers": headers}
            await send(message)

        return reply


def _letter(scope: Any, kind: str) -> str:
    """The interaction's letter in SMART's scopes; an operation writes, except $find."""
    rest = scope["path"].partition(f"/{kind}")[2].strip("/")
    if scope["method"] == "GET":
        return "s" if not rest or rest.startswith("$") else "r"
    if rest == "_search":
        return "s"
    return _LETTERS.get(scope["method"], "r")


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


def _unauthorized() -> Response:
    response = outcome(401, "login", "Unauthorized")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _replies(clinic: Clinic) -> Replies:
    is_medplum = clinic.medplum is not None

    def too_many(seconds: float) -> Response:
        response = outcome(429, "throttled", "Too Many Requests")
        wait = max(1, round(seconds))
        if is_medplum:
            response.headers["RateLimit"] = f'"requests";r=59000;t={wait}, "fhirInteractions";r=0;t={wait}'
        else:
            response.headers["Retry-After"] = str(wait)
        return response

    def unknown_client() -> Response:
        if is_medplum:
            return JSONResponse({"error": "invalid_request"}, 400)
        return JSONResponse({"error": "invalid_client"}, 401)

    return Replies(
        unknown_client=unknown_client,
        time_taken=lambda: outcome(422, "business-rule", _TIME_TAKEN),
        too_many=too_many,
    )
