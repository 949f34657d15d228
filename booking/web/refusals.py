"""What patients read when the answer is no: why, and what to do next. Blames nobody."""

from __future__ import annotations

from booking.scheduling.errors import RefusalCode

from .presenters import Notice

_WORDS = {
    RefusalCode.TIME_TAKEN: (
        "That time was just taken",
        "Somebody else chose it first. Nothing you entered is lost: pick another time below.",
    ),
    RefusalCode.TIME_PAST: ("That time has passed", "Pick another time below. Nothing you entered is lost."),
    RefusalCode.TOO_SOON: (
        "That time is too soon to book online",
        "The clinic needs a little notice. Pick a later time below, or call us.",
    ),
    RefusalCode.TOO_FAR: (
        "That time is too far ahead to book online",
        "Pick an earlier time below, or call us.",
    ),
    RefusalCode.NOT_LICENSED: (
        "This clinician cannot see you on that day",
        "A clinician needs a license in the state where you will be. Pick another time below.",
    ),
    RefusalCode.NOT_OFFERED: (
        "That time is not open for this visit",
        "Pick another time below. Nothing you entered is lost.",
    ),
    RefusalCode.HOLD_ENDED: (
        "That time is no longer held for you",
        "Somebody else has it now. Nothing you entered is lost: pick another time below.",
    ),
    RefusalCode.HOLD_LIMIT: (
        "We cannot hold another time just now",
        "Several times are held for you already, or for others where you are. Finish one of them, or wait ten minutes and choose again. You can also call us.",
    ),
    RefusalCode.NOT_ACCEPTED: (
        "We could not book this visit online",
        "The clinic's system did not accept it. No visit was made. Please call us and we will book it for you.",
    ),
    RefusalCode.EHR_AWAY: (
        "The clinic's system is not answering",
        "No visit was made, and your time is still held. Please try again in a minute, or call us.",
    ),
}


def notice_for(code: str) -> Notice:
    heading, text = _WORDS.get(RefusalCode(code), _WORDS[RefusalCode.NOT_OFFERED])
    return Notice(kind="warning", heading=heading, text=text)
