from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booking", "0002_no_overlapping_claims")]

    operations = [
        migrations.AddField(
            model_name="booking",
            name="ehr_hold_settled_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
