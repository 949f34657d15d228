"""A patient's words and data stay where they belong: not in addresses, logs, Redis, subjects or texts."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.redis import Redis

from .plain import PlainVisitor
from .steps import Person, choose, eventually, text_of, to_review, to_times

CANARY = Person(
    given="Zzcanary", family="Quetzalcoatlus", email="canary.mailbox@example.com", born=("7", "4", "1931")
)
TELLTALES = (
    "Zzcanary",
    "Quetzalcoatlus",
    "canary.mailbox",
    "1931-07-04",
    "blood-pressure",
    "Blood pressure",
    "itchyword",
)


def found_in(text: str) -> list[str]:
    return [word for word in TELLTALES if word.lower() in text.lower()]


def everything_in(server: Redis) -> str:
    """Every key and value of every database, as bytes that can be read."""
    seen = []
    for number in range(16):
        with redis.Redis.from_url(server.url(number)) as connection:
            for key in connection.scan_iter(count=1000):
                seen += [key, connection.dump(key) or b""]
                if connection.type(key) == b"string":
                    seen.append(connection.get(key) or b"")
                elif connection.type(key) == b"list":
                    seen += connection.lrange(key, 0, -1)
                elif connection.type(key) == b"hash":
                    seen += [part for pair in connection.hgetall(key).items() for part in pair]
    return b"\n".join(seen).decode("latin-1")


def test_a_canary_on_its_way_to_a_visit_leaves_no_trace_where_it_should_not(
    portal_server: Portal, redis_server: Redis, mailbox: Mailbox
) -> None:
    visitor = PlainVisitor(portal_server.url)
    addresses: list[str] = []
    visitor.http.event_hooks["request"].append(lambda request: addresses.append(str(request.url)))
    visitor.open("/")
    visitor.press("Search", fields={"q": "itchyword"})
    to_times(visitor, reason="blood-pressure", state="CA", specialty="family")
    choose(visitor)
    to_review(visitor, CANARY, mailbox)
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text
    mails = eventually(lambda: [mail for mail in mailbox.to(CANARY.email) if "booked" in mail["Subject"]])

    assert found_in("\n".join(addresses)) == []
    assert found_in(portal_server.logs()) == []
    assert found_in(everything_in(redis_server)) == []
    assert found_in("\n".join(mail["Subject"] for mail in mailbox.to(CANARY.email))) == []
    assert found_in(text_of(mails[0])) == []
    attachment = next(mails[0].iter_attachments())
    assert (attachment.get_filename(), found_in(str(attachment.get_content()))) == ("visit.ics", [])
    visitor.close()


def test_the_search_for_traces_would_find_one(redis_server: Redis) -> None:
    """The control of the test above."""
    with redis.Redis.from_url(redis_server.url(9)) as connection:
        connection.set("control", "Quetzalcoatlus")
        assert found_in(everything_in(redis_server)) == ["Quetzalcoatlus"]
        connection.delete("control")


def test_front_page_asks_nobody_but_the_portal_for_anything(portal_server: Portal) -> None:
    visitor = PlainVisitor(portal_server.url)
    page = visitor.open("/")
    foreign = [href for href, _ in page.links if href.startswith("http") and portal_server.url not in href]
    assert foreign == []
    for name in ("portal.css", "portal.js"):
        text = (Path(__file__).parents[2] / "static" / name).read_text()
        assert [
            word
            for word in ("http://", "https://", "//cdn")
            if word in text.replace("http://www.w3.org/", "")
        ] == []
    visitor.close()
