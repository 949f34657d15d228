"""Bundles of interactions: a batch, and a transaction where the server really does one.

In Medplum a `transaction` is carried out as a batch unless the project has the feature: entries that fail do not undo
the others, the HTTP status is 200, and the answer still calls itself a transaction-response.
"""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from ..seed import JsonObject
from .checking import parsed
from .clinic import Clinic
from .interactions import Call
from .outcomes import Answer, Refused, bad_request, not_supported

_HEADERS = {"ifMatch": "if-match", "ifNoneExist": "if-none-exist", "ifNoneMatch": "if-none-match"}

Perform = Callable[[Call], Answer]


def run_bundle(clinic: Clinic, call: Call, perform: Perform, spend: Perform) -> Answer:
    """`perform` does one entry; `spend` is the same under the client's quota, for entries that stand alone."""
    if clinic.medplum is None:
        not_supported("Operation is not supported")
    bundle = parsed(call.body)
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("batch", "transaction"):
        bad_request("Unrecognized bundle type")
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        bad_request("Missing bundle entry")
    named: dict[str, str] = {}
    if bundle["type"] == "transaction" and clinic.medplum.transaction_bundles:
        # The first entry that fails undoes all and gives the whole answer its status.
        with clinic.records.writing():
            done = [_response(_perform(call, entry, perform, named)) for entry in entries]
    else:
        done = [_response(_standing_alone(call, entry, spend, named)) for entry in entries]
    return Answer(200, {"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": done})


def _standing_alone(call: Call, entry: JsonObject, perform: Perform, named: dict[str, str]) -> Answer:
    try:
        return _perform(call, entry, perform, named)
    except Refused as refused:
        return refused.answer()


def _perform(call: Call, entry: JsonObject, perform: Perform, named: dict[str, str]) -> Answer:
    request = entry.get("request")
    texts = (request.get("method"), request.get("url")) if isinstance(request, dict) else ()
    if not isinstance(request, dict) or not all(isinstance(each, str) and each for each in texts):
        bad_request("Missing Bundle entry request method or URL")
    address = urlsplit(_with_names(request["url"], named).removeprefix(f"{call.base}/").lstrip("/"))
    headers = {header: str(request[name]) for name, header in _HEADERS.items() if name in request}
    body = b""
    resource = entry.get("resource")
    if resource is not None and request["method"] == "PATCH":
        headers["content-type"], body = _patch_in(resource)
    elif resource is not None:
        body = _with_names(json.dumps(resource), named).encode()
    answer = perform(
        Call(
            method=request["method"],
            parts=tuple(part for part in address.path.split("/") if part) or ("",),
            pairs=tuple(parse_qsl(address.query, keep_blank_values=True)),
            headers=headers,
            body=body,
            base=call.base,
            client=call.client,
        )
    )
    if (full_url := str(entry.get("fullUrl", ""))).startswith("urn:uuid:") and "Location" in answer.headers:
        named[full_url] = answer.headers["Location"].removeprefix(f"{call.base}/")
    return answer


def _patch_in(resource: Any) -> tuple[str, bytes]:
    """Media type and content of the Binary that brings a patch."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "Binary":
        bad_request("Patch entry must include a Binary resource")
    try:
        content = base64.b64decode(str(resource.get("data", "")), validate=True)
    except ValueError:
        bad_request("Patch entry must include a Binary resource")
    return str(resource.get("contentType", "application/json-patch+json")), content


def _with_names(text: str, named: dict[str, str]) -> str:
    """References to entries that came earlier, by the names they had in the Bundle."""
    for full_url, reference in named.items():
        text = text.replace(full_url, reference)
    return text


def _response(answer: Answer) -> JsonObject:
    response: JsonObject = {"status": str(answer.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in answer.headers:
            response[name] = answer.headers[header]
    body = orjson.loads(answer.as_bytes()) if answer.body is not None else None
    if body is not None and body.get("resourceType") == "OperationOutcome":
        return {"response": {**response, "outcome": body}}
    return {"response": response, **({} if body is None else {"resource": body})}
