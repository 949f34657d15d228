"""JSON Patch (RFC 6902) on a resource, with the words Medplum has for a test that fails."""

import copy
import json
from typing import Any

from ..seed import JsonObject
from .outcomes import bad_request


def patched(resource: JsonObject, body: bytes) -> JsonObject:
    """A new resource; any step that does not fit refuses the whole patch."""
    try:
        steps = json.loads(body)
    except ValueError:
        bad_request("Content could not be parsed")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        bad_request("Patch body must be an array")
    whole: Any = copy.deepcopy(resource)
    for step in steps:
        whole = _step(whole, step)
    if not isinstance(whole, dict):
        bad_request("Patch leaves no resource")
    return whole


def _step(whole: Any, step: JsonObject) -> Any:
    path = _path(step.get("path"))
    match step.get("op"):
        case "test":
            found = _get(whole, path)
            if found != step.get("value"):
                bad_request(f"Test failed: {_word(found)} != {_word(step.get('value'))}")
        case "add":
            _put(whole, path, step.get("value"), is_new=True)
        case "replace":
            _get(whole, path)
            _put(whole, path, step.get("value"), is_new=False)
        case "remove":
            _remove(whole, path)
        case "move":
            source = _path(step.get("from"))
            value = _get(whole, source)
            _remove(whole, source)
            _put(whole, path, value, is_new=True)
        case "copy":
            _put(whole, path, copy.deepcopy(_get(whole, _path(step.get("from")))), is_new=True)
        case other:
            bad_request(f"Invalid operation: {other}")
    return whole


def _path(text: Any) -> list[str]:
    if not isinstance(text, str) or not text.startswith("/"):
        bad_request(f"Invalid path: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(whole: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(whole, dict) and part in whole:
            whole = whole[part]
        elif isinstance(whole, list) and part.isdigit() and int(part) < len(whole):
            whole = whole[int(part)]
        else:
            bad_request(f"Value does not exist: /{'/'.join(path)}")
    return whole


def _put(whole: Any, path: list[str], value: Any, *, is_new: bool) -> None:
    parent, last = _get(whole, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and (last == "-" or (last.isdigit() and int(last) <= len(parent))):
        at = len(parent) if last == "-" else int(last)
        parent[at : at if is_new else at + 1] = [value]
    else:
        bad_request(f"Value does not exist: /{'/'.join(path)}")


def _remove(whole: Any, path: list[str]) -> None:
    _get(whole, path)
    parent = _get(whole, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
