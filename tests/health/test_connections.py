"""Connections to PostgreSQL that are in steady use are not asked whether they live, and one that was ended is seen."""

from __future__ import annotations

import time
from contextlib import nullcontext

import psycopg
import pytest
from django.db import OperationalError, connections

from portal.postgresql.base import IDLE_SECONDS, DatabaseWrapper
from tests.rig.postgres import Postgres


@pytest.fixture
def connection(postgres_server: Postgres, transactional_db):
    found = connections.create_connection("default")
    found.ensure_connection()
    yield found
    found.close()


def process_of(connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def last_statement(postgres_server: Postgres, process: int) -> str:
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        row = other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [process]).fetchone()
    return row[0] if row else ""


def begin_request(connection) -> None:
    connection.close_if_unusable_or_obsolete()
    connection.health_check_enabled, connection.health_check_done = True, False


def end(postgres_server: Postgres, process: int) -> None:
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
    time.sleep(0.1)


def test_a_connection_in_steady_use_is_not_asked_and_one_that_was_idle_is(connection, postgres_server):
    begin_request(connection)
    process = process_of(connection)
    begin_request(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 2")
    # Its own question before the first of a request would be seen between the two.
    connection.health_check_done = False
    connection.close_if_health_check_failed()
    assert last_statement(postgres_server, process) == "SELECT 2"
    connection._used_at -= IDLE_SECONDS
    connection.health_check_done = False
    connection.close_if_health_check_failed()
    assert last_statement(postgres_server, process) == "SELECT 1"


def test_a_connection_that_the_server_ended_is_replaced_before_it_is_used(connection, postgres_server):
    begin_request(connection)
    first = process_of(connection)
    end(postgres_server, first)
    # The control: whoever does not look meets the end with the first statement.
    with pytest.raises(psycopg.OperationalError):
        connection.connection.execute("SELECT 1")

    connection.close()
    begin_request(connection)
    second = process_of(connection)
    begin_request(connection)
    assert process_of(connection) == second
    end(postgres_server, second)
    begin_request(connection)
    assert process_of(connection) not in (first, second)


def test_a_connection_whose_end_was_met_is_replaced_for_what_comes_next(connection, postgres_server):
    """psycopg has nothing left of it that could be looked at."""
    begin_request(connection)
    first = process_of(connection)
    end(postgres_server, first)
    with pytest.raises(psycopg.OperationalError):
        connection.connection.execute("SELECT 1")
    assert process_of(connection) != first


@pytest.mark.parametrize("is_ours", [False, True], ids=["control: Django's own", "ours"])
def test_a_connection_that_ended_while_a_request_waited_for_something_else_is_replaced(
    connection, postgres_server, monkeypatch, is_ours
):
    if not is_ours:
        monkeypatch.delattr(DatabaseWrapper, "close_if_health_check_failed")
    begin_request(connection)
    first = process_of(connection)
    end(postgres_server, first)
    with nullcontext() if is_ours else pytest.raises(OperationalError):
        assert process_of(connection) != first


def test_within_a_transaction_the_end_of_a_connection_is_met(connection, postgres_server):
    """What was done in it is lost, so that going on with another connection would do half of it."""
    begin_request(connection)
    connection.set_autocommit(False)
    end(postgres_server, process_of(connection))
    with pytest.raises(OperationalError):
        process_of(connection)
    connection.close()
    connection.set_autocommit(True)
