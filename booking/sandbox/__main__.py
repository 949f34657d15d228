"""Runs the sandbox EHR as a process of its own: `python -m booking.sandbox`."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn, get_args

from .app import CLIENT_ID, CLIENT_SECRET, Manners, create_sandbox
from .given import RosterUnusable
from .r4.assertions import KeysUnusable
from .server import Server, listen
from .store import StoreError


def main() -> None:
    options = _options()
    try:
        app = create_sandbox(
            options.database,
            options.manners,
            client_id=os.environ.get("SANDBOX_CLIENT_ID", CLIENT_ID),
            client_secret=os.environ.get("SANDBOX_CLIENT_SECRET", CLIENT_SECRET),
            control=options.control,
            jwks=options.jwks,
            roster=options.roster,
        )
    except (StoreError, KeysUnusable, RosterUnusable) as error:
        _give_up(str(error))
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        app.ehr.store.close()
        _give_up(f"Cannot listen on {options.host} port {options.port}: {error.strerror or error}.")
    # uvicorn ends in good order and then raises the signal again, for us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Server(app).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        app.ehr.store.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m booking.sandbox",
        description="A local EHR with the manners of Canvas, Medplum or plain FHIR R4, for development and tests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", default=os.environ.get("SANDBOX_PORT", "8001"), help="port, or 0 for any free one"
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("SANDBOX_DATABASE", "var/sandbox.sqlite3")),
        help="its own SQLite file, made if missing",
    )
    parser.add_argument(
        "--manners",
        default=os.environ.get("SANDBOX_MANNERS", "canvas"),
        help="canvas, medplum or r4 (canvas)",
    )
    parser.add_argument(
        "--jwks",
        type=Path,
        default=Path(os.environ["SANDBOX_JWKS"]) if os.environ.get("SANDBOX_JWKS") else None,
        help="file with the client's public keys, for signed token requests (r4 only)",
    )
    parser.add_argument(
        "--roster",
        type=Path,
        help="file with clinicians and their busy times, in place of the invented clinic (canvas only)",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        default=os.environ.get("SANDBOX_CONTROL") == "1",
        help="serve /_control/ for faults, switches and staff actions",
    )
    options = parser.parse_args()
    if not options.port.isascii() or not options.port.isdigit() or int(options.port) > 65535:
        parser.error(f"the port must be a number from 0 to 65535, not {options.port!r}.")
    if options.manners not in get_args(Manners):
        parser.error(f"the manners must be {', '.join(get_args(Manners))}, not {options.manners!r}.")
    if options.roster and options.manners != "canvas":
        parser.error("a roster is for the manners of canvas only.")
    options.port = int(options.port)
    return options


def _give_up(sentence: str) -> NoReturn:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
