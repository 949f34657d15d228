# One image for every part: web, worker, beat, migrations and the sandbox EHR.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VAR_DIR=/var/lib/portal
WORKDIR /app

COPY requirements/base.txt requirements/base.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/base.txt

COPY . .

# The static files' names are settled at build time. Nothing is connected to, so any well-formed settings do.
RUN PORTAL_MODE=production \
    CLINIC_NAME=build CLINIC_PHONE=build PORTAL_URL=https://build.invalid \
    SECRET_KEY=only-to-collect-static-files-never-used-to-serve-anything \
    DATABASE_URL=postgres://build@build.invalid/build REDIS_URL=redis://build.invalid \
    EHR_BASE_URL=https://build.invalid EHR_TOKEN_URL=https://build.invalid/token EHR_CLIENT_ID=build EHR_CLIENT_SECRET=build \
    EMAIL_HOST=build.invalid DEFAULT_FROM_EMAIL=build@build.invalid VIDEO_BASE_URL=https://build.invalid/room \
    python manage.py collectstatic --no-input

RUN useradd --system --uid 10001 portal && install --directory --owner=portal /var/lib/portal /var/lib/portal-metrics
# Shared by all containers (docker-compose.yml), so that any web process can tell the figures of all.
ENV PROMETHEUS_MULTIPROC_DIR=/var/lib/portal-metrics
USER portal

EXPOSE 8000
CMD ["python", "-m", "granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "portal.wsgi:application"]
