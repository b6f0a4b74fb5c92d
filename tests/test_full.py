"""Full-size trainings: what a command asks for, how they execute, what survives damage, what they leave."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hpe_bench.papers.simple_baseline import paper as simple_baseline
from typer.testing import CliRunner

from hpe_bench import cli, protocols
from hpe_bench.commands import full
from hpe_bench.commands.full import FullRequest
from hpe_bench.declare import Optimiser, fingerprint, replace
from hpe_bench.plan import TrainingRun
from hpe_bench.records.schema import RunRecord
from hpe_bench.run import training
from hpe_bench.run.training import Data
from hpe_bench.training import checkpoints, engine, feeding, journal, loop, steps
from hpe_bench.training.checkpoints import weights_digest
from hpe_bench.training.execution import PLAIN, Execution
from tests import small

LSP_50K = FullRequest("lsp", budget=50_000, init="random")
BF16 = Execution("bf16")


@pytest.fixture(scope="module")
def data() -> Data:
    return training.load_data(small.PROTOCOLS[0], None, small.VARIANT.input_hw)


# ---------------------------------------------------------------------------------------------------- what is asked


def test_a_budget_makes_a_recipe_of_its_own_with_the_same_shape() -> None:
    (run,) = full.planned("simple_baseline", LSP_50K)
    declared = simple_baseline.coco_256x192()
    assert run.variant == next(v for v in simple_baseline.FULL if v.name == "r50_256x192")
    assert (run.recipe.name, run.recipe.samples, run.recipe.init) == ("coco_256x192-50000-random", 50_000, "random")
    assert fingerprint(run.recipe) not in {fingerprint(r) for r in simple_baseline.paper.recipes}
    for progress in (0, 0.7, 0.9):
        assert run.recipe.schedule.factor(progress) == declared.schedule.factor(progress)
    assert [p.name for p in run.protocols] == ["lsp-pc-3x4", "lsp-pc-3x4-dark"]


@pytest.mark.parametrize("slug", ["simple_baseline", "fasterpose", "hrnet", "cpn", "hourglass", "part_branching"])
def test_every_paper_with_a_full_size_recipe_trains_on_lsp(slug: str) -> None:
    (run,) = full.planned(slug, LSP_50K)
    assert run.variant.scale == "full"
    assert run.recipe.samples == 50_000
    run.protocols[0].check_input(run.variant.input_hw)  # type: ignore[attr-defined]


def test_seeds_and_executions_are_trainings_of_their_own() -> None:
    runs = full.planned("simple_baseline", replace(LSP_50K, seeds=2))
    runs += full.planned("simple_baseline", replace(LSP_50K, execution=BF16))
    assert len({run.id for run in runs}) == 3
    assert replace(runs[0], execution=Execution(compiled=True)).id == runs[0].id  # the same sums in the same precision
    (graphed,) = full.planned("simple_baseline", replace(LSP_50K, execution=Execution(graphed=True)))
    assert graphed.execution.words == "batch in one piece"  # 32 a device are the recipe's
    assert graphed.id != runs[0].id


def test_another_input_size_is_the_papers_variant_if_it_has_one_and_else_ours() -> None:
    (other,) = full.planned("cpn", replace(LSP_50K, input_hw=(128, 96)))
    assert (other.variant.name, other.variant.input_hw, other.variant.reading) == ("r50_128x96", (128, 96), "ours")
    (run,) = full.planned("simple_baseline", replace(LSP_50K, input_hw=(384, 288)))
    assert run.variant in simple_baseline.FULL


def test_the_ids_of_miniatures_are_what_they_were() -> None:
    run = small.training()
    assert run.id == "ef046422bca98778"
    assert [run.record_id(p) for p in run.protocols] == ["b776a00771c12912", "cea67f9e0f0744d5"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init": None}, "starts from ImageNet weights and no file .* --init FILE .* --init random"),
        ({"budget": None}, "--budget SAMPLES with --init random"),
        ({"init": "zeros.pth"}, "--init zeros.pth: no such file"),
        ({"budget": 10**9}, "more than recipe 'coco_256x192' has"),
        ({"budget": 5}, "less than a batch"),
        ({"recipe": "pocket_mse"}, "no full-size recipe 'pocket_mse'; it has coco_256x192"),
        ({"variant": "pocket"}, "is a miniature"),
        ({"variant": "r51"}, "r51"),
        ({"input_hw": (100, 75)}, "multiples of 32"),
        ({"input_hw": (64, 32)}, "crop 3:4 or 1:1"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        full.planned("simple_baseline", replace(LSP_50K, **change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_command_refuses_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["reproduce", "simple_baseline", "--scale", "full", "--data", "lsp", "--root", str(tmp_path)]
    outcome = CliRunner().invoke(cli.app, asked)
    assert isinstance(outcome.exception, ValueError)
    assert "ImageNet weights" in str(outcome.exception)
    outcome = CliRunner().invoke(cli.app, [*asked, "--budget", "1280", "--init", "random"])
    assert "no LSP here" in str(outcome.exception)
    outcome = CliRunner().invoke(cli.app, [*asked, "--compile", "--graphs", "--budget", "1280", "--init", "random"])
    assert "not both" in str(outcome.exception)
    outcome = CliRunner().invoke(cli.app, ["reproduce", "simple_baseline", "--data", "coco"])
    assert "add --scale full" in str(outcome.exception)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    outcome = CliRunner().invoke(cli.app, [*asked, "--tensorboard", "--budget", "1280", "--init", "random"])
    assert "--tensorboard: tensorboard is not installed" in str(outcome.exception)
    assert not list(tmp_path.iterdir())


def test_protocols_of_trainings_are_known_by_name() -> None:
    for groups in protocols.TRAINED.values():
        for protocol in (p for group in groups for p in group):
            assert protocols.every()[protocol.name] == protocol


# ---------------------------------------------------------------------------------------------------- execution


def trained(
    data: Data, folder: Path, execution: Execution = PLAIN, **more: object
) -> tuple[torch.nn.Module, tuple[loop.TrainState, list[str]]]:
    recipe = replace(small.RECIPE, **{"samples": 160, **more})  # type: ignore[arg-type]
    model = training.build(small.VARIANT, 17, 0)
    said: list[str] = []
    state = loop.train(
        model,
        data.train,
        recipe,
        mirrored=data.truth.skeleton.mirrored(),
        seed=0,
        folder=folder,
        probe=lambda _: 0.0,
        report=lambda samples, probe: None,
        execution=execution,
        say=said.append,
    )
    return model, (state, said)


def test_bf16_is_autocast_weights_stay_float32(data: Data, tmp_path: Path) -> None:
    plain, (state, _) = trained(data, tmp_path / "fp32", samples=80)
    half, (other, _) = trained(data, tmp_path / "bf16", BF16, samples=80)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert weights_digest(half.state_dict()) != weights_digest(plain.state_dict())
    losses = [[p.train_loss for p in s.curve] for s in (state, other)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)


def test_graphs_need_a_gpu() -> None:
    with pytest.raises(ValueError, match="CUDA graphs need a CUDA device"):
        steps.gradients(torch.nn.Linear(1, 1), small.RECIPE.loss, Execution(graphed=True), "cpu")


def test_targets_encoded_ahead_are_those_the_loss_would_have_encoded(data: Data) -> None:
    batch = feeding.Feed(data.train, small.RECIPE, data.truth.skeleton.mirrored(), 0, "cpu").make(3)
    model = training.build(small.VARIANT, 17, 0)
    outputs = model(batch.images_B3HW)
    sizes: dict[tuple[int, int], None] = {}
    first = small.RECIPE.loss(outputs, batch, feeding.ReadyTargets(small.CODEC, batch, sizes))
    assert list(sizes) == [tuple(outputs[-1].shape[-2:])]
    ahead = feeding.ReadyTargets(small.CODEC, batch, sizes)
    assert len(ahead.tensors()) == 2
    again = small.RECIPE.loss(outputs, batch, ahead)
    assert torch.equal(first, again)
    assert torch.equal(first, small.RECIPE.loss(outputs, batch, small.CODEC))
    other = batch.labelled_BJ.clone()  # what is not the batch's own is encoded anew
    (size,) = sizes
    assert ahead.encode(batch.joints_BJ2, other, batch.input_hw, size)[0] is not ahead.ready[size][0]


def test_switches_are_strict_but_for_full_size_on_a_gpu() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        for scale, device, strict in (("pocket", "cuda", True), ("full", "cpu", True), ("full", "cuda", False)):
            engine.prepare(scale, device)  # type: ignore[arg-type]
            assert torch.are_deterministic_algorithms_enabled() is strict
            assert torch.backends.cudnn.benchmark is not strict
            assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
    flags = engine.flags(BF16, "cuda")
    assert flags["precision"] == "bf16"
    assert flags["cublas_workspace"] == ":4096:8"


# ---------------------------------------------------------------------------------------------------- what survives


class PulledPlugError(Exception):
    pass


@pytest.fixture(scope="module")
def stopped(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a training that was stopped after 6 of 10 steps, and the weights of one that nothing stops."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
        patch.setattr(loop.Keeper, "keep", pull_after(6, loop.Keeper.keep))
        with pytest.raises(PulledPlugError):
            trained(data, folder, samples=80)
    assert all((folder / name).exists() for name in (checkpoints.CHECKPOINT, checkpoints.BEFORE))
    whole, _ = trained(data, tmp_path_factory.mktemp("whole"), samples=80)
    return folder, weights_digest(whole.state_dict())


@pytest.mark.parametrize(
    ("fault", "damaged", "words"),
    [("cut", 1, "the one before it"), ("flipped", 1, "the one before it"), ("empty", 2, "the start")],
)
def test_damaged_checkpoints_are_said_set_aside_and_change_nothing(
    data: Data, stopped: tuple[Path, str], tmp_path: Path, fault: str, damaged: int, words: str
) -> None:
    folder = shutil.copytree(stopped[0], tmp_path / "parts")
    for name in (checkpoints.CHECKPOINT, checkpoints.BEFORE)[:damaged]:
        spoil(folder / name, fault)
    model, (_, said) = trained(data, folder, samples=80)
    assert len(said) == damaged
    assert words in said[-1]
    assert (folder / checkpoints.DAMAGED).exists()
    assert weights_digest(model.state_dict()) == stopped[1]


def pull_after(step: int, keep: object) -> object:
    def wrapped(self: loop.Keeper, model: object, optimiser: object, state: loop.TrainState) -> None:
        keep(self, model, optimiser, state)  # type: ignore[operator]
        if state.step >= step:
            raise PulledPlugError

    return wrapped


def spoil(path: Path, fault: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[fault])


def test_checkpoints_cost_a_fiftieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)
    stored: list[float] = []

    def store(*_: object) -> None:
        nonlocal now
        stored.append(now)
        now += 3.0

    monkeypatch.setattr(checkpoints, "store", store)
    keeper = loop.Keeper(tmp_path)
    while now < 1000:
        now += 1.0
        keeper.keep(torch.nn.Linear(1, 1), None, loop.TrainState())  # type: ignore[arg-type]
    assert stored[0] <= 12  # as often as it may, until the cost is known
    assert 3.0 * len(stored) < 0.03 * 1000
    assert np.diff(stored).min() >= 150


def test_a_loss_that_is_not_finite_is_noticed_between_points_of_the_curve(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FINITE_STEPS", 5)
    monkeypatch.setattr(loop, "PROBES", 1)
    with pytest.raises(loop.DivergedError, match=r"after (40|80) samples"):
        trained(data, tmp_path, optimiser=Optimiser("sgd", 1e30))


def test_the_journal_tells_how_far_and_how_long(data: Data, tmp_path: Path) -> None:
    trained(data, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / journal.JOURNAL).read_text().splitlines()]
    assert lines[-1]["samples"] == lines[-1]["of"] == 160
    assert lines[-1]["seconds_left"] == 0
    assert all(line["samples_per_second"] > 0 and np.isfinite(line["loss"]) for line in lines)
    assert [line["samples"] for line in lines] == sorted(line["samples"] for line in lines)


# ---------------------------------------------------------------------------------------------------- what is left


def test_a_full_size_training_leaves_a_full_record(tmp_path: Path) -> None:
    run = TrainingRun(
        "simple_baseline",
        replace(small.VARIANT, name="large", scale="full"),
        replace(small.RECIPE, samples=64),
        small.PROTOCOLS,
        0,
        BF16,
    )
    made = training.run_training(run, None, tmp_path, 1, "cpu", lambda samples, probe: None)
    assert [r.identity.protocol for r in made] == ["small-dark", "small-quarter"]
    for record in made:
        i = record.identity
        assert (i.kind, i.scale, i.execution, i.samples_seen) == ("accuracy", "full", "bf16", 64)
        assert record.predictions_sha256
        assert record.weights_sha256
        assert record.provenance.flags["precision"] == "bf16"
        assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert not list(tmp_path.glob("*/checkpoint*"))
