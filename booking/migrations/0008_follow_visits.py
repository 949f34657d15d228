from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booking", "0007_zones_set_here")]

    operations = [
        migrations.AddField(
            model_name="booking",
            name="followed_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="last compared with the EHR"
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="about",
            field=models.CharField(blank=True, default="", editable=False, max_length=40),
            preserve_default=False,
        ),
        migrations.RemoveConstraint(model_name="message", name="message_one_per_kind"),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                fields=("booking", "kind", "about"), name="message_one_per_kind"
            ),
        ),
    ]
