"""PostgreSQL's own refusal of overlapping claims on one clinician, behind the lock that normally prevents them.

SQLite has no exclusion constraints; there the one write lock of an IMMEDIATE transaction does it.
"""

from django.db import migrations

CLAIMING = "('booked', 'cancelling', 'held', 'needs_staff', 'submitting', 'unconfirmed')"

ADD = f"""
ALTER TABLE booking_booking ADD CONSTRAINT booking_no_overlapping_claims
EXCLUDE USING gist (int8range(clinician_id, clinician_id, '[]') WITH &&, tstzrange(starts_at, ends_at) WITH &&)
WHERE (state IN {CLAIMING})
"""
DROP = "ALTER TABLE booking_booking DROP CONSTRAINT booking_no_overlapping_claims"


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ADD)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("booking", "0001_initial")]
    operations = [migrations.RunPython(add, drop)]
