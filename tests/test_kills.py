"""Long fault injection: `make torture`."""

from __future__ import annotations

import sys

import pytest

from tests import kills


@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="orphans are looked for under /proc")
@pytest.mark.parametrize("name", kills.STAGES)
def test_whatever_is_killed_ends_well_when_it_is_started_again(name: str) -> None:
    stage = kills.STAGES[name]
    figures = kills.torture(stage, stage.share, seed=0)
    print(figures.row())
    assert figures.kills == stage.share
    assert not figures.faults
