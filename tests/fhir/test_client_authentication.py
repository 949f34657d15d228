"""The three ways in which the portal shows a token endpoint who it is."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import unquote

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from booking.fhir.auth import SignedAssertion

from .documents import ANA_NORTH, bundle
from .stand_in import TOKEN_URL, StandIn, StoppedClock, gateway
from .test_auth import DAY

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP384R1())


def sign_in(ehr: StandIn, times: int = 1, **config: object) -> StoppedClock:
    clock = StoppedClock()
    with gateway(ehr, clock, **config) as opened:
        for _ in range(times):
            opened.free_slots(ANA_NORTH, **DAY)
    return clock


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS384"), (EC_KEY, "ES384")], ids=["RSA", "EC"])
def test_a_signed_assertion_says_who_to_whom_and_for_how_long(key, algorithm):
    ehr = StandIn({"GET Slot": bundle()})
    clock = sign_in(
        ehr, auth_method="private_key_jwt", private_key=pem(key), key_id="key-1", client_secret=""
    )
    (form,) = ehr.token_forms
    assertion = form.pop("client_assertion")
    assert form == {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER}
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "kid": "key-1", "typ": "JWT"}
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        assertion, key.public_key(), algorithms=[algorithm], audience=TOKEN_URL, options=options
    )
    now = int(clock.clock.wall())
    assert (claims["iss"], claims["sub"], claims["iat"], claims["exp"]) == (
        "portal",
        "portal",
        now,
        now + 240,
    )
    assert "authorization" not in ehr.token_requests[0].headers


def test_no_assertion_is_used_twice():
    ehr = StandIn({"GET Slot": bundle()}, token_seconds=60)
    with gateway(
        ehr, clock := StoppedClock(), auth_method="private_key_jwt", private_key=pem(EC_KEY), client_secret=""
    ) as opened:
        for _ in range(3):
            opened.free_slots(ANA_NORTH, **DAY)
            clock.seconds += 3600
    given = [
        jwt.decode(form["client_assertion"], options={"verify_signature": False})["jti"]
        for form in ehr.token_forms
    ]
    assert len(set(given)) == 3


def test_without_a_key_id_none_is_named():
    ehr = StandIn({"GET Slot": bundle()})
    sign_in(ehr, auth_method="private_key_jwt", private_key=pem(EC_KEY), client_secret="")
    header = jwt.get_unverified_header(ehr.token_forms[0]["client_assertion"])
    assert header == {"alg": "ES384", "typ": "JWT"}


def test_a_secret_can_go_in_the_header_encoded_as_the_standard_says():
    ehr = StandIn({"GET Slot": bundle()})
    sign_in(ehr, auth_method="client_secret_basic", client_id="por tal", client_secret="s:ü/+")
    (request,) = ehr.token_requests
    kind, value = request.headers["authorization"].split(" ")
    client_id, _, secret = b64decode(value).decode().partition(":")
    assert (kind, unquote(client_id), unquote(secret)) == ("Basic", "por tal", "s:ü/+")
    assert ehr.token_forms == [{"grant_type": "client_credentials"}]


def test_a_secret_in_the_form_is_nowhere_else():
    ehr = StandIn({"GET Slot": bundle()})
    sign_in(ehr, scope="user/*.*")
    assert ehr.token_forms == [
        {
            "grant_type": "client_credentials",
            "scope": "user/*.*",
            "client_id": "portal",
            "client_secret": "very-secret",
        }
    ]
    assert "authorization" not in ehr.token_requests[0].headers


@pytest.mark.parametrize(
    "key",
    [
        "",
        "not a key",
        pem(ec.generate_private_key(ec.SECP256R1())),
        EC_KEY.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        RSA_KEY.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
    ids=["empty", "words", "another curve", "EC public half", "RSA public half"],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start(key):
    with pytest.raises(ValueError, match=r"private key|P-384"):
        SignedAssertion(client_id="portal", token_url=TOKEN_URL, private_key=key)
