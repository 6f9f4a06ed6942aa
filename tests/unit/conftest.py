"""Lanes for the tests of what runs on them: started before, closed after."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from omnilive.lanes import Lanes, LanesConfig, ThreadLanes, VirtualLanes


@pytest.fixture(params=[VirtualLanes, ThreadLanes])
def make_lanes(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lanes]]:
    """Makes lanes of either kind; the test runs once with each."""
    made: list[Lanes] = []

    def make(config: LanesConfig | None = None) -> Lanes:
        made.append(request.param(config))
        made[-1].start()
        return made[-1]

    yield make
    for lanes in made:
        lanes.close()


@pytest.fixture
def thread_lanes() -> Iterator[ThreadLanes]:
    """Lanes in real time."""
    lanes = ThreadLanes()
    lanes.start()
    yield lanes
    lanes.close()
