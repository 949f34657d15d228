"""A broker in a folder, for one machine without Redis: kombu's own, but that no message is read before all of it is there.

kombu opens a message's file under its last name and then writes it. A worker that looked in between found nothing in it,
and died of that.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    # The bases of kombu's name its arguments in two ways.
    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]
        """Under a name that sorts by age, as whoever reads expects it. Raises ``ChannelError``."""
        there = Path(self.data_folder_out, f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg")
        # Readers pass over what does not end as theirs do.
        coming = there.with_name(f"{there.name}.coming")
        try:
            with coming.open("wb") as file:
                file.write(str_to_bytes(dumps(payload)))
            coming.rename(there)
        except OSError as error:
            raise ChannelError(f"cannot add {there.name} to the queue") from error


class Transport(filesystem.Transport):
    Channel = Channel
