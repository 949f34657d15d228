"""A finished page is the very bytes it was made of, but for the token and the nonce, which are each visitor's own."""

from __future__ import annotations

import gc
import gzip
import re
import weakref
import zlib

import pytest
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from booking.web.finished import Finished, FinishedPage

TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="(\w+)"')
NONCE = re.compile(rb'nonce="([^"]+)"')
HTML = (
    b'<script src="/a.js" nonce="first+nonce/=="></script><form><input type="hidden" name="csrfmiddlewaretoken"'
    b' value="firstToken1"><p>'
    + b"Caf\xc3\xa9, nine to five. " * 40
    + b'</p></form><form><input type="hidden" name="csrfmiddlewaretoken" value="firstToken1"></form><p>The end</p>'
)


def ask(*, nonce: str = "second-nonce", accepts: str = "gzip, br"):
    request = RequestFactory().get("/book/times/", headers={"Accept-Encoding": accepts})
    request.csp_nonce = nonce
    return request


def body_of(response: HttpResponse) -> bytes:
    is_gzip = response.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(response.content) if is_gzip else response.content


@pytest.mark.parametrize("accepts", ["gzip, deflate, br", "identity", ""])
def test_page_is_as_it_was_but_for_token_and_nonce(accepts):
    request = ask(accepts=accepts)
    response = FinishedPage.of(HTML).response(request)
    assert ("gzip" in accepts) == ("Content-Encoding" in response.headers)
    assert response["Vary"] == "Accept-Encoding"
    body = body_of(response)
    tokens, nonces = TOKEN.findall(body), NONCE.findall(body)
    assert (len(tokens), nonces) == (2, [b"second-nonce"])
    assert b"first+nonce" not in body
    assert b"firstToken1" not in body
    assert TOKEN.sub(b"", NONCE.sub(b"", body)) == TOKEN.sub(b"", NONCE.sub(b"", HTML))
    # Masked anew each time, and of the secret in this visitor's cookie.
    assert len({*tokens, get_token(request).encode()}) == 3
    assert request.META["CSRF_COOKIE_NEEDS_UPDATE"]


# What a page holds of other people's words is escaped, so that none of them can look like a hole.
@given(
    st.binary(max_size=3000).filter(lambda words: b'"' not in words),
    st.text("abc+/=-_", min_size=1, max_size=80),
)
def test_any_bytes_come_back(words, nonce):
    html = b'<script nonce="old"></script>' + words + b'<i nonce="old"></i>'
    response = FinishedPage.of(html).response(ask(nonce=nonce))
    assert body_of(response) == html.replace(b' nonce="old"', f' nonce="{nonce}"'.encode())


def test_what_is_a_visitors_own_is_compressed_with_nothing():
    """Else the length would tell whether a guess that stands elsewhere in the page is right."""
    nonce = "Qm9va2luZy1hLXZpc2l0LWF0LXRoZS1jbGluaWM"
    sent = FinishedPage.of(HTML).response(ask(nonce=nonce)).content
    assert nonce.encode() in sent
    # The control: the same page compressed whole.
    assert nonce.encode() not in zlib.compress(HTML.replace(b"first+nonce/==", nonce.encode() * 2))
    guesses = (nonce, nonce[::-1])
    lengths = {
        len(FinishedPage.of(HTML + guess.encode()).response(ask(nonce=nonce)).content) for guess in guesses
    }
    assert len(lengths) == 1


def test_tag_is_the_pages_own_and_no_visitors():
    page = FinishedPage.of(HTML, apart_from="nine to five")
    assert FinishedPage.of(HTML.replace(b"firstToken1", b"other"), apart_from="nine to five").tag == page.tag
    assert (
        FinishedPage.of(HTML.replace(b"nine to five", b"ten to six"), apart_from="ten to six").tag == page.tag
    )
    assert FinishedPage.of(HTML.replace(b"The end", b"An end"), apart_from="nine to five").tag != page.tag


class Ground:
    pass


def test_pages_are_kept_for_what_they_stand_on_and_the_oldest_go():
    first, second = Ground(), Ground()
    page = FinishedPage.of(HTML)
    pages = Finished[FinishedPage](most_bytes=2 * page.size)
    pages.keep("a", first, page, page.size)
    assert (pages.find("a", first), pages.find("a", second), pages.find("b", first)) == (page, None, None)
    pages.keep("b", first, page, page.size)
    pages.keep("b", second, page, page.size)
    assert (pages.find("a", first), pages.find("b", first), pages.find("b", second)) == (page, None, page)
    assert pages.find("a", first) is page
    pages.keep("c", first, page, page.size)
    assert [pages.find(each, first) is page for each in "ac"] == [True, True]
    assert pages.find("b", second) is None


def test_what_stands_on_a_ground_that_is_gone_goes_with_it_and_keeps_none_alive():
    ground, other = Ground(), Ground()
    alive = weakref.ref(ground)
    pages = Finished[str](most_bytes=10)
    pages.keep("a", ground, "made of it", 10)
    pages.keep("b", other, "b", 0)
    del ground
    gc.collect()
    assert alive() is None
    # Its ten bytes are free again: nothing has to go for these.
    pages.keep("c", other, "c", 10)
    assert [pages.find(each, other) for each in "abc"] == [None, "b", "c"]


def test_a_ground_that_goes_while_a_page_is_kept_stops_nobody():
    """What is thrown out for want of room may be all that kept another ground alive."""
    pages = Finished[object](most_bytes=10)
    ground, other = Ground(), Ground()
    pages.keep("on it", ground, "made", 1)
    pages.keep("holds it", other, [ground], 9)
    del ground
    pages.keep("holds it", other, "no more", 9)
    pages.keep("more", other, "more", 1)
    assert [pages.find(each, other) for each in ("on it", "holds it", "more")] == [None, "no more", "more"]
