"""The broker in a folder: nobody reads a message that is still being written."""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError
from kombu.transport import filesystem

from portal import file_queue


@pytest.fixture
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[filesystem.Channel]:
    folders = {"data_folder_in": tmp_path / "tasks", "data_folder_out": tmp_path / "tasks"}
    for folder in (*folders.values(), tmp_path / "control"):
        folder.mkdir(exist_ok=True)
    options = {name: str(folder) for name, folder in folders.items()}
    options["control_folder"] = str(tmp_path / "control")
    with Connection(transport=request.param, transport_options=options) as connection:
        yield connection.default_channel


class ReadMeanwhile:
    """Part of a message; when it comes to be written, somebody else looks for messages."""

    def __init__(self, reader: filesystem.Channel) -> None:
        self.reader = reader
        self.met: Exception | None = None

    def __json__(self) -> str:
        try:
            self.reader._get("bells")
        except (Empty, JSONDecodeError) as error:
            self.met = error
        return "ring"


@pytest.mark.parametrize(
    ("channel", "met"),
    [
        pytest.param(file_queue.Transport, Empty, id="ours"),
        pytest.param(filesystem.Transport, JSONDecodeError, id="control"),
    ],
    indirect=["channel"],
)
def test_a_message_is_there_when_all_of_it_is(channel: filesystem.Channel, met: type[Exception]) -> None:
    part = ReadMeanwhile(channel)
    channel._put("bells", {"part": part})
    assert type(part.met) is met
    if met is Empty:
        assert channel._get("bells") == {"part": "ring"}
        with pytest.raises(Empty):
            channel._get("bells")


@pytest.mark.parametrize("channel", [file_queue.Transport], indirect=True)
def test_each_message_comes_once_and_to_its_queue(channel: filesystem.Channel) -> None:
    for number in range(5):
        channel._put("bells", number)
        channel._put("others", -number)
    assert channel._size("bells") == 5
    assert sorted(channel._get("bells") for _ in range(5)) == [0, 1, 2, 3, 4]
    assert sorted(channel._get("others") for _ in range(5)) == [-4, -3, -2, -1, 0]


@pytest.mark.parametrize("channel", [file_queue.Transport], indirect=True)
def test_a_folder_that_is_gone_is_told_as_a_broker_that_fails(
    channel: filesystem.Channel, tmp_path: Path
) -> None:
    (tmp_path / "tasks").rename(tmp_path / "elsewhere")
    with pytest.raises(ChannelError):
        channel._put("bells", 1)
