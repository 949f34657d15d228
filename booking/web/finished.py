"""Pages that are finished but for what is each visitor's own, kept compressed with holes for that.

Into the holes go the token against forged requests and the nonce of the page's scripts. Each lies in the answer
uncompressed and beside nothing it was compressed with, so its bytes cannot be guessed from the length (BREACH).
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar
from weakref import ref

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils.cache import patch_vary_headers

# Two, each of which begins with words of its own: that is found much faster than one of both.
_TOKEN = re.compile(rb' name="csrfmiddlewaretoken" value="(\w+)"')
_NONCE = re.compile(rb' nonce="([^"]+)"')
_TAKES_GZIP = re.compile(r"\bgzip\b")
# RFC 1952: no name, no time, of an unknown system. RFC 1951: an empty last block.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
MOST_BYTES = 32_000_000
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class FinishedPage:
    """What lies before, between and after the holes, plain and deflated. ``tag`` names it, whoever asks."""

    plain: tuple[bytes, ...]
    deflated: tuple[bytes, ...]
    nonces: tuple[bool, ...]
    tag: str

    @classmethod
    def of(cls, html: bytes, *, apart_from: str = "") -> FinishedPage:
        """``apart_from`` are words that make no difference to the tag."""
        holes = sorted(
            (*found.span(1), pattern is _NONCE)
            for pattern in (_TOKEN, _NONCE)
            for found in pattern.finditer(html)
        )
        plain, at = [], 0
        for begins, ends, _ in holes:
            plain.append(html[at:begins])
            at = ends
        plain.append(html[at:])
        digest = hashlib.blake2b(digest_size=12)
        for part in plain:
            digest.update(part.replace(apart_from.encode(), b"") if apart_from else part)
            digest.update(b"\0")
        return cls(
            tuple(plain), tuple(_deflated(plain)), tuple(hole[2] for hole in holes), f'"{digest.hexdigest()}"'
        )

    @property
    def size(self) -> int:
        return sum(map(len, self.plain)) + sum(map(len, self.deflated))

    def response(self, request: HttpRequest) -> HttpResponse:
        """The page with this visitor's own token and nonce."""
        own = [
            (str(request.csp_nonce) if is_nonce else get_token(request)).encode()  # type: ignore[attr-defined]
            for is_nonce in self.nonces
        ]
        if _TAKES_GZIP.search(request.headers.get("Accept-Encoding", "")):
            response = HttpResponse(self._gzipped(own), headers={"Content-Encoding": "gzip"})
        else:
            response = HttpResponse(b"".join(_woven(self.plain, own)))
        patch_vary_headers(response, ["Accept-Encoding"])
        return response

    def _gzipped(self, own: list[bytes]) -> bytes:
        check = length = 0
        for part in _woven(self.plain, own):
            check = zlib.crc32(part, check)
            length += len(part)
        blocks = _woven(self.deflated, [_stored(each) for each in own])
        end = struct.pack("<II", check, length & 0xFFFFFFFF)
        return b"".join([_GZIP_HEAD, *blocks, _LAST_BLOCK, end])


def _woven(parts: tuple[bytes, ...], own: list[bytes]) -> list[bytes]:
    found = [parts[0]]
    for mine, part in zip(own, parts[1:], strict=True):
        found += [mine, part]
    return found


def _deflated(parts: list[bytes]) -> list[bytes]:
    """Each ends at a byte and looks back at no other (a full flush), so that anything may be put between."""
    # Beyond 6 it takes a fifth longer, and then twice as long, and saves a hundredth.
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return [deflate.compress(part) + deflate.flush(zlib.Z_FULL_FLUSH) for part in parts]


def _stored(data: bytes) -> bytes:
    """One uncompressed block, not the last (RFC 1951, 3.2.4). Tokens are far from its limit of 65,535 bytes."""
    return struct.pack("<BHH", 0, len(data), len(data) ^ 0xFFFF) + data


class Finished(Generic[Made]):
    """What a process made lately, of pages or their pieces. Each stands on ``ground``, and is worth nothing on another.

    Ground is not kept alive by what stands on it: times of a moment ago have whole pages of their own in hand.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = Lock()
        self._made: OrderedDict[Hashable, tuple[ref[object], Made, int]] = OrderedDict()
        # A ground may go at any moment, in the middle of what is done here too: then it is only noted.
        self._gone: deque[Hashable] = deque()

    def find(self, question: Hashable, ground: object) -> Made | None:
        with self._lock:
            found = self._made.get(question)
            if found is None or found[0]() is not ground:
                return None
            self._made.move_to_end(question)
            return found[1]

    def keep(self, question: Hashable, ground: object, made: Made, size: int) -> None:
        """``size`` in bytes."""
        with self._lock:
            self._clear_away()
            self._drop(question)
            self._made[question] = ref(ground, lambda _: self._gone.append(question)), made, size
            self._bytes += size
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._made)))

    def _clear_away(self) -> None:
        while self._gone:
            question = self._gone.popleft()
            found = self._made.get(question)
            if found is not None and found[0]() is None:
                self._drop(question)

    def _drop(self, question: Hashable) -> None:
        if found := self._made.pop(question, None):
            self._bytes -= found[2]
