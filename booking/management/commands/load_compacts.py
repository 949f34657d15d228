from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from booking.flows.load_compacts import load_compacts


class Command(BaseCommand):
    help = (
        "Bring in the list of interstate compacts that comes with the portal. What the desk changed is kept."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        said = load_compacts()
        for sentence in said:
            self.stdout.write(sentence)
        self.stdout.write(
            "The compacts are as the list has them." if not said else f"{len(said)} rows told of above."
        )
