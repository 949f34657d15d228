"""The lists of times as joined strings: a template's loop over five hundred of them costs twenty times as much.

Everything that goes in is escaped or made of digits here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape

from django.utils.safestring import SafeString, mark_safe

from booking.scheduling.clock import time_words
from booking.scheduling.openings import Opening, instant
from booking.scheduling.terms import Modality

from .presenters import TimeList


@lru_cache(maxsize=50_000)
def start_words(start: int, zone: str) -> str:
    return time_words(instant(start), zone)


def slot_buttons(
    opening: Opening, indices: Sequence[int], *, modality: Modality, zone: str, said_after: str
) -> SafeString:
    """One list item a time. ``said_after`` ends each label: the zone, the day and whose time it is."""
    after = escape(said_after)
    items = []
    for index in indices:
        start = opening.starts[index]
        words = start_words(start, zone)
        items.append(
            f'<li><button name="slot" value="{opening.schedule(index).id}.{start}.{modality.value}"'
            f' aria-label="{words}{after}">{words}</button></li>'
        )
    return mark_safe("".join(items))  # noqa: S308 - the one text from outside is escaped above


def time_lists(clinician_id: int, clinician_name: str, lists: Sequence[TimeList]) -> SafeString:
    """Each list under its heading, what is folded away behind a summary that says whose it is."""
    with_whom = escape(f" with {clinician_name}, ")
    parts = []
    for number, each in enumerate(lists, 1):
        name = escape(each.name)
        parts.append(f"<div><h4>{name}</h4>" if each.times_html else f'<div class="none"><h4>{name}</h4>')
        if each.times_html:
            parts.append(f'<ul class="slots">{each.times_html}</ul>')
        if each.more_html:
            parts.append(
                f'<details class="more" id="more-{clinician_id}-{number}"><summary>{escape(each.more_words)}'
                f'<span class="vh">{with_whom}{name}</span></summary><ul class="slots">{each.more_html}</ul></details>'
            )
        parts.append("</div>")
    return mark_safe("".join(parts))  # noqa: S308 - names and words are escaped above, lists are finished
