import gc
import logging
import os
import sys
from threading import Thread

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()

# Pages that wait for the database or the EHR dozens of times stand beside pages that only compute. Each wait ends with a
# wait for the interpreter, by default up to 5 ms, so that a booking among many readers took seconds.
sys.setswitchinterval(0.001)

# No longer does a process wait for its database and Redis before it takes visitors.
READY_SECONDS = 3


def _make_ready() -> None:
    """Do before the first visitor asks what else their page would wait for. Whatever hinders it, that page does it."""
    from django.conf import settings
    from django.db import Error, connections
    from django.template.loader import get_template, render_to_string
    from django.urls import reverse

    from booking import board
    from booking.flows import clinic_rules

    reverse("times")
    for page in sorted((settings.BASE_DIR / "templates" / "booking").glob("*.html")):
        get_template(f"booking/{page.name}")
    # What all pages have around them, and the names of the files they link.
    render_to_string("booking/expired.html")
    board.copy_watched()
    try:
        clinic_rules.current()
    except (Error, RuntimeError) as error:
        logging.getLogger(__name__).warning("the clinic's rules were not read ahead: %s", error)
    finally:
        connections.close_all()
    # What was made so far lasts as long as the process: the collector need not walk over it while pages are waited for.
    gc.collect()
    gc.freeze()


_readying = Thread(target=_make_ready, name="make-ready", daemon=True)
_readying.start()
_readying.join(READY_SECONDS)
