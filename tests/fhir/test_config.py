from __future__ import annotations

import re

import pytest

from booking import fhir

from .stand_in import config


def test_the_secret_is_in_no_repr():
    assert "very-secret" not in repr(config())


def test_what_other_packages_may_use():
    assert fhir.__all__ == [
        "EhrConfig",
        "Notice",
        "Token",
        "TokenStore",
        "correlation_id",
        "is_authentic",
        "open_gateway",
        "patience",
        "read_notice",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://fumage-example.canvasmedical.com",
        "https://fumage-example.canvasmedical.com:8443/fhir/r4/",
        "http://127.0.0.1:8100",
        "http://localhost:8100/",
        "http://[::1]:8100",
    ],
)
def test_https_or_the_loopback_is_accepted(url):
    assert config(base_url=url).base_url == url


def test_plain_http_elsewhere_takes_an_explicit_setting():
    assert config(base_url="http://sandbox:8100", allow_plain_http=True).base_url == "http://sandbox:8100"


@pytest.mark.parametrize("name", ["base_url", "token_url"])
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://fumage-example.canvasmedical.com", "must be https, or the token and patients' data travel in the open"),
        ("http://localhost.attacker.example", "must be https, or the token and patients' data travel in the open"),
        ("http://127.0.0.1.attacker.example", "must be https, or the token and patients' data travel in the open"),
        ("https://me:word@ehr.example", "must not hold a user name or password; set client_id and client_secret"),
        ("https://me@ehr.example", "must not hold a user name or password; set client_id and client_secret"),
        ("https://ehr.example?x=1", "must end with its path, without '?', '#' or spaces"),
        ("https://ehr.example/#x", "must end with its path, without '?', '#' or spaces"),
        (" https://ehr.example", "must be a whole address such as https://fumage-example.canvasmedical.com"),
        ("ehr.example", "must be a whole address such as https://fumage-example.canvasmedical.com"),
        ("ftp://ehr.example", "must be a whole address such as https://fumage-example.canvasmedical.com"),
        ("https://", "must be a whole address such as https://fumage-example.canvasmedical.com"),
        ("", "must be a whole address such as https://fumage-example.canvasmedical.com"),
        ("https://ehr.example:99999", "has a port that does not exist"),
        ("https://[::1", "is not a URL"),
        ("https://a\x00b", "is not a URL"),
        ("https://" + "a" * 64 + ".example", "is not a URL"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_right_says_what_to_set(name, url, sentence):
    with pytest.raises(ValueError, match=name) as caught:
        config(**{name: url})
    assert str(caught.value) == f"{name}: {sentence}"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dialect": "fax"}, "dialect: 'fax' is not one of canvas, medplum, r4"),
        (
            {"auth_method": "magic"},
            "auth_method: 'magic' is not one of client_secret_post, client_secret_basic, private_key_jwt",
        ),
        (
            {"auth_method": "private_key_jwt"},
            "private_key: is empty; it comes with registering the portal at the EHR",
        ),
        (
            {"auth_method": "private_key_jwt", "private_key": "secret"},
            "private_key: is not a private key in PEM form: RSA, or EC on P-384",
        ),
        ({"max_entries": 0}, "max_entries: must be 1 or more"),
        ({"client_id": " "}, "client_id: is empty; it comes with registering the portal at the EHR"),
        ({"client_secret": ""}, "client_secret: is empty; it comes with registering the portal at the EHR"),
        ({"total_seconds": 0}, "total_seconds: must be a number of seconds above 0"),
        ({"read_seconds": float("nan")}, "read_seconds: must be a number of seconds above 0"),
        ({"pool_seconds": float("inf")}, "pool_seconds: must be a number of seconds above 0"),
        ({"max_connections": 0}, "max_connections: must be 1 or more"),
        ({"ca_file": "/no/such/file.pem"}, "ca_file: there is no such file"),
        ({"connect_seconds": 11}, "connect_seconds: must not be longer than total_seconds"),
    ],
)
def test_a_setting_that_cannot_be_right_says_what_to_set(wrong, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        config(**wrong)
    assert str(caught.value) == sentence
