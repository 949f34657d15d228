"""Answers to searches and reads: searchset bundles, paging, and the short way from stored JSON to the wire.

Stored resources are the JSON a read returns, and Slots are made by the hundred, so neither is rebuilt as pydantic
models to be dumped again. The framework asks a result only for `model_dump`; these give it JSON that is ready.
Tests hold every shape served this way against the models.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import orjson
from fastapi import Request

from .framework import Bundle, bad_request
from .seed import JsonObject

DEFAULT_COUNT, MAX_COUNT = 10, 100

R = TypeVar("R")


class _Ready:
    """Stands where the framework expects a resource. `parts` is shallow; fragments inside it are finished JSON."""

    def __init__(self, model: type[Any], parts: Any) -> None:
        self._model = model
        self._parts = parts

    def model_dump(self) -> Any:
        return self._parts

    def model_dump_xml(self, *, pretty_print: bool = False) -> Any:
        whole = self._model.model_validate(orjson.loads(orjson.dumps(self._parts)))
        return whole.model_dump_xml(pretty_print=pretty_print)


def resource(model: type[R], stored: str | JsonObject) -> R:
    """One resource for a read, from its stored JSON or as a dict."""
    parts = orjson.Fragment(stored) if isinstance(stored, str) else stored
    return cast(R, _Ready(model, parts))


def searchset(
    resources: Sequence[str | bytes], *, total: int | None = None, link: list[JsonObject] | None = None
) -> Bundle:
    """Entries carry a resource and nothing else; an empty result has neither entry nor link."""
    parts: JsonObject = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(resources) if total is None else total,
    }
    if link:
        parts["link"] = link
    if resources:
        parts["entry"] = orjson.Fragment(
            b"["
            + b",".join(
                b'{"resource":' + (each.encode() if isinstance(each, str) else each) + b"}"
                for each in resources
            )
            + b"]"
        )
    return cast(Bundle, _Ready(Bundle, parts))


class Page:
    """Which part of a result was asked for. `_count` is 10 unless told and never above 100 (Canvas, Pagination page)."""

    def __init__(self, request: Request) -> None:
        self._path = request.url.path
        self._parameters = [
            (name, value)
            for name, value in request.query_params.multi_items()
            if name not in ("_count", "_offset")
        ]
        self.count = min(_whole_number(request, "_count", DEFAULT_COUNT, least=1), MAX_COUNT)
        self.offset = _whole_number(request, "_offset", 0, least=0)

    def of(self, everything: Sequence[str]) -> Bundle:
        return self.bundle(everything[self.offset : self.offset + self.count], len(everything))

    def bundle(self, resources: Sequence[str], total: int) -> Bundle:
        return searchset(resources, total=total, link=self._links(total))

    def _links(self, total: int) -> list[JsonObject]:
        if not total:
            return []
        offsets = {"self": self.offset, "first": 0}
        if self.offset + self.count < total:
            offsets["next"] = self.offset + self.count
        offsets["last"] = (total - 1) // self.count * self.count
        return [{"relation": relation, "url": self._url(offset)} for relation, offset in offsets.items()]

    def _url(self, offset: int) -> str:
        query = urlencode([*self._parameters, ("_count", self.count), ("_offset", offset)])
        return f"{self._path}?{query}"


def _whole_number(request: Request, name: str, default: int, *, least: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        bad_request(f"{name} must be a whole number of at least {least}.")
    return int(text)
