"""What a full-size training would take: from measured steps, without running it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from hpe_bench.commands import doctor
from hpe_bench.data.cache import cache_folder
from hpe_bench.declare import replace
from hpe_bench.plan import TrainingRun
from hpe_bench.run import forecast, machine_speed
from hpe_bench.training.execution import Execution
from tests import small


def large() -> TrainingRun:
    return TrainingRun(
        "simple_baseline", replace(small.VARIANT, scale="full"), replace(small.RECIPE, samples=8000), small.PROTOCOLS, 0
    )


def test_hours_follow_from_the_speed_and_disk_from_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(forecast.time, "monotonic", lambda: float(next(ticks)))  # a look at the clock takes a second
    found = forecast.forecast(large(), None, "cpu")
    assert 0 < found.samples_per_second < 8
    assert found.seconds == pytest.approx(8000 / found.samples_per_second)
    shared = forecast.forecast(replace(large(), execution=Execution(devices=4)), None, "cpu")
    assert shared.seconds == pytest.approx(8000 / shared.samples_per_second / 4)
    assert found.crops_bytes == 3 * (60 * 96 * 72 + 20 * 64 * 48)  # 60 and 20 mannequins
    assert found.kept_bytes > 10 * 4 * 100_000


def test_too_short_a_training_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few to measure"):
        forecast.measured_speed(replace(large(), recipe=replace(small.RECIPE, samples=16)), "cpu")


def test_what_holds_a_training_up_is_measured(monkeypatch: pytest.MonkeyPatch, private_cache: None) -> None:
    monkeypatch.setattr(machine_speed, "SECONDS", 0.05)
    monkeypatch.setattr(machine_speed, "WRITTEN_BYTES", 2**22)
    threads = torch.get_num_threads()
    assert 1 < machine_speed.gmacs_per_s(1) < 1000
    assert torch.get_num_threads() == threads
    assert 50 < machine_speed.decodes_per_s() < 50_000
    found = {line.what: line for line in doctor.speeds()}
    assert {"convolution, 1 thread", "stored crops", "writing"} <= found.keys()
    assert all(line.fit is None and line.found[0].isdigit() for line in found.values())
    assert [p for p in cache_folder("work").iterdir() if not p.name.endswith(".lock")] == []
