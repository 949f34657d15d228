from __future__ import annotations

import httpx
import pytest

from booking.scheduling.errors import EhrRejected, EhrUnavailable

from . import documents
from .documents import BOOKING_ID, bundle
from .stand_in import BASE_URL, StandIn, gateway

IDENTIFIER = {"identifier": f"urn:self-scheduling-portal:booking|{BOOKING_ID}", "_count": "100"}


def appointments(ehr: StandIn, **config: object) -> list[str]:
    with gateway(ehr, **config) as opened:
        return [record.ref for record in opened.find_appointments(BOOKING_ID)]


def pages(*next_urls: object) -> list[dict]:
    return [
        bundle(documents.appointment(id=str(number)), next_url=next_url)
        for number, next_url in enumerate((*next_urls, None), start=1)
    ]


@pytest.mark.parametrize(
    "next_url",
    [
        "/Appointment?identifier=a%7Cb&_count=100&_offset=100",
        "?identifier=a%7Cb&_count=100&_offset=100",
        "Appointment?identifier=a%7Cb&_count=100&_offset=100",
        f"{BASE_URL}/Appointment?identifier=a%7Cb&_count=100&_offset=100",
        "https://FUMAGE-example.canvasmedical.com:443/Appointment?identifier=a%7Cb&_count=100&_offset=100",
    ],
)
def test_next_links_are_followed_to_the_end(next_url):
    ehr = StandIn({"GET Appointment": pages(next_url)})
    assert appointments(ehr) == ["Appointment/1", "Appointment/2"]
    assert ehr.sent == [
        ("GET", "/Appointment", IDENTIFIER),
        ("GET", "/Appointment", {"identifier": "a|b", "_count": "100", "_offset": "100"}),
    ]


@pytest.mark.parametrize("next_url", ["/Appointment?_offset=100", "/fhir/r4/Appointment?_offset=100"])
def test_a_link_that_is_a_path_stays_under_the_base(next_url):
    ehr = StandIn({"GET Appointment": pages(next_url)})
    assert appointments(ehr, base_url=f"{BASE_URL}/fhir/r4/") == ["Appointment/1", "Appointment/2"]
    assert [request.url.path for request in ehr.requests] == ["/fhir/r4/Appointment"] * 2


@pytest.mark.parametrize(
    "next_url",
    [
        "https://fumage-example.canvasmedical.com.attacker.example/Appointment",
        "https://attacker.example/Appointment",
        "//attacker.example/Appointment",
        "http://fumage-example.canvasmedical.com/Appointment",
        "https://fumage-example.canvasmedical.com:8443/Appointment",
        "https://fumage-example.canvasmedical.com@attacker.example/Appointment",
        "https://someone@fumage-example.canvasmedical.com/Appointment",
        "https:\\\\attacker.example\\Appointment",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[::1/Appointment",
        "/Appointment?\x00",
        "",
        7,
        {"a": 1},
        ["/Appointment"],
    ],
)
def test_a_next_link_elsewhere_or_unreadable_is_refused_and_no_token_goes_there(next_url):
    ehr = StandIn({"GET Appointment": pages(next_url)})
    with pytest.raises(EhrRejected):
        appointments(ehr)
    assert [request.url.host for request in ehr.requests] == ["fumage-example.canvasmedical.com"]


def test_no_redirect_is_followed():
    elsewhere = httpx.Response(302, headers={"Location": "https://attacker.example/Appointment"})
    ehr = StandIn({"GET Appointment": elsewhere})
    with pytest.raises(EhrRejected):
        appointments(ehr)
    assert [request.url.host for request in ehr.requests] == ["fumage-example.canvasmedical.com"]


def test_pages_that_go_round_in_a_circle_are_an_error():
    ehr = StandIn(
        {"GET Appointment": pages("/Appointment?p=1", "/Appointment?p=2", "/Appointment?p=1", "/x")}
    )
    with pytest.raises(EhrRejected):
        appointments(ehr)
    assert len(ehr.requests) == 3


def test_pages_without_end_are_an_error():
    def endless(request: httpx.Request) -> dict:
        offset = int(request.url.params.get("_offset", "0"))
        return bundle(documents.appointment(), next_url=f"/Appointment?_offset={offset + 1}")

    ehr = StandIn({"GET Appointment": endless})
    with pytest.raises(EhrRejected):
        appointments(ehr, max_pages=7)
    assert len(ehr.requests) == 7


def test_a_later_page_that_fails_fails_the_search_rather_than_shorten_it():
    ehr = StandIn({"GET Appointment": [pages("/Appointment?p=2")[0], httpx.Response(503)]})
    with pytest.raises(EhrUnavailable):
        appointments(ehr)


def test_an_empty_answer_may_have_neither_links_nor_entries():
    ehr = StandIn({"GET Appointment": {"resourceType": "Bundle", "type": "searchset", "total": 0}})
    assert appointments(ehr) == []


def test_entries_of_other_types_and_broken_ones_are_left_out():
    found = bundle(
        documents.outcome("informational", "a hint"),
        documents.appointment(),
        documents.patient(),
        {"id": "no type"},
    )
    found["entry"] += [None, 7, {}, {"resource": []}]
    assert appointments(StandIn({"GET Appointment": found})) == [f"Appointment/{documents.APPOINTMENT_ID}"]
