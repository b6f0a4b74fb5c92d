"""Budget as an axis: which trainings a study with budgets asks for, and which it shares with others."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from hpe_bench import catalog, plan, protocols
from hpe_bench.commands import full, reproduce
from hpe_bench.commands.reproduce import find_study, with_budget
from hpe_bench.declare import Ablation, Arm, Budgets, Curriculum, fingerprint, replace
from hpe_bench.records import store
from hpe_bench.records.throughput import Throughput
from hpe_bench.run import pool
from hpe_bench.run.pool import Outcome, Settings
from tests import small
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL

RESULTS = Path(__file__).resolve().parents[1] / "results"
MANNEQUINS = protocols.POCKET["mannequins"]
ARMS = (
    Arm("control", "simple_baseline", small.VARIANT, small.RECIPE),
    Arm("other", "simple_baseline", small.VARIANT, replace(small.RECIPE, name="other")),
)
STUDY = Ablation("budget", "q", ARMS, "control", budgets=Budgets((96, 384), further=(768,), of=("control",)))


def test_every_budget_is_a_whole_training_and_the_own_one_is_shared() -> None:
    found = plan.points(STUDY)
    assert list(found) == [96, 384, 768]
    assert found[384].arms == STUDY.arms  # as declared, so that other studies' trainings serve
    assert [a.recipe.samples for a in found[96].arms] == [96, 96]
    assert [a.name for a in found[768].arms] == ["control"]
    assert found[96].arms[0].recipe.schedule == small.RECIPE.schedule  # in shares of the budget: annealed to its end
    assert all(point.budgets is None for point in found.values())


def test_a_shorter_point_is_the_training_that_reproduce_makes_with_so_many_samples() -> None:
    headline = replace(STUDY, budgets=None)
    assert plan.points(STUDY)[96].arms == with_budget(headline, 96).arms


def test_trainings_stand_seed_by_seed_and_the_cheapest_first() -> None:
    runs = plan.study_runs([replace(STUDY, budgets=None), STUDY], small.PROTOCOLS, 2)
    assert [(r.seed, r.recipe.samples) for r in runs[:5]] == [(0, 384), (0, 384), (0, 96), (0, 96), (0, 768)]
    assert len(runs) == len({r.id for r in runs}) == 10


def test_a_few_budgets_can_be_named() -> None:
    assert [s.arms[0].recipe.samples for s in plan.restricted(STUDY, (384, 96))] == [96, 384]
    with pytest.raises(ValueError, match="no budget of 100 samples; it has 96, 384, 768"):
        plan.restricted(STUDY, (100,))


def test_a_longer_training_has_a_teacher_as_long() -> None:
    study = find_study(catalog.load("fpd").paper, "budget")
    for samples, point in plan.points(study).items():
        taught = next(a.recipe for a in point.arms if isinstance(a.recipe, Curriculum))
        assert taught.teacher is not None
        assert taught.samples == taught.teacher.recipe.samples == samples
        teacher = next(a for a in point.arms if a.name == "teacher")
        assert fingerprint(teacher.recipe) == fingerprint(taught.teacher.recipe)  # trained once, shown as an arm


@pytest.mark.parametrize(
    ("budgets", "says"),
    [
        ({"samples": (96, 768)}, "own 384 samples are none of its budgets"),
        ({"samples": (4, 384)}, "less than a batch"),
        ({"samples": (384,), "further": (768,), "of": ("nobody",)}, "none of its arms"),
        ({"samples": (384,), "further": (768,), "of": ("other",)}, "its control has no further budgets"),
        ({"samples": (384, 96)}, "in rising order"),
        ({"samples": (384,), "further": (768,)}, "belong together"),
    ],
)
def test_impossible_budgets_are_refused(budgets: dict[str, tuple[int, ...]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(STUDY, budgets=Budgets(**budgets))  # type: ignore[arg-type]


def test_committed_trainings_are_points_of_the_studies_of_budgets() -> None:
    """Identities of records that were published before budgets were an axis."""
    (point,) = plan.restricted(find_study(catalog.load("fasterpose").paper, "budget"), (40_000,))
    for run in plan.study_runs([point], MANNEQUINS, 3):
        for protocol in MANNEQUINS:
            assert list((RESULTS / run.paper).glob(f"*__{run.record_id(protocol)}.json")), run.label


def test_published_records_of_the_present_code_stand_for_their_runs(tmp_path: Path) -> None:
    """A study goes on from what came with the checkout, if told so; of other code, or unfinished, it trains again."""
    run = small.training(recipe=small.BRIEF)
    elsewhere = pool.Settings(tmp_path / "results", tmp_path / "theirs")
    made = pool.run_trainings([run], elsewhere, Console(quiet=True), lambda _: 1.0).made
    here = pool.Settings(tmp_path / "results", tmp_path / "ours")
    trusting = replace(here, missing_only=True)
    record_id = run.record_id(run.protocols[0])
    assert pool.finished(record_id, run.code, here) is None
    assert pool.finished(record_id, run.code, trusting) == made[0]
    assert pool.finished(record_id, "0123456789abcdef", trusting) is None
    outcome = pool.run_trainings([run], trusting, Console(quiet=True), lambda _: 1.0)
    assert (outcome.kept, outcome.made, outcome.failed) == (1, [], [])
    assert len(store.load_all(here.results)) == len(run.protocols)
    store.save(made[0].model_copy(update={"status": "failed", "reason": "broke"}), here.results)
    assert pool.finished(record_id, run.code, trusting) is None


def test_every_paper_shares_its_own_budgets_trainings() -> None:
    for loaded in catalog.load_all()[0]:
        for study in (s for s in loaded.paper.studies if s.budgets is not None):
            own = {r.id for r in plan.study_runs([loaded.paper.headline], MANNEQUINS, 1)}
            runs = {r.id for r in plan.study_runs([study], MANNEQUINS, 1)}
            assert len(own & runs) >= (1 if loaded.paper.slug == "hrnet" else 2), loaded.paper.slug


# ---------------------------------------------------------------------------------------------------- hours


def test_hours_follow_from_what_such_trainings_took() -> None:
    """100 s for 1,000 samples of a network: 400 s for 4,000, by whichever recipe; nothing is known of others.

    One beside other work took longer, and one on another processor tells nothing of this one.
    """
    pace = Throughput(
        [
            *(make.took(CONTROL, 1000, seconds, seed) for seed, seconds in enumerate((100.0, 170.0, 180.0))),
            make.took(CONTROL, 1000, 5.0, 3, "A GPU"),
        ]
    )
    recipe = replace(CONTROL.recipe, samples=4000)
    run = plan.TrainingRun(CONTROL.paper, CONTROL.variant, recipe, MANNEQUINS, 0)
    assert pace.hours([run, run]) == pytest.approx(2 * 400 / 3600)
    other = replace(run, recipe=replace(recipe, name="other"))
    assert pace.hours([other]) == pytest.approx(400 / 3600)
    assert pace.hours([replace(run, variant=small.VARIANT)]) is None


def test_networks_that_were_never_trained_take_as_long_as_their_macs_say() -> None:
    costs = [
        make.cost(CONTROL.paper, CONTROL.variant, 1, 1000, 1),
        make.cost("simple_baseline", small.VARIANT, 1, 500, 1),
    ]
    pace = Throughput([make.took(CONTROL, 1000, 100.0), *costs])
    assert pace.seconds_a_sample("simple_baseline", small.VARIANT, "small") == pytest.approx(0.05)


def test_a_headline_that_takes_long_is_reproduced_with_fewer_seeds_first() -> None:
    first = {p.paper.slug: p.paper.headline.first_seeds for p in catalog.load_all()[0]}
    assert first["cpn"] == first["part_branching"] == 2
    assert first["fasterpose"] is None
    headline = catalog.load("cpn").paper.headline
    assert plan.study_runs([headline], MANNEQUINS, 1) == plan.study_runs(
        [replace(headline, first_seeds=None)], MANNEQUINS, 1
    )
    with pytest.raises(ValueError, match="first_seeds 3 must be 2 or more"):
        replace(headline, first_seeds=3)


def test_a_smaller_budget_is_what_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[plan.TrainingRun] = []

    def train(runs: list[plan.TrainingRun], settings: Settings, console: Console) -> Outcome:
        seen.extend(runs)
        return Outcome()

    monkeypatch.setattr(reproduce, "prepare", lambda *_: None)
    monkeypatch.setattr(reproduce, "train", train)
    monkeypatch.setattr(reproduce, "conclude", lambda *_: True)
    settings, console = Settings(tmp_path / "results", tmp_path / "runs"), Console(quiet=True)
    asked = full.FullRequest(data="mannequins", budget=512)
    reproduce.reproduce("fasterpose", ["pocket"], asked, 1, None, settings, tmp_path / "reports", console)
    assert {run.recipe.samples for run in seen} == {512}
