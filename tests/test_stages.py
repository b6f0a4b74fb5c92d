"""Trainings in stages, with a teacher, with labels withheld: exact to the bit when interrupted, in the right order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hpe_bench.papers.bulat_cascade import model as bulat
from hpe_bench.papers.bulat_cascade.paper import UNSURE as DETECTION
from hpe_bench.papers.bulat_cascade.paper import in_turn
from hpe_bench.papers.fpd.loss import DistillationMSE
from rich.console import Console
from torch import Tensor, nn

from hpe_bench import plan
from hpe_bench.declare import (
    Ablation,
    Arm,
    Curriculum,
    Recipe,
    Stage,
    Trained,
    Variant,
    fingerprint,
    in_stages,
    replace,
)
from hpe_bench.records import store
from hpe_bench.run import pool, training
from hpe_bench.run.pool import Settings
from hpe_bench.run.training import Data
from hpe_bench.training import feeding, loop
from hpe_bench.training.checkpoints import weights_digest
from hpe_bench.training.losses import HeatmapMSE
from hpe_bench.training.stages import spans
from tests import small
from tests.test_runner import BrokenLoss

CASCADE = Variant("cascade", bulat.pocket_cascade, (64, 64), scale="pocket", reading="ours")
IN_TURN = in_stages(replace(small.RECIPE, samples=80), "in_turn", in_turn(DETECTION))  # 4, 4 and 2 steps
TEACHER = Trained("simple_baseline", small.VARIANT, small.BRIEF)
TAUGHT = in_stages(small.BRIEF, "taught", (Stage("taught", 1.0, DistillationMSE()),), teacher=TEACHER)


@pytest.fixture(scope="module")
def data() -> Data:
    return training.load_data(small.PROTOCOLS[0], None, CASCADE.input_hw)


def ignore(samples: int, probe: float | None) -> None:
    pass


def train(
    data: Data, folder: Path, recipe: Recipe, report: loop.Report = ignore, teacher: loop.Teacher | None = None
) -> nn.Module:
    model = training.build(CASCADE, 17, 0)
    mirrored = data.truth.skeleton.mirrored()
    loop.train(
        model,
        data.train,
        recipe,
        mirrored=mirrored,
        seed=0,
        folder=folder,
        probe=lambda _: 0.0,
        report=report,
        teacher=teacher,
    )
    return model


class PulledPlugError(Exception):
    pass


# ---------------------------------------------------------------------------------------------------- stages


def test_stages_follow_each_other_without_gaps_and_a_plain_recipe_is_one() -> None:
    assert [(s.stage.name, s.first, s.end) for s in spans(IN_TURN, 48)] == [
        ("detector", 0, 19),
        ("regressor", 19, 38),
        ("both", 38, 48),
    ]
    (whole,) = spans(small.RECIPE, 48)
    assert (whole.first, whole.end, whole.progress(12)) == (0, 48, 0.25)
    assert spans(IN_TURN, 48)[1].progress(19) == 0.0


def test_a_stage_changes_what_it_trains_and_nothing_else(data: Data, tmp_path: Path) -> None:
    start = training.build(CASCADE, 17, 0).state_dict()
    detector_only = in_stages(small.BRIEF, "detector_only", (replace(IN_TURN.stages[0], share=1.0),))
    after = train(data, tmp_path, detector_only).state_dict()
    changed = {name.split(".")[0] for name in start if not torch.equal(start[name], after[name])}
    assert changed == {"detector"}  # batch-norm statistics of the frozen half included


def test_interrupted_within_and_between_stages_it_ends_with_the_same_weights(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(data, tmp_path / "whole", IN_TURN)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    for stop in (3, 4, 5, 8, 9):

        def pull(samples: int, _: float | None, stop: int = stop) -> None:
            if samples >= stop * small.RECIPE.batch:
                raise PulledPlugError

        with pytest.raises(PulledPlugError):
            train(data, tmp_path / "parts", IN_TURN, report=pull)
    parts = train(data, tmp_path / "parts", IN_TURN)
    assert weights_digest(parts.state_dict()) == weights_digest(whole.state_dict())


def test_one_stage_that_says_what_the_plain_recipe_says_is_the_plain_recipe(data: Data, tmp_path: Path) -> None:
    one = in_stages(small.BRIEF, "one", (Stage("whole", 1.0, HeatmapMSE()),))
    plain = train(data, tmp_path / "plain", replace(small.BRIEF, loss=HeatmapMSE()))
    assert weights_digest(train(data, tmp_path / "one", one).state_dict()) == weights_digest(plain.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ()}, "add up to 1"),
        ({"stages": (Stage("half", 0.5, HeatmapMSE()),)}, "add up to 1"),
        ({"stages": (Stage("whole", 1.0, DistillationMSE()),), "loss": DistillationMSE()}, "belong together"),
        ({"loss": DistillationMSE()}, "last stage"),
        ({"teacher": TEACHER}, "belong together"),
        ({"withheld": 1.0}, "withheld"),
    ],
)
def test_a_curriculum_that_does_not_add_up_is_refused(change: dict[str, object], message: str) -> None:
    good = in_stages(small.RECIPE, "good", (Stage("whole", 1.0, HeatmapMSE()),))
    with pytest.raises(ValueError, match=message):
        replace(good, **change)  # type: ignore[arg-type]


def test_a_stage_that_trains_what_the_model_has_not_says_what_it_has(data: Data, tmp_path: Path) -> None:
    wrong = in_stages(small.RECIPE, "wrong", (Stage("head", 1.0, HeatmapMSE(), trains=("head",)),))
    with pytest.raises(ValueError, match="detector, fold, regressor"):
        train(data, tmp_path, wrong)


def test_plain_recipes_keep_their_identity() -> None:
    """A recipe without stages hashes as it did before there were any: committed records hang on it."""
    assert not isinstance(small.RECIPE, Curriculum)
    from hpe_bench.papers.simple_baseline.paper import pocket_mse

    assert fingerprint(pocket_mse()) == "3bdd135baf4c8c51"


# ---------------------------------------------------------------------------------------------------- teachers


def test_the_teacher_sees_the_students_images_and_speaks_to_its_loss(data: Data, tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def teach(images_B3HW: Tensor) -> Tensor:
        seen.append(images_B3HW)
        return torch.zeros(len(images_B3HW), 17, 16, 16)

    only_teacher = in_stages(
        replace(small.RECIPE, samples=80), "mute", (Stage("taught", 1.0, DistillationMSE(1.0)),), teacher=TEACHER
    )
    only_teacher = replace(only_teacher, samples=80)
    model = train(data, tmp_path, only_teacher, teacher=teach)
    assert len(seen) == 10
    batch = feeding.Feed(data.train, only_teacher, data.truth.skeleton.mirrored(), 0, "cpu").make(9)
    assert torch.equal(seen[-1], batch.images_B3HW)
    assert isinstance(model, nn.Module)


def test_withheld_labels_are_the_same_for_all_and_only_a_teacher_sees_their_images(data: Data) -> None:
    plain = in_stages(small.RECIPE, "half", (Stage("plain", 1.0, HeatmapMSE()),), withheld=0.5)
    taught = replace(TAUGHT, withheld=0.5)
    mirrored = data.truth.skeleton.mirrored()
    hidden = feeding.withheld_rows(0, 0.5, len(data.train.joints))
    assert hidden.sum() == 30
    blank = 0
    for step in range(8):
        assert feeding.Feed(data.train, plain, mirrored, 0, "cpu").make(step).labelled_BJ.any(dim=1).all()
        blank += int((~feeding.Feed(data.train, taught, mirrored, 0, "cpu").make(step).labelled_BJ.any(dim=1)).sum())
    assert 20 <= blank <= 44  # of 64
    assert not np.array_equal(hidden, feeding.withheld_rows(1, 0.5, len(hidden)))


def arm(name: str, recipe: Recipe) -> Arm:
    return Arm(name, "simple_baseline", small.VARIANT, recipe)


def settings(folder: Path) -> Settings:
    return Settings(results=folder / "results", runs=folder / "runs", workers=2)


def test_the_plan_names_a_teacher_before_its_students_and_once() -> None:
    study = Ablation("s", "?", (arm("taught", TAUGHT), arm("plain", small.BRIEF)), "plain", seeds=2)
    runs = plan.study_runs([study], small.PROTOCOLS, None)
    assert [(r.recipe.name, r.seed) for r in runs] == [("small", 0), ("taught", 0), ("small", 1), ("taught", 1)]
    assert runs[1].teacher is not None
    assert runs[1].teacher.id == runs[0].id
    assert runs[1].code != runs[0].code


def test_a_student_waits_for_its_teacher_and_a_lost_teacher_is_trained_again(tmp_path: Path) -> None:
    student = replace(small.training(), recipe=TAUGHT)
    assert student.teacher is not None
    first = pool.run_trainings([student.teacher, student], settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert [r.identity.recipe for r in first.made] == ["small", "small", "taught", "taught"]
    for path in tmp_path.glob("runs/*/weights.safetensors"):
        path.unlink()
    other = replace(student, recipe=replace(TAUGHT, name="other", samples=80))
    again = pool.run_trainings([student.teacher, other], settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert not again.failed
    assert all(c.identical for c in again.compared)


def test_a_student_of_a_failed_teacher_fails_with_that_reason(tmp_path: Path) -> None:
    broken = Trained("simple_baseline", small.VARIANT, replace(small.RECIPE, name="broken", loss=BrokenLoss()))
    student = replace(small.training(), recipe=replace(TAUGHT, teacher=broken))
    assert student.teacher is not None
    outcome = pool.run_trainings([student.teacher, student], settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert not outcome.made
    assert {r.identity.recipe for r in outcome.failed} == {"broken", "taught"}
    reasons = {r.identity.recipe: r.reason for r in store.load_all(tmp_path / "results")}
    assert "its teacher" in reasons["taught"]
