"""A session is read as Django's own store reads it: by its key, until it ends, and only as we wrote it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.utils import timezone

from portal.sessions import SessionStore

pytestmark = pytest.mark.django_db
ANSWERS = {"draft": {"reason": "back", "zone": "America/Los_Angeles"}, "numbers": [1, 2.5, None, "é"]}


@pytest.fixture
def key() -> str:
    session = db.SessionStore()
    session.update(ANSWERS)
    session.save()
    return session.session_key


@pytest.mark.parametrize("store", [SessionStore, db.SessionStore])
def test_answers_come_back(store, key, django_assert_num_queries):
    session = store(key)
    with django_assert_num_queries(1):
        assert (dict(session.items()), session.session_key) == (ANSWERS, key)


@pytest.mark.parametrize("store", [SessionStore, db.SessionStore])
@pytest.mark.parametrize("fault", ["ended", "unknown", "tampered"])
def test_whatever_is_wrong_with_a_session_it_is_empty(store, key, fault):
    if fault == "ended":
        Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    elif fault == "unknown":
        Session.objects.all().delete()
    else:
        data = Session.objects.get().session_data
        Session.objects.update(session_data=("A" if data[0] != "A" else "B") + data[1:])
    session = store(key)
    assert dict(session.items()) == {}
    # A key that is nobody's is not taken over: whoever planted it would know the session.
    session["draft"] = {"reason": "rash"}
    session.save()
    assert (session.session_key == key) == (fault == "tampered")


@pytest.mark.parametrize("store", [SessionStore, db.SessionStore])
def test_a_database_that_is_away_is_not_taken_for_a_session_that_was_deleted(store, key, crashes):
    """Django's own store, the control, has it answered as a bad request, and says that nothing was changed."""
    session = store(key)
    session["draft"] = {}
    crashes.crash()
    with pytest.raises(OperationalError if store is SessionStore else UpdateError):
        session.save()


def test_a_session_that_was_deleted_meanwhile_is_not_made_anew(key):
    session = SessionStore(key)
    session["draft"] = {}
    Session.objects.all().delete()
    with pytest.raises(UpdateError):
        session.save()
