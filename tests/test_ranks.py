"""Several processes and one training: micro-batches, whose statistics move, the same bits however many there are."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from hpe_bench.commands import full, together
from hpe_bench.commands.reproduce import full_alone
from hpe_bench.declare import Recipe, fingerprint, replace
from hpe_bench.plan import TrainingRun
from hpe_bench.records import store
from hpe_bench.run import training
from hpe_bench.run.pool import Settings
from hpe_bench.run.training import Data
from hpe_bench.training import checkpoints, feeding, loop, steps, world
from hpe_bench.training.checkpoints import weights_digest
from hpe_bench.training.execution import PLAIN, Execution
from hpe_bench.training.world import World
from tests import small

FORK = multiprocessing.get_context("fork")  # what the parent has imported need not be imported again
RECIPE = replace(small.RECIPE, samples=80, batch_per_device=2)  # 10 steps of 4 micro-batches of 2
EXACT = Execution(exact=True)
SECONDS = 120


@pytest.fixture(scope="module")
def data() -> Data:
    return training.load_data(small.PROTOCOLS[0], None, small.VARIANT.input_hw)


class PulledPlugError(Exception):
    pass


def train(
    data: Data,
    folder: Path,
    execution: Execution,
    here: World = world.SOLO,
    stop: int | None = None,
    recipe: Recipe = RECIPE,
) -> tuple[nn.Module, loop.TrainState]:
    """The small training as one of the processes of `here`; `stop` pulls the plug after a step."""

    def report(samples: int, probe: float | None) -> None:
        if stop is not None and samples >= stop * recipe.batch:
            raise PulledPlugError

    model = training.build(small.VARIANT, 17, 0)
    state = loop.train(
        model,
        data.train,
        recipe,
        mirrored=data.truth.skeleton.mirrored(),
        seed=0,
        folder=folder,
        probe=lambda _: 0.0,
        report=report,
        execution=execution,
        world=here,
    )
    return model, state


@pytest.fixture(scope="module")
def alone(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, loop.TrainState]:
    """What one process makes of the exact training, undisturbed."""
    return train(data, tmp_path_factory.mktemp("alone"), EXACT)


def begin(number: int, size: int, port: int) -> None:
    """Make this process one of several."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(size), "LOCAL_RANK": str(number)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE, loop.FINITE_STEPS = 0.0, 1e9, 3


def rank(
    number: int, size: int, port: int, data: Data, folder: Path, execution: Execution, stop: int | None, answers: Any
) -> None:
    """One process of several; rank 0 answers with weights and losses, or with what went wrong.

    A negative `stop` is that of the last process alone, which dies there without a word.
    """
    begin(number, size, port)
    if stop is not None and stop < 0:
        stop = -stop if number == size - 1 else None
    try:
        here, _ = world.join("cpu")
        model, state = train(data, folder, execution, here, stop)
        answer = (weights_digest(model.state_dict()), [p.train_loss for p in state.curve], flat(model))
    except PulledPlugError:
        answer = ("stopped", [], None)
    except Exception as error:
        answer = (f"{type(error).__name__}: {error}", [], None)
    if number == 0:
        answers.put(answer)
        answers.close()
        answers.join_thread()
    os._exit(0)


def flat(model: nn.Module) -> np.ndarray:
    """All weights and statistics, [W]."""
    return np.concatenate([v.double().flatten().numpy() for v in model.state_dict().values()])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def in_processes(
    size: int, data: Data, folder: Path, execution: Execution, stop: int | None = None
) -> tuple[str, list[float], np.ndarray]:
    """A training in several processes: its weights' digest, the losses on its curve, its weights."""
    port, answers = free_port(), FORK.Queue()
    started = [
        FORK.Process(target=rank, args=(number, size, port, data, folder, execution, stop, answers), daemon=True)
        for number in range(size)
    ]
    for process in started:
        process.start()
    try:
        found: tuple[str, list[float], np.ndarray] = answers.get(timeout=SECONDS)
        for process in started:
            process.join(SECONDS)
    finally:
        for process in started:
            process.kill()
    return found


# ---------------------------------------------------------------------------------------------------- the same bits


