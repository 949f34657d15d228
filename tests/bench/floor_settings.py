"""The portal's settings with one empty view, to see what its server and middleware cost by themselves."""

from portal.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.floor_urls"
