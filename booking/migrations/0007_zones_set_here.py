"""Until now the desk could change one field that the EHR fills, a location's zone. Where it did, that stays."""

from django.db import migrations

from booking.scheduling.jurisdictions import JURISDICTIONS


def mark(apps, schema_editor):
    locations = apps.get_model("booking", "LocationRecord")
    for location in locations.objects.all():
        place = JURISDICTIONS.get(location.jurisdiction)
        if location.time_zone != (place.zones[0] if place else "UTC"):
            location.overridden = ["time_zone"]
            location.save(update_fields=["overridden"])


class Migration(migrations.Migration):
    dependencies = [("booking", "0006_directory_upkeep")]
    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
