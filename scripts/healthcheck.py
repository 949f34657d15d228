"""Docker's question whether the server in this container (port 8000, or the one named) is well: exit 0 or 1."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from scripts.children import http_status

if __name__ == "__main__":
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    # Django answers only to the portal's own name.
    host = urlsplit(os.environ.get("PORTAL_URL", "")).hostname or "localhost"
    raise SystemExit(http_status(port, "/healthz", host=host) != 200)
