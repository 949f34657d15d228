"""The failing portal with Sentry as it comes, and everything it can collect: what the scrubber must keep back."""

import os

import sentry_sdk

from tests.journeys.failing import application

sentry_sdk.init(
    dsn=os.environ["SENTRY_DSN"],
    send_default_pii=True,
    include_local_variables=True,
    max_request_body_size="always",
)

__all__ = ["application"]
