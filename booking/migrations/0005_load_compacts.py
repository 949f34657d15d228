"""The compacts that come with the portal, for an installation that keeps none yet."""

import json
from pathlib import Path

from django.db import migrations

LIST = Path(__file__).resolve().parent.parent / "data" / "compacts.json"


def load(apps, schema_editor):
    compacts = apps.get_model("booking", "CompactRecord")
    members = apps.get_model("booking", "CompactMemberRecord")
    if compacts.objects.exists() or members.objects.exists():
        return

    def known(model, values):
        # The list may have grown since this migration was written.
        names = {field.name for field in model._meta.get_fields()}
        return {name: value for name, value in values.items() if name in names}

    for told in json.loads(LIST.read_text())["compacts"]:
        theirs = told.pop("members")
        compact = compacts.objects.create(**known(compacts, told))
        members.objects.bulk_create(members(compact=compact, **known(members, each)) for each in theirs)


class Migration(migrations.Migration):
    dependencies = [("booking", "0004_compacts")]
    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
