"""Which network a request is counted under, and whom its address is believed from."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from booking.web.networks import network_key


def key(settings, peer: str, forwarded: str = "", *, proxies: int = 0, behind: bool = False) -> str:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT, settings.IS_BEHIND_PROXY = proxies, behind
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return network_key(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", True, id="one-address"),
        pytest.param("203.0.113.7", "203.0.113.8", False, id="neighbors"),
        pytest.param("2001:db8:1:2::7", "2001:db8:1:2:ffff::9", True, id="one-64"),
        pytest.param("2001:db8:1:2::7", "2001:db8:1:3::7", False, id="next-64"),
        pytest.param("::ffff:203.0.113.7", "203.0.113.7", True, id="ipv4-as-ipv6"),
        pytest.param("::ffff:203.0.113.7", "::ffff:203.0.113.8", False, id="ipv4-as-ipv6-neighbors"),
    ],
)
def test_a_network_is_one_ipv4_address_or_one_64(settings, one, other, same) -> None:
    assert (key(settings, one) == key(settings, other)) is same


def test_a_key_is_no_address(settings) -> None:
    assert key(settings, "203.0.113.7").isalnum()


def test_nobody_is_believed_who_is_no_trusted_proxy(settings) -> None:
    assert key(settings, "203.0.113.7", "198.51.100.1") == key(settings, "203.0.113.7")


@pytest.mark.parametrize("made_up", ["", "192.0.2.1, ", "192.0.2.1, 192.0.2.2, "])
def test_behind_one_proxy_its_own_word_counts_and_nothing_before_it(settings, made_up) -> None:
    told = key(settings, "10.0.0.1", f"{made_up}198.51.100.1", proxies=1, behind=True)
    assert told == key(settings, "198.51.100.1")


@pytest.mark.parametrize("forwarded", ["", "nonsense", "198.51.100.1"])
def test_too_few_proxies_in_the_header_are_not_guessed_at(settings, forwarded) -> None:
    told = key(settings, "10.0.0.1", forwarded, proxies=2, behind=True)
    assert told == key(settings, "10.0.0.1")


def test_behind_a_proxy_that_hides_everybody_nobody_is_counted(settings) -> None:
    assert key(settings, "10.0.0.1", "198.51.100.1", behind=True) == ""
