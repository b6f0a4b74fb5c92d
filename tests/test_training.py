"""Training: reproducible from the seed, the same to the bit when interrupted, able to learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpe_bench.declare import Optimiser, replace
from hpe_bench.run import training
from hpe_bench.run.training import Data
from hpe_bench.training import checkpoints, feeding, loop
from hpe_bench.training.checkpoints import weights_digest
from hpe_bench.training.execution import PLAIN, Execution
from hpe_bench.training.journal import EVENTS, JOURNAL
from tests import small


@pytest.fixture(scope="module")
def data() -> Data:
    return training.load_data(small.PROTOCOLS[0], None, small.VARIANT.input_hw)


def ignore(samples: int, probe: float | None) -> None:
    pass


def run(
    data: Data,
    folder: Path,
    seed: int = 0,
    report: loop.Report = ignore,
    execution: Execution = PLAIN,
    **change: object,
) -> tuple[nn.Module, loop.TrainState]:
    recipe = replace(small.RECIPE, **change)  # type: ignore[arg-type]
    model = training.build(small.VARIANT, 17, seed)
    state = loop.train(
        model,
        data.train,
        recipe,
        mirrored=data.truth.skeleton.mirrored(),
        seed=seed,
        folder=folder,
        probe=lambda _: 0.0,
        report=report,
        execution=execution,
    )
    return model, state


class PulledPlugError(Exception):
    pass


def test_an_interrupted_training_ends_with_the_same_weights(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, state = run(data, tmp_path / "whole", samples=160)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)  # after every step
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    for stop in (7, 8, 13):

        def pull(samples: int, _: float | None, stop: int = stop) -> None:
            if samples >= stop * small.RECIPE.batch:
                raise PulledPlugError

        with pytest.raises(PulledPlugError):
            run(data, tmp_path / "parts", report=pull, samples=160)
    parts, resumed = run(data, tmp_path / "parts", samples=160)
    assert weights_digest(parts.state_dict()) == weights_digest(whole.state_dict())
    assert [(p.samples, p.train_loss) for p in resumed.curve] == [(p.samples, p.train_loss) for p in state.curve]
    assert resumed.step == state.step == 20


def test_tensorboards_files_say_what_the_journal_says(data: Data, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, _ = run(data, tmp_path / "plain", samples=160)
    assert not (tmp_path / "plain" / EVENTS).exists()
    watched, _ = run(data, tmp_path / "watched", execution=Execution(tensorboard=True), samples=160)
    assert weights_digest(watched.state_dict()) == weights_digest(plain.state_dict())
    told = [json.loads(line) for line in (tmp_path / "watched" / JOURNAL).read_text().splitlines()]
    events = EventAccumulator(str(tmp_path / "watched" / EVENTS)).Reload()
    losses = events.Scalars("loss")
    assert [e.step for e in losses] == [line["samples"] for line in told]
    assert [e.value for e in losses] == pytest.approx([line["loss"] for line in told])
    assert len(events.Scalars("probe")) == sum(line["probe"] is not None for line in told)


def test_seeds_differ_and_repeat(data: Data, tmp_path: Path) -> None:
    trained = [run(data, tmp_path / str(i), seed, samples=80)[0] for i, seed in enumerate((0, 1, 0))]
    digests = [weights_digest(model.state_dict()) for model in trained]
    assert digests[0] == digests[2] != digests[1]


def test_every_epoch_is_a_permutation() -> None:
    size, batch = 20, 8
    rows = np.concatenate([feeding.batch_rows(3, step, batch, size) for step in range(15)])
    epochs = rows.reshape(6, size)
    assert all(sorted(e) == list(range(size)) for e in epochs.tolist())
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_loss_goes_down(data: Data, tmp_path: Path) -> None:
    _, state = run(data, tmp_path, samples=240)
    losses = [p.train_loss for p in state.curve]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_the_learning_rate_is_read_back_from_the_optimiser(data: Data, tmp_path: Path) -> None:
    seen: list[float] = []
    original = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, *args: object) -> object:
        seen.append(self.param_groups[0]["lr"])
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spy)
        run(data, tmp_path)
    peak = small.RECIPE.optimiser.lr
    assert max(seen) == pytest.approx(peak, rel=0.02)
    assert seen[0] < 0.1 * peak
    assert seen[-1] < 0.01 * peak


def test_a_diverging_training_says_so(data: Data, tmp_path: Path) -> None:
    with pytest.raises(loop.DivergedError, match="after"):
        run(data, tmp_path, optimiser=Optimiser("sgd", 1e30))


def test_weights_survive_their_file_and_no_other_model_takes_them(tmp_path: Path) -> None:
    model = training.build(small.VARIANT, 17, 0)
    digest = checkpoints.save_weights(tmp_path / "w.safetensors", model)
    assert checkpoints.load_trained_weights(tmp_path / "w.safetensors", training.build(small.VARIANT, 17, 5)) == digest
    with pytest.raises(RuntimeError, match="final_layer"):
        checkpoints.load_trained_weights(tmp_path / "w.safetensors", training.build(small.VARIANT, 14, 0))
