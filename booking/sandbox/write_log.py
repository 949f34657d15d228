"""The append-only log of accepted writes, kept in the same transaction as the write itself."""

import json
import sqlite3
from datetime import datetime
from typing import Any

from .seed import JsonObject
from .store import Store


def record(
    connection: sqlite3.Connection, at: datetime, method: str, resource: JsonObject, client: str
) -> None:
    connection.execute(
        "INSERT INTO write_log (at, method, type, id, resource, client) VALUES (?,?,?,?,?,?)",
        (
            at.isoformat(),
            method,
            resource["resourceType"],
            resource["id"],
            json.dumps(resource, ensure_ascii=False),
            client,
        ),
    )


def entries(store: Store, after: int) -> list[dict[str, Any]]:
    """`client` is who wrote; `identifier` is what the writer itself calls the record, as system|value."""
    found = []
    for row in store.rows("SELECT * FROM write_log WHERE seq > ? ORDER BY seq", (after,)):
        resource = json.loads(row["resource"])
        found.append(
            {
                "seq": row["seq"],
                "at": row["at"],
                "method": row["method"],
                "type": row["type"],
                "id": row["id"],
                "client": row["client"],
                "identifier": [
                    f"{entry.get('system', '')}|{entry.get('value', '')}"
                    for entry in resource.get("identifier", [])
                ],
                "resource": resource,
            }
        )
    return found
