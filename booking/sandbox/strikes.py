"""How a fault is carried out, whatever the manners, and the plain replies that all of them use.

Owns nothing about which request a fault strikes: `faults` chooses, an edge calls `strike`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from .calls import Calls
from .connection import drop
from .faults import Fault

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Replies:
    """The refusals that look different from vendor to vendor. `too_many` takes the seconds a client is to wait."""

    unknown_client: Callable[[], Response]
    time_taken: Callable[[], Response]
    too_many: Callable[[float], Response]


async def strike(fault: Fault, replies: Replies, app: App, scope: Any, receive: Receive, send: Send) -> None:
    receive = await _whole_body(receive)
    # For 429 the number of seconds is what the client is told, not a wait.
    if fault.kind not in ("429", "drip") and not fault.kind.startswith("commit-then"):
        await asyncio.sleep(fault.delay_seconds)
    match fault.kind:
        case "slow" | "commit-late":
            await app(scope, receive, send)
        case "reset-before-commit":
            await drop(scope)
        case "commit-then-no-answer" | "commit-then-500":
            await app(scope, receive, _nowhere)
            await asyncio.sleep(fault.delay_seconds)
            if fault.kind == "commit-then-500":
                await outcome(500, "exception", "Internal server error")(scope, receive, send)
            else:
                await drop(scope)
        case "drip":
            await app(scope, receive, _in_drops(send, fault.delay_seconds))
        case "bad-json":
            await app(scope, receive, _cut_in_half(send))
        case "401":
            await replies.unknown_client()(scope, receive, send)
        case "403-html":
            await page(403, "Forbidden")(scope, receive, send)
        case "422":
            await replies.time_taken()(scope, receive, send)
        case "429":
            await replies.too_many(fault.delay_seconds)(scope, receive, send)
        case "500":
            await outcome(500, "exception", "Internal server error")(scope, receive, send)
        case "502":
            await page(502, "Bad Gateway")(scope, receive, send)


async def counted(calls: Calls, scope: Any, receive: Receive, send: Send, kind: str, serve: App) -> None:
    """Serves one request and counts it as open until the last of its answer is on the way."""
    call = calls.begin(scope["method"], kind, scope["query_string"].decode("ascii", "replace"))

    async def reply(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            calls.end(call)
        await send(message)

    try:
        await serve(scope, receive, reply)
    finally:
        calls.end(call)


def outcome(status: int, code: str, text: str) -> Response:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    body = orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})
    return Response(body, status, media_type=FHIR_JSON)


def page(status: int, title: str) -> Response:
    html = f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>"
    return Response(html, status, media_type="text/html")


async def _whole_body(receive: Receive) -> Receive:
    """Takes in the request now, and never reports a client that has since gone: the work goes on without it."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _in_drops(send: Send, seconds: float) -> Send:
    """The body in ten pieces, spread over so many seconds."""

    async def drip(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            await send(message)
            return
        size = -(-len(body) // 10)
        for start in range(0, len(body), size):
            is_last = start + size >= len(body)
            await asyncio.sleep(seconds / 10)
            more = message.get("more_body", False) if is_last else True
            await send({**message, "body": body[start : start + size], "more_body": more})

    return drip


def _cut_in_half(send: Send) -> Send:
    """As long as it says it is, and no JSON: the second half is blanks."""

    async def cut(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and body:
            half = body[: len(body) // 2]
            message = {**message, "body": half + b" " * (len(body) - len(half))}
        await send(message)

    return cut


async def _nowhere(message: Message) -> None:
    """The answer that is never sent."""
