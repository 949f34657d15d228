"""Signed client assertions of SMART Backend Services: who may sign, for how long, and once only."""

import json
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import jwt

LONGEST_SECONDS = 300
_ALGORITHMS = ("RS384", "ES384")


class KeysUnusable(Exception):
    """The file of public keys cannot be used; the message is a sentence for the person at the terminal."""


class Assertions:
    """`clock` gives aware datetimes; the keys are a client's public ones, as a JWK Set in a file."""

    def __init__(self, jwks: Path, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}
        try:
            self._keys = {
                key.key_id: key for key in jwt.PyJWKSet.from_dict(json.loads(jwks.read_text())).keys
            }
        except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
            raise KeysUnusable(f"Cannot use {jwks} as a set of public keys: {error}.") from error

    def accept(self, assertion: str, client_id: str, address: str) -> bool:
        """Whether `client_id` signed this for `address`, which is the token endpoint's own URL."""
        try:
            header = jwt.get_unverified_header(assertion)
            key = self._keys.get(header.get("kid"))
            if key is None:
                return False
            claims = jwt.decode(
                assertion,
                key.key,
                algorithms=list(_ALGORITHMS),
                audience=address,
                issuer=client_id,
                # The sandbox's clock may be set by a test, so it reads the times itself.
                options={
                    "require": ["exp", "jti", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError:
            return False
        now = self._clock().timestamp()
        expires = claims["exp"]
        if not isinstance(expires, int | float) or not now < expires <= now + LONGEST_SECONDS:
            return False
        return claims["sub"] == client_id and self._is_first(str(claims["jti"]), expires, now)

    def _is_first(self, name: str, expires: float, now: float) -> bool:
        with self._lock:
            self._seen = {each: until for each, until in self._seen.items() if until > now}
            if name in self._seen:
                return False
            self._seen[name] = expires
        return True
