"""A file of 100,000 predictions beside indented JSON: `pytest benchmarks/bench_prediction_files.py --benchmark-only`.

The reference writes COCO results as pose code does (`json.dump(..., sort_keys=True, indent=4)`) and reads them back. It
is run on a tenth of the persons, as it needs minutes; the ratio is per person.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpe_bench.data import prediction_files
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import Header, to_bytes
from hpe_bench.data.predictions import Predictions
from tests.predicted import answers, persons, results

PERSONS, IMAGES, SHARE = 100_000, 5_000, 10


@pytest.fixture(scope="module")
def truth() -> PersonSet:
    return persons(PERSONS, IMAGES)


def ours(path: Path, truth: PersonSet, predictions: Predictions) -> Predictions:
    """Write and read back, aligned and checked."""
    header = Header(truth.skeleton.joints, "benchmark", "", truth.digest())
    path.write_bytes(to_bytes(predictions, truth.ids[predictions.image], header))
    return prediction_files.read(path, truth).predictions


def indented(path: Path, truth: PersonSet, predictions: Predictions) -> list[dict[str, object]]:
    """Write and read back, unchecked."""
    with path.open("w") as file:
        json.dump(results(truth, predictions), file, sort_keys=True, indent=4)
    found: list[dict[str, object]] = json.loads(path.read_text())
    return found


def test_write_and_read_100_000_persons(
    benchmark: Callable[..., Predictions], truth: PersonSet, tmp_path: Path
) -> None:
    predictions = answers(truth)
    found = benchmark(ours, tmp_path / "p.npz", truth, predictions)
    assert np.array_equal(found.joints, predictions.joints)
    rows = np.arange(PERSONS // SHARE)
    some = predictions.subset(rows)
    started = time.perf_counter()
    listed = indented(tmp_path / "p.json", truth, some)
    per_person = (time.perf_counter() - started) / len(listed)
    seconds = benchmark.stats.stats.median  # type: ignore[attr-defined]
    benchmark.extra_info["times_faster_than_indented_json"] = per_person * PERSONS / seconds  # type: ignore[attr-defined]
    size = (tmp_path / "p.json").stat().st_size * SHARE / (tmp_path / "p.npz").stat().st_size
    benchmark.extra_info["times_smaller"] = size  # type: ignore[attr-defined]