def test_one_and_four_processes_end_with_the_same_bits(
    data: Data, alone: tuple[nn.Module, loop.TrainState], tmp_path: Path
) -> None:
    """And so do two: `test_a_run_in_two_processes_leaves_the_records_of_one`."""
    digest, losses = weights_digest(alone[0].state_dict()), [p.train_loss for p in alone[1].curve]
    accumulated, _ = train(data, tmp_path / "sum", PLAIN)  # one process adds up in the same order by itself
    assert weights_digest(accumulated.state_dict()) == digest
    assert in_processes(4, data, tmp_path / "4", EXACT)[:2] == (digest, losses)


def test_resumed_on_another_number_of_processes_it_ends_with_the_same_bits(
    data: Data, alone: tuple[nn.Module, loop.TrainState], tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    assert in_processes(2, data, folder, EXACT, stop=4)[0] == "stopped"
    assert (folder / checkpoints.CHECKPOINT).exists()
    assert in_processes(4, data, folder, EXACT, stop=7)[0] == "stopped"
    model, resumed = train(data, folder, EXACT)
    assert weights_digest(model.state_dict()) == weights_digest(alone[0].state_dict())
    assert [p.train_loss for p in resumed.curve] == [p.train_loss for p in alone[1].curve]


def test_when_one_process_dies_the_next_start_goes_on(
    data: Data, alone: tuple[nn.Module, loop.TrainState], tmp_path: Path
) -> None:
    found, _, _ = in_processes(2, data, tmp_path / "parts", EXACT, stop=-6)
    assert "Error" in found  # rank 0 hears of it and does not wait for ever
    assert (tmp_path / "parts" / checkpoints.CHECKPOINT).exists()
    model, _ = train(data, tmp_path / "parts", EXACT)
    assert weights_digest(model.state_dict()) == weights_digest(alone[0].state_dict())


def share(number: int, size: int, port: int, run: TrainingRun, settings: Settings) -> None:
    """One of several processes of a whole run."""
    begin(number, size, port)
    together.train([run], settings, Console(quiet=True))
    os._exit(0)


def test_a_run_in_two_processes_leaves_the_records_of_one(data: Data, tmp_path: Path) -> None:
    run = TrainingRun("simple_baseline", replace(small.VARIANT, scale="full"), RECIPE, small.PROTOCOLS, 0, EXACT)
    alone = training.run_training(run, None, tmp_path / "alone", 1, "cpu", lambda samples, probe: None)
    settings, port = Settings(tmp_path / "results", tmp_path / "runs"), free_port()
    started = [FORK.Process(target=share, args=(n, 2, port, run, settings), daemon=True) for n in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(SECONDS)
        assert process.exitcode == 0
    found = {r.identity.protocol: r for r in store.load_all(tmp_path / "results")}
    for record in alone:
        theirs = found[record.identity.protocol]
        assert theirs.predictions_sha256 == record.predictions_sha256
        assert theirs.weights_sha256 == record.weights_sha256
        assert theirs.id == record.id
    outcome = together.train([run], settings, Console(quiet=True))
    assert outcome.kept == 1


def test_a_failing_process_is_told_in_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    """Of a command that fails before it imports anything large."""
    assert together.launch(2, "cpu", ["new", "Not a name"]) == 2
    said = capfd.readouterr().err
    assert "of 2 ended with code 2, and so were the others" in said
    assert "Traceback" not in said


def test_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=f"this machine has {torch.cuda.device_count()} GPUs"):
        together.launch(64, "cuda", [])


def test_averaging_by_all_reduce_gives_the_same_up_to_rounding(
    data: Data, alone: tuple[nn.Module, loop.TrainState], tmp_path: Path
) -> None:
    _, _, found = in_processes(2, data, tmp_path / "2", PLAIN)
    np.testing.assert_allclose(found, flat(alone[0]), rtol=5e-2, atol=5e-3)
    assert np.abs(found - flat(alone[0])).mean() < 1e-4


# ---------------------------------------------------------------------------------------------------- micro-batches


def test_micro_batches_are_parts_of_the_batch_whoever_computes_them(data: Data) -> None:
    mirrored = data.truth.skeleton.mirrored()
    four = feeding.Feed(data.train, RECIPE, mirrored, 0, "cpu", 4, range(4))
    second = feeding.Feed(data.train, RECIPE, mirrored, 0, "cpu", 4, World(1, 2).parts(4))
    all_of_them, own = list(four.at(5)), list(second.at(5))
    assert len(own) == 2
    for (mine, _), (theirs, _) in zip(own, all_of_them[2:], strict=True):
        assert torch.equal(mine.images_B3HW, theirs.images_B3HW)
    rows = feeding.draw(RECIPE, data.train, 0, 5, 4).rows
    assert sorted(rows) == sorted(feeding.batch_rows(0, 5, RECIPE.batch, len(data.train)))
    assert not np.array_equal(rows, np.sort(rows)), "micro-batches that follow the order of the file are no samples"


def test_only_micro_batch_0_moves_the_running_statistics(data: Data) -> None:
    source = feeding.Feed(data.train, RECIPE, data.truth.skeleton.mirrored(), 0, "cpu", 4, range(4))
    model, other = (training.build(small.VARIANT, 17, 0).train() for _ in range(2))
    steps.batch_gradients(model, RECIPE.loss, PLAIN, "cpu", 4)(source.at(0))
    other(next(iter(source.at(0)))[0].images_B3HW)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, dict(other.named_buffers())[name]), name
    assert all(m.track_running_stats for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_the_gradient_is_the_mean_of_the_micro_batches(data: Data) -> None:
    source = feeding.Feed(data.train, RECIPE, data.truth.skeleton.mirrored(), 0, "cpu", 4, range(4))
    model = training.build(small.VARIANT, 17, 0).train()
    losses = steps.batch_gradients(model, RECIPE.loss, PLAIN, "cpu", 4)(source.at(0))
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    wanted, singles = torch.zeros_like(found), []
    for batch, codec in source.at(0):
        model.zero_grad()
        loss = RECIPE.loss(model(batch.images_B3HW), batch, codec)
        loss.backward()
        singles.append(loss.detach())
        wanted += torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]) / 4
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)
    assert torch.equal(losses, torch.stack(singles))


