from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booking", "0008_follow_visits")]

    operations = [
        migrations.AddField(
            model_name="specialty",
            name="role_codes",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Staff roles of the EHR that mean this specialty, such as LCSW; for clinicians whose taxonomy it lacks.",
                max_length=200,
            ),
            preserve_default=False,
        ),
    ]
