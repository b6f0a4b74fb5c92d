"""Seeds until differences are known: which trainings are asked for, and when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from hpe_bench.commands.until import half_widths, train_until
from hpe_bench.declare import fingerprint
from hpe_bench.plan import HEADLINE_SEEDS, TrainingRun, as_evidence
from hpe_bench.protocols import POCKET
from hpe_bench.records import store
from hpe_bench.run.pool import Outcome
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL, PAPER, PROPOSAL
from tests.synthetic_records import Level

PROTOCOL = POCKET["mannequins"][0]


def asked(until: float, most: int | None, results: Path) -> list[list[int]]:
    """The seeds of every round, with records in place of trainings."""
    rounds: list[list[int]] = []

    def train(runs: list[TrainingRun]) -> Outcome:
        rounds.append([r.seed for r in runs])
        for run in runs:
            arm, level = (PROPOSAL, 72.0) if run.paper == PROPOSAL.paper else (CONTROL, 66.0)
            name, hashed = PROTOCOL.name, fingerprint(PROTOCOL)
            store.save(make.accuracy(arm, run.seed, Level(level), name, hashed, images=600), results)
        return Outcome()

    train_until([PAPER.headline], POCKET["mannequins"], until, most, results, train, Console(quiet=True))
    return rounds


def test_three_seeds_come_first_and_one_more_at_a_time_until_the_limit(tmp_path: Path) -> None:
    arms = len(PAPER.headline.arms)
    rounds = asked(0.01, 5, tmp_path)
    assert [sorted(set(seeds)) for seeds in rounds] == [[0, 1, 2], [3], [4]]
    assert all(len(seeds) == arms * len(set(seeds)) for seeds in rounds)


def test_it_ends_as_soon_as_the_differences_are_known(tmp_path: Path) -> None:
    assert asked(50.0, None, tmp_path) == [[0, 0, 1, 1, 2, 2]]
    (width,) = half_widths([PAPER.headline], PROTOCOL, tmp_path)
    assert width is not None
    assert 0 < width < 50
    assert half_widths([PAPER.headline], PROTOCOL, tmp_path / "none") == [None]


def test_an_aim_must_be_a_positive_number_of_points(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--until 0: the half width"):
        asked(0.0, None, tmp_path)


def test_a_headline_that_is_evidence_has_five_seeds_and_other_studies_their_own() -> None:
    assert as_evidence(PAPER, PAPER.headline).seeds == HEADLINE_SEEDS == 5
    assert as_evidence(PAPER, PAPER.ablations[0]) == PAPER.ablations[0]
