"""One deployment for every short storm of this test process; each storm has people of its own in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from .people import Patient, make_people
from .scene import Scene
from .scene import scene as start_scene

People = Callable[[int], list[Patient]]


@pytest.fixture(scope="session")
def _scene() -> Iterator[Scene]:
    with start_scene(notices=True) as running:
        yield running


@pytest.fixture(scope="session")
def _numbers() -> count[int]:
    return count(1)


@pytest.fixture
def scene(_scene: Scene) -> Scene:
    """The deployment, with all of it up and every neighbor well."""
    _scene.sandbox.clear_faults()
    _scene.wait_until(_scene.is_up)
    return _scene


@pytest.fixture
def people(scene: Scene, _numbers: count[int]) -> People:
    """So many people, a hundred at most, whom nobody else was given."""
    return lambda how_many: make_people(scene, how_many, first=100 * next(_numbers))
