"""Trained networks under a turned dial: what is evaluated, what is kept, what is said about hidden joints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hpe_bench import plan, protocols
from hpe_bench.catalog import load
from hpe_bench.commands.reproduce import turn
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.declare import Arm, Claim, Protocol, Sweep, fingerprint, replace
from hpe_bench.records import store
from hpe_bench.records.schema import ImageCounts, Measurement, RunRecord
from hpe_bench.report.pages import sweep_view
from hpe_bench.run import pool
from hpe_bench.verdicts.judge import judge
from tests import small
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL, PAPER, PROPOSAL, claim

ARM = Arm("small", "simple_baseline", small.VARIANT, small.BRIEF)
SWEEP = Sweep("occlusion", "Are hidden joints found?", "occlusion", (0.0, 0.5), (ARM,), "small", seeds=1)
SWEPT = Sweep("occlusion", "Are hidden joints found?", "occlusion", (0.0, 0.5), (CONTROL, PROPOSAL), "base_mse")
WITH_SWEEP = replace(PAPER, sweeps=(SWEPT,))


def test_a_turned_protocol_differs_in_one_dial_alone() -> None:
    base = protocols.mannequins("dark").data
    assert isinstance(base, Mannequins)
    for dial, values in (("occlusion", protocols.OCCLUSION), ("crowding", protocols.CROWDING)):
        for value in values:
            source = protocols.turned(dial, value).data  # type: ignore[arg-type]
            assert isinstance(source, Mannequins)
            assert source == replace(base, dials=replace(base.dials, **{dial: value}))
    assert protocols.turned("stature", 60.0).data.dials.stature_px == (60.0, 60.0)  # type: ignore[attr-defined]
    names = [protocols.turned("occlusion", v).name for v in protocols.OCCLUSION]
    assert names[0] == "mannequins-v1-occlusion-0"
    assert len({fingerprint(protocols.turned("occlusion", v)) for v in protocols.OCCLUSION}) == len(names)


def test_networks_are_trained_once_evaluated_under_each_value_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small_turned(dial: str, value: float) -> Protocol:
        full = protocols.mannequins("dark").data
        assert isinstance(full, Mannequins)
        source = replace(full, test_persons=20, train_persons=60, dials=replace(full.dials, occlusion=value))
        return replace(small.PROTOCOLS[0], name=f"small-{dial}-{value:g}", data=source)

    monkeypatch.setitem(protocols.POCKET, "mannequins", small.PROTOCOLS)
    monkeypatch.setattr(protocols, "turned", small_turned)
    settings, quiet = pool.Settings(tmp_path / "results", tmp_path / "runs"), Console(quiet=True)
    first = turn(SWEEP, None, settings, quiet)
    swept = [r for r in first.made if r.identity.kind == "sweep"]
    assert [r.identity.protocol for r in swept] == ["small-occlusion-0", "small-occlusion-0.5"]
    trained = [r for r in first.made if r.identity.kind == "accuracy"]
    assert {r.weights_sha256 for r in swept} == {r.weights_sha256 for r in trained}
    hidden = [m.n for r in swept if (m := r.get("diagnosis/hidden"))]
    assert len(hidden) == 2
    assert hidden[1] > hidden[0]  # more things stand before people
    again = turn(SWEEP, None, settings, quiet)
    assert (len(again.made), again.kept) == (0, 2)
    (weights,) = (tmp_path / "runs").glob("*/weights.safetensors")
    weights.unlink()
    third = turn(SWEEP, None, settings, quiet)  # what a sweep evaluates must be there: trained again, to the bit
    assert [c.identical for c in third.compared] == [True, True]
    assert len(store.load_all(settings.results)) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"control": "nobody"}, "none of its arms"),
        ({"values": (0.5, 0.1)}, "two or more in rising order"),
        ({"values": (0.5,)}, "two or more in rising order"),
    ],
)
def test_impossible_sweeps_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(SWEEP, **changes)


def test_every_sweep_evaluates_networks_that_studies_train_and_settings_that_can_be_rendered() -> None:
    for slug in ("part_branching", "bulat_cascade"):
        paper = load(slug).paper
        for sweep in paper.sweeps:
            trainings = plan.sweep_trainings(sweep, protocols.POCKET["mannequins"], 1)
            turned = [protocols.turned(sweep.dial, v) for v in sweep.values]
            assert len(plan.sweep_runs(sweep, trainings, turned)) == len(sweep.arms) * len(sweep.values)


# ---------------------------------------------------------------------------------------------------- verdicts


def evaluated(arm: Arm, seed: int, value: float, hidden: float, visible: float) -> RunRecord:
    """A record of a sweep with these shares of hits in every image, and some noise of its own."""
    protocol = protocols.turned("occlusion", value)
    record = make.accuracy(arm, seed, make.Level(50.0), protocol.name, fingerprint(protocol))
    rng = np.random.default_rng([seed, int(10 * hidden), int(10 * visible)])
    tallies, measured = [], []
    for key, share in (("diagnosis/hidden", hidden), ("diagnosis/visible", visible)):
        hits = rng.binomial(10, share, make.IMAGES)
        tallies.append(ImageCounts(key=key, hits=tuple(map(int, hits)), counts=(10,) * make.IMAGES))
        measured.append(Measurement(key=key, value=tallies[-1].rate, unit="percent", n=10 * make.IMAGES))
    return record.model_copy(
        update={
            "id": f"{record.id}{value}",
            "identity": record.identity.model_copy(update={"kind": "sweep"}),
            "measurements": (*record.measurements, *measured),
            "tallies": (*record.tallies, *tallies),
        }
    )


def records(hidden: float, visible: float) -> list[RunRecord]:
    """A control of 0.4 on hidden and 0.7 on visible joints; the proposal is ahead by so much."""
    found = []
    for seed in range(3):
        for value in (0.0, 0.5):
            found.append(evaluated(CONTROL, seed, value, 0.4, 0.7))
            found.append(evaluated(PROPOSAL, seed, value, 0.4 + hidden, 0.7 + visible))
    return found


HIDDEN = claim(
    id="hidden", kind="direction", metric="pckh@0.5/invisible", variant="small_256x192",
    baseline="tiny/printed_256x192", value=None, printed="",
)  # fmt: skip
FURTHER = replace(HIDDEN, metric="pckh@0.5/invisible/over_visible")


@pytest.mark.parametrize(
    ("said", "hidden", "visible", "status"),
    [
        (HIDDEN, 0.15, 0.15, "confirmed"),
        (HIDDEN, -0.15, 0.15, "differs"),
        (HIDDEN, 0.0, 0.15, "inconclusive"),
        (FURTHER, 0.15, 0.0, "confirmed"),
        (FURTHER, 0.15, 0.15, "inconclusive"),  # ahead everywhere, and no more on hidden joints
        (FURTHER, 0.0, 0.15, "differs"),
    ],
)
def test_claims_of_hidden_joints_are_judged_where_the_dial_ends(
    said: Claim, hidden: float, visible: float, status: str
) -> None:
    (verdict,) = judge(said, WITH_SWEEP, records(hidden, visible))
    assert verdict.status == status, verdict.reason
    assert verdict.protocol == "mannequins-v1-occlusion-0.5"
    assert "At other values of the dial" in verdict.reason
    assert verdict.command == "hpe-bench ablate tiny --study occlusion"


def test_without_evaluations_it_says_what_it_takes() -> None:
    (verdict,) = judge(HIDDEN, WITH_SWEEP, [])
    assert verdict.status == "not attempted"
    assert "hpe-bench ablate tiny --study occlusion" in verdict.needs


def test_sweeps_take_no_part_in_rankings_or_other_verdicts() -> None:
    from hpe_bench.records import query

    asked = query.of(records(0.1, 0.1))
    assert asked.conditions() == []
    assert asked.finished("accuracy") == []


def test_the_page_shows_visible_and_hidden_joints_by_the_dial() -> None:
    view = sweep_view.view(WITH_SWEEP, SWEPT, records(0.15, 0.0))
    assert len(view.figures) == 2
    assert view.table is not None
    assert len(view.table.rows) == 4
    assert view.missing == ""
    assert next(row[6].text for row in view.table.rows) == "control"
    empty = sweep_view.view(WITH_SWEEP, SWEPT, [])
    assert empty.table is None
    assert empty.missing == "Base, squared error; Tiny, RCE"