def test_graphs_are_for_batches_in_one_piece() -> None:
    with pytest.raises(ValueError, match="has 4; train without --graphs"):
        steps.batch_gradients(nn.Linear(1, 1), RECIPE.loss, Execution(graphed=True), "cuda", 4)


# ---------------------------------------------------------------------------------------------------- identity


def test_a_field_that_says_nothing_new_changes_no_hash() -> None:
    assert fingerprint(small.RECIPE) != fingerprint(RECIPE)
    assert "batch_per_device" not in repr(sorted(__import__("hpe_bench.declare").declare.canonical(small.RECIPE)))
    with pytest.raises(ValueError, match="no whole number of 3 a device"):
        replace(small.RECIPE, batch_per_device=3)


def test_devices_hold_whole_micro_batches_or_smaller_ones_or_are_refused() -> None:
    eight = replace(RECIPE, samples=1280, batch=128, batch_per_device=32)
    assert full.shared(PLAIN, eight, 1) == PLAIN
    whole = full.shared(Execution(graphed=True), eight, 1)  # a graph needs the batch in one piece
    assert whole.words == "batch in one piece"
    assert full.shared(Execution(micro_batches=1), small.RECIPE, 1) == PLAIN
    assert full.shared(PLAIN, eight, 4) == Execution(devices=4)
    assert full.shared(PLAIN, eight, 8) == Execution(devices=8, micro_batches=8)
    with pytest.raises(ValueError, match="devices that share it equally: 1, 2, 4, 8, 16, 32, 64"):
        full.shared(PLAIN, eight, 3)
    assert full_alone(["reproduce", "hrnet", "--scale", "cost", "--scale=full", "--devices", "2"]) == [
        *("reproduce", "hrnet", "--devices", "2", "--scale", "full")
    ]


def test_smaller_micro_batches_are_another_training_and_more_devices_alone_are_not() -> None:
    run = small.training()
    assert replace(run, execution=Execution(devices=2, exact=True)).id == run.id
    split = replace(run, execution=Execution(devices=2, micro_batches=2))
    assert split.id != run.id
    assert split.execution.words == "2 micro-batches"
