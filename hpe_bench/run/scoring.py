"""From predictions to a record: metrics, intervals, tallies, a few persons to draw."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import Protocol, Score
from hpe_bench.files import write_atomically
from hpe_bench.metrics.breakdown import breakdown as parts
from hpe_bench.records.schema import Heatmap, Measurement, Sample, Tally

DRAWN = 8  # persons drawn from every run, the same ones for all
WORST = 4  # and the persons with the largest mean error


def score(
    protocol: Protocol, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray
) -> tuple[tuple[Measurement, ...], tuple[Tally, ...]]:
    """All of a protocol's metrics. ValueError unless every test person has exactly one finite prediction (F23)."""
    if joints_NJ2.shape != truth.joints.shape:
        raise ValueError(f"predictions have shape {joints_NJ2.shape}, the test persons {truth.joints.shape}")
    scores = [s for metric in protocol.metrics for s in metric.evaluate(truth, joints_NJ2, scores_NJ)]
    return as_measured(scores, protocol.name)


def as_measured(scores: Sequence[Score], scope: str) -> tuple[tuple[Measurement, ...], tuple[Tally, ...]]:
    """Scores as a record keeps them; `scope` names the protocol."""
    measurements = tuple(
        Measurement(key=s.key, value=s.value, unit="percent", scope=scope, n=s.n, interval=s.interval) for s in scores
    )
    return measurements, tuple(_tally(s) for s in scores if s.hits_per_image)


def _tally(score: Score) -> Tally:
    assert score.hits_per_image is not None
    assert score.counts_per_image is not None
    return Tally(key=score.key, hits=score.hits_per_image, counts=score.counts_per_image)


def save_predictions(path: Path, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> str:
    """Store predictions as a compressed npz; returns the SHA-256 of the arrays (not of the file)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, joints=joints_NJ2, scores=scores_NJ)
    write_atomically(path, buffer.getvalue())
    return hashlib.sha256(joints_NJ2.tobytes() + scores_NJ.tobytes()).hexdigest()


def breakdown(
    protocol: Protocol, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray
) -> tuple[tuple[Measurement, ...], tuple[Tally, ...]]:
    """Where the predictions fail, under the protocol's headline metric."""
    return as_measured(parts(protocol.metrics[0], truth, joints_NJ2, scores_NJ), protocol.name)


def drawn_rows(truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
    """A fixed spread of test persons, then the worst by mean error relative to the box diagonal; rows [D]."""
    fixed = np.linspace(0, len(truth) - 1, min(DRAWN, len(truth))).round().astype(int)
    error = np.linalg.norm(joints_NJ2 - truth.joints, axis=-1) / np.linalg.norm(truth.box[:, 2:], axis=-1)[:, None]
    mean_error = np.where(truth.labelled, error, 0).sum(1) / np.maximum(truth.labelled.sum(1), 1)
    mean_error[fixed] = -1
    worst = np.argsort(-mean_error, kind="stable")[: min(WORST, len(truth) - len(fixed))]
    return np.concatenate((fixed, worst))


def samples(
    truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray, heatmaps: Mapping[int, Heatmap] | None = None
) -> tuple[Sample, ...]:
    """The persons to draw, with their heatmaps by row where there are any."""
    drawn = (sample_of(truth, joints_NJ2, scores_NJ, int(row)) for row in drawn_rows(truth, joints_NJ2))
    return tuple(s.model_copy(update={"heatmap": heatmaps[s.row]}) if heatmaps else s for s in drawn)


def heatmap_of(largest_HW: np.ndarray, to_image_23: np.ndarray, input_hw: tuple[int, int]) -> Heatmap:
    """A picture of final maps (their maximum over joints) and where it lies in the image.

    Heatmap pixel i is centred on input pixel i * stride, the convention of most codecs here; another's may be half a
    heatmap pixel off, which no reader of a picture sees. Crops are not rotated at test time.
    """
    (rows, columns), (height, width) = largest_HW.shape, input_hw
    corners_22 = np.array([[-0.5, -0.5], [columns - 0.5, rows - 0.5]]) * (width / columns, height / rows)
    (x, y), (right, bottom) = corners_22 @ to_image_23[:, :2].T + to_image_23[:, 2]
    peak = max(float(largest_HW.max()), 0.0)
    levels_HW = np.clip(largest_HW / (peak or 1.0), 0, 1) * 255
    return Heatmap(
        hw=(rows, columns),
        window=(round(x, 2), round(y, 2), round(right - x, 2), round(bottom - y, 2)),
        peak=round(peak, 4),
        pixels=base64.b64encode(zlib.compress(levels_HW.round().astype(np.uint8).tobytes(), 9)).decode(),
    )


def sample_of(truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray, row: int) -> Sample:
    """One person to draw."""

    def points(values: np.ndarray) -> tuple[tuple[float, float], ...]:
        return tuple((round(float(x), 2), round(float(y), 2)) for x, y in values)

    x, y, w, h = (round(float(v), 2) for v in truth.box[row])
    return Sample(
        row=row,
        image=int(truth.image[row]),
        box=(x, y, w, h),
        truth=points(np.where(truth.labelled[row][:, None], truth.joints[row], 0.0)),
        labelled=tuple(bool(v) for v in truth.labelled[row]),
        predicted=points(joints_NJ2[row]),
        scores=tuple(round(float(v), 3) for v in scores_NJ[row]),
    )
