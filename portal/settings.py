"""Settings of the portal. Everything that differs between clinics comes from the environment (README, Settings).

PORTAL_MODE decides how strict they are: ``production`` (the default) asks for every secret and address;
``demo`` is ``make run`` on one machine; ``test`` is the test suite.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from zoneinfo import reset_tzpath

from celery.schedules import schedule
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from portal import env, logs, sentry

# The time zones of the pinned tzdata package, never the machine's own: a Debian 12 machine has Vancouver an hour
# off from November 2026 on.
os.environ["PYTHONTZPATH"] = ""
reset_tzpath(())

BASE_DIR = Path(__file__).resolve().parent.parent
MODE = env.one_of("PORTAL_MODE", ("production", "demo", "test"), "production")
IS_PRODUCTION = MODE == "production"
IS_DEMO = MODE == "demo"
DEBUG = False
VAR_DIR = Path(env.text("VAR_DIR", BASE_DIR / "var"))
if MODE != "test" and env.text("PORTAL_CRASH_DIR", ""):
    raise ImproperlyConfigured(
        "PORTAL_CRASH_DIR makes processes kill themselves. It is for PORTAL_MODE=test alone."
    )


def required_in_production(default: str) -> object:
    return env._UNSET if IS_PRODUCTION else default


# --- Who and where ---------------------------------------------------------------------------------------------
CLINIC_NAME = env.text(
    "CLINIC_NAME", required_in_production("Juniper Health"), help="The clinic's name as patients know it."
)
CLINIC_PHONE = env.text(
    "CLINIC_PHONE",
    required_in_production("(510) 555-0142"),
    help="A number patients can call when the portal cannot help, such as (510) 555-0142.",
)
PORTAL_URL = env.web_address(
    "PORTAL_URL",
    required_in_production(f"http://localhost:{os.environ.get('PORT', '8000')}"),
    help="The address patients use, such as https://book.clinic.example.",
    https_only=IS_PRODUCTION,
)
PORTAL_HOST = PORTAL_URL.split("://", 1)[1].split("/", 1)[0]

# --- Secrets and hosts -----------------------------------------------------------------------------------------
SECRET_KEY = env.text(
    "SECRET_KEY",
    required_in_production("not-a-secret-" + "demo-and-test-only-" * 3),
    help="Use at least 50 random characters; `python -c 'import secrets; print(secrets.token_urlsafe(48))'` makes some.",
)
if IS_PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured("SECRET_KEY is too short or too plain. Use at least 50 random characters.")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", [PORTAL_HOST.split(":")[0]])
if IS_PRODUCTION and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS holds “*”, which lets any host name in. Name the portal's own hosts."
    )
if not IS_PRODUCTION:
    ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]", "testserver"]
CSRF_TRUSTED_ORIGINS = [PORTAL_URL]

# --- The parts -------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "booking.apps.BookingConfig",
    "booking.apps.DeskConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
]

MIDDLEWARE = [
    "booking.web.middleware.correlation",
    "booking.web.middleware.timed",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "booking.web.middleware.private_pages",
    "booking.web.middleware.htmx_redirects",
    "allauth.account.middleware.AccountMiddleware",
    "booking.web.middleware.ehr_failures",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
AUTH_USER_MODEL = "booking.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "booking.web.context.clinic",
            ],
        },
    },
]

# --- Database, cache, queue ------------------------------------------------------------------------------------
DATABASES = {
    "default": env.database("DATABASE_URL", required_in_production(f"sqlite:///{VAR_DIR}/portal.sqlite3"))
}
IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"

REDIS_URL = env.text(
    "REDIS_URL", required_in_production(""), help="Where Redis is, such as redis://:password@redis:6379/0."
)
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ImproperlyConfigured(
        "REDIS_URL is not a redis:// address. Give it as redis://:password@host:6379/0."
    )

# How long the queue, and a page at the cache, wait for a Redis that hangs.
REDIS_SOCKET = {"socket_timeout": 2, "socket_connect_timeout": 2}
CACHE_SOCKET = {"socket_timeout": 1, "socket_connect_timeout": 1}
CACHES = {
    "default": (
        {
            "BACKEND": "portal.cache.RedisOrLocalCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {**CACHE_SOCKET, "pool_class": "portal.redis_pool.BoundedPool"},
            "KEY_PREFIX": "portal",
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 20_000}}
    )
}

# After so long, what a worker had in hand when it died is another's; a message never before its carrier is given up.
WORKER_LEASE_SECONDS = env.number("WORKER_LEASE_SECONDS", 60, least=1, most=600)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 110
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
if REDIS_URL:
    CELERY_BROKER_URL = REDIS_URL
    # The shortest visibility timeout of all apps on a broker wins, and no task here runs longer than two minutes.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
        **REDIS_SOCKET,
        "visibility_timeout": 300,
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        # Ringing the bell at a Redis that is away must cost a booking no more than a moment.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
    }
    CELERY_VISIBILITY_TIMEOUT = 300
else:
    # One machine, nothing to install. A task can be lost when a worker is killed; the rows it works on are not.
    _queue = VAR_DIR / "queue"
    CELERY_BROKER_URL = "filesystem://localhost/"
    CELERY_BROKER_TRANSPORT = "portal.file_queue:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_queue / "tasks"),
        "data_folder_out": str(_queue / "tasks"),
        "control_folder": str(_queue / "control"),
        "store_processed": False,
        "polling_interval": 0.2,
    }
    for _folder in ("tasks", "control"):
        (_queue / _folder).mkdir(parents=True, exist_ok=True)

# How often each job runs, in seconds. A bell that rang while nobody listened need not ring twice.
_JOBS = {
    5: ("beat", "deliver_messages", "reconcile", "read_ahead", "give_back_ehr_holds"),
    60: ("sweep_twins", "expire_holds", "follow_visits"),
    3600: ("sync_directory", "keep_photos"),
    6 * 3600: ("give_back_lost_holds", "forget"),
}
CELERY_BEAT_SCHEDULE = {
    job.replace("_", "-"): {
        "task": f"booking.jobs.{job}",
        "schedule": schedule(timedelta(seconds=seconds)),
        "options": {"expires": 60},
    }
    for seconds, jobs in _JOBS.items()
    for job in jobs
}

# --- The EHR ---------------------------------------------------------------------------------------------------
_SANDBOX = f"http://localhost:{os.environ.get('SANDBOX_PORT', '8001')}"
EHR_DIALECT = env.one_of("EHR_DIALECT", ("canvas", "medplum", "r4"), "canvas")
EHR_BASE_URL = env.web_address(
    "EHR_BASE_URL",
    required_in_production(_SANDBOX),
    help="The FHIR base of the EHR, such as https://fumage-example.canvasmedical.com.",
)
EHR_TOKEN_URL = env.web_address(
    "EHR_TOKEN_URL",
    required_in_production(f"{_SANDBOX}/auth/token/"),
    help="The OAuth token address, such as https://example.canvasmedical.com/auth/token/ (with the slash at the end).",
)
EHR_CLIENT_ID = env.text("EHR_CLIENT_ID", required_in_production("portal-demo"), help="The OAuth client id.")
EHR_AUTH_METHOD = env.one_of(
    "EHR_AUTH_METHOD", ("client_secret_post", "client_secret_basic", "private_key_jwt"), "client_secret_post"
)
_signs = EHR_AUTH_METHOD == "private_key_jwt"
EHR_CLIENT_SECRET = env.text(
    "EHR_CLIENT_SECRET",
    "" if _signs else required_in_production("portal-demo-secret"),
    help="The OAuth client secret.",
)
EHR_PRIVATE_KEY = env.text(
    "EHR_PRIVATE_KEY",
    env._UNSET if _signs else "",
    help="The private key, in PEM form, whose public half the EHR has; EHR_PRIVATE_KEY_FILE may name its file.",
)
EHR_KEY_ID = env.text("EHR_KEY_ID", "")
EHR_SCOPE = env.text("EHR_SCOPE", "")
# Where the EHR has tokens that open one patient's records only: what such a token is asked for.
EHR_PATIENT_SCOPE = env.text("EHR_PATIENT_SCOPE", "")
EHR_CONNECT_SECONDS = env.number("EHR_CONNECT_SECONDS", 2, least=0.1, most=30)
EHR_READ_SECONDS = env.number("EHR_READ_SECONDS", 8, least=0.1, most=60)
EHR_TOTAL_SECONDS = env.number("EHR_TOTAL_SECONDS", 10, least=0.2, most=90)
# How long a patient who chooses or books a time waits for the EHR to say that it is free.
EHR_PAGE_SECONDS = env.number("EHR_PAGE_SECONDS", 2, least=0.1, most=30)
EHR_CA_FILE = env.text("EHR_CA_FILE", "")
# For an EHR on a network of one's own, such as the sandbox of docker-compose.yml: tokens and patients' data travel open.
EHR_ALLOW_PLAIN_HTTP = env.boolean("EHR_ALLOW_PLAIN_HTTP", False)
# What the clinic's Canvas is set to: ALLOW_DOUBLE_BOOKING off, and STRUCTURED_REASON_FOR_VISIT_ENABLED on.
EHR_PREVENTS_DOUBLE_BOOKING = env.boolean("EHR_PREVENTS_DOUBLE_BOOKING", False)
EHR_STRUCTURED_REASONS = env.boolean("EHR_STRUCTURED_REASONS", True)
# Longer than the EHR's slowest commit and the lag of its search: a create without an answer rests this long before
# the look-up that may permit another. Looking at once made 1,098 duplicates in 10,000 bookings under faults; resting, 0.
EHR_REST_SECONDS = env.number("EHR_REST_SECONDS", 60, least=1, most=3600)
# How often each visit to come is compared with the EHR, where staff move and cancel visits on their own.
EHR_FOLLOW_SECONDS = env.number("EHR_FOLLOW_SECONDS", 900, least=60, most=86400)
# What the EHR shows with its notices of changes (/ehr/notices/); without it there is no such address. And how many
# appointments are read because of notices in a minute; more wait for the ordinary look.
EHR_NOTICE_SECRET = env.text("EHR_NOTICE_SECRET", "")
if EHR_NOTICE_SECRET and (len(EHR_NOTICE_SECRET) < 32 or len(set(EHR_NOTICE_SECRET)) < 5):
    raise ImproperlyConfigured(
        "EHR_NOTICE_SECRET is too short or too plain. Use at least 32 random characters."
    )
EHR_NOTICE_READS_PER_MINUTE = env.integer("EHR_NOTICE_READS_PER_MINUTE", 60, least=1, most=10_000)
EHR_LOOK_AGAIN_SECONDS = env.number("EHR_LOOK_AGAIN_SECONDS", 30, least=0.5, most=3600)
# How long a page of times may wait for the EHR before it shows what it has, and how long times count as fresh.
GRID_DEADLINE_SECONDS = env.number("GRID_DEADLINE_SECONDS", 2.5, least=0.1, most=30)
GRID_FRESH_SECONDS = env.number("GRID_FRESH_SECONDS", 60, least=1, most=3600)
GRID_KEEP_SECONDS = env.number("GRID_KEEP_SECONDS", 900, least=10, most=86400)
# How many calls the EHR gets from all processes together, in any minute and any second. Grids wait for room among
# them; a booking does not, and leaves grids so much less.
EHR_CALLS_PER_MINUTE = env.integer("EHR_CALLS_PER_MINUTE", 600, least=10, most=100_000)
EHR_CALLS_PER_SECOND = env.integer("EHR_CALLS_PER_SECOND", 30, least=1, most=10_000)
GRID_PARALLEL_READS = env.integer("GRID_PARALLEL_READS", 8, least=1, most=64)

# Against hoarding; 0 is no limit. In the demo and in tests, everybody comes from one machine.
HOLDS_PER_SESSION_HOUR = env.integer(
    "HOLDS_PER_SESSION_HOUR", 30 if IS_PRODUCTION else 0, least=0, most=10_000
)
HOLDS_PER_CONTACT = env.integer("HOLDS_PER_CONTACT", 2 if IS_PRODUCTION else 0, least=0, most=100)
HOLDS_PER_NETWORK = env.integer("HOLDS_PER_NETWORK", 20 if IS_PRODUCTION else 0, least=0, most=10_000)

# --- Video, mail, text messages --------------------------------------------------------------------------------
VIDEO_BASE_URL = env.web_address(
    "VIDEO_BASE_URL",
    required_in_production("https://video.juniper.example/room"),
    help="Where fresh video rooms are made, such as https://meet.clinic.example/room; a long random name is added.",
    https_only=True,
)

DEFAULT_FROM_EMAIL = env.text(
    "DEFAULT_FROM_EMAIL",
    required_in_production(f"{CLINIC_NAME} <visits@juniper.example>"),
    help="The sender of mail, such as Juniper Health <visits@clinic.example>.",
)
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_HOST = env.text("EMAIL_HOST", required_in_production(""), help="The SMTP server that sends mail.")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, least=1, most=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", IS_PRODUCTION)
# How long the mail server, or the SMS service, is waited for over one message.
CARRIER_SECONDS = env.number("CARRIER_SECONDS", 30, least=1, most=30)
EMAIL_TIMEOUT = min(10, CARRIER_SECONDS)
# Without a mail server (never in production) mail and texts go to the development page.
EMAIL_BACKEND = (
    "booking.messaging.smtp.EmailBackend" if EMAIL_HOST else "booking.messaging.development.EmailBackend"
)

SMS_API_URL = env.web_address("SMS_API_URL", "")
SMS_ACCOUNT_SID = env.text("SMS_ACCOUNT_SID", "")
SMS_AUTH_TOKEN = env.text("SMS_AUTH_TOKEN", "")
SMS_FROM = env.text("SMS_FROM", "")
_sms = (SMS_API_URL, SMS_ACCOUNT_SID, SMS_AUTH_TOKEN, SMS_FROM)
if any(_sms) and not all(_sms):
    raise ImproperlyConfigured(
        "Text messages are half set up. Set SMS_API_URL, SMS_ACCOUNT_SID, SMS_AUTH_TOKEN and SMS_FROM, or none of them."
    )
SMS_IS_ON = all(_sms) or not IS_PRODUCTION
SMS_COUNTRIES = env.words("SMS_COUNTRIES", ["US"])

# --- Sessions, cookies, headers --------------------------------------------------------------------------------
SESSION_ENGINE = "portal.sessions"
SESSION_COOKIE_AGE = env.integer("SESSION_MINUTES", 60, least=10, most=720) * 60
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SESSION_COOKIE_NAME = "__Host-session" if IS_PRODUCTION else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if IS_PRODUCTION else "csrf"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = IS_PRODUCTION and env.boolean("SECURE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# How many proxies before us add the address they were called from to X-Forwarded-For; what stands before theirs is not
# believed. Limits are counted by network where this tells it.
ALLAUTH_TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXIES", 0, least=0, most=5)
IS_BEHIND_PROXY = env.boolean("BEHIND_TLS_PROXY", False)
if IS_BEHIND_PROXY:
    # Set only behind a proxy that sets or strips this header itself.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

# --- Accounts --------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "visits"
ACCOUNT_ADAPTER = "booking.web.accounts.AccountAdapter"
# Nobody has a password: a code by mail or a passkey, and for staff a second factor on top.
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 600
ACCOUNT_LOGIN_BY_CODE_MAX_ATTEMPTS = 5
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = 600
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_REDIRECT_URL = "start"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_RATE_LIMITS = {"contact_code": "20/m/ip,3/10m/key,10/d/key"}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not IS_PRODUCTION
STAFF_SECOND_FACTOR = env.boolean("STAFF_SECOND_FACTOR", IS_PRODUCTION)

# --- Words, times, files ---------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT: Path | None = None
if IS_PRODUCTION:
    STATIC_ROOT = Path(env.text("STATIC_ROOT", BASE_DIR / "staticfiles"))
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
else:
    # No collectstatic step: files are found where they are.
    WHITENOISE_USE_FINDERS = True

# Prometheus asks for /metrics with this token; without it there is no such page.
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 20:
    raise ImproperlyConfigured("METRICS_TOKEN is too short. Use at least 20 random characters.")
if _folder_of_metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    Path(_folder_of_metrics).mkdir(parents=True, exist_ok=True)

# Both need requirements/telemetry.txt, and neither is told anything of a patient.
SENTRY_DSN = env.text("SENTRY_DSN", "")
if SENTRY_DSN:
    sentry.start(SENTRY_DSN)
HAS_TRACES = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))

LOGGING = logs.config(
    form=env.one_of("LOG_FORMAT", ("json", "text"), "json" if IS_PRODUCTION else "text"),
    level=env.one_of("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
    hides_words=IS_PRODUCTION,
)
