"""The gallery: the same test persons as the control and the proposal see them, then the proposal's worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from hpe_bench.records.schema import RunRecord, Sample
from hpe_bench.report.kit import svgdraw
from hpe_bench.report.kit.studies import StudyResult
from hpe_bench.report.kit.text import arm_label, number, plural

SHARED = 6
WORST = 2
RENDERED = "Scenes of the embedded data set, rendered again for this page."
PLAIN = "On a plain ground where the image cannot be had again, or is a photograph that may not be passed on."

Images = Callable[[Sample], np.ndarray | None]
"""Pixels of the test image a sample is in, uint8 RGB [height, width, 3]; None where they cannot be had."""


@dataclass(frozen=True)
class Picture:
    """One person as one arm predicts it."""

    drawing: Markup
    arm: str
    note: str


@dataclass(frozen=True)
class Person:
    """One test person, arm beside arm."""

    title: str
    pictures: tuple[Picture, ...]
    has_pixels: bool
    has_heatmaps: bool


def persons(result: StudyResult, images: Images | None) -> list[Person]:
    """The persons that a study's arms drew, from each arm's first seed."""
    return beside([(arm_label(a.arm), a.runs[0]) for a in result.run], images)


def beside(found: Sequence[tuple[str, RunRecord]], images: Images | None) -> list[Person]:
    """Persons that all named runs drew, best to worst as the last of them sees them; then that one's worst."""
    runs = [(label, run) for label, run in found if run.samples]
    if not runs:
        return []
    by_row = [{s.row: s for s in run.samples} for _, run in runs]
    common = [row for row in by_row[-1] if all(row in rows for rows in by_row)]
    label, worst_run = runs[-1]
    worst = [s for s in worst_run.samples if s.row not in common][:WORST]
    shared = sorted(_spread(common), key=lambda row: mean_error(by_row[-1][row]))
    people = [
        _person(f"Test person {row}", [(n, s[row]) for (n, _), s in zip(runs, by_row, strict=True)], images)
        for row in shared
    ]
    return people + [_person(f"Test person {s.row}, among the worst of this arm", [(label, s)], images) for s in worst]


def mean_error(sample: Sample) -> float:
    """Mean distance of the labelled joints to the truth, as a share of the box diagonal."""
    away = np.linalg.norm(np.array(sample.truth) - np.array(sample.predicted), axis=1)
    labelled = np.array(sample.labelled)
    diagonal = np.hypot(*sample.box[2:])
    return float(away[labelled].mean() / diagonal) if labelled.any() and diagonal > 0 else 0.0


def _spread(rows: Sequence[int]) -> list[int]:
    if len(rows) <= SHARED:
        return list(rows)
    picked = np.unique(np.linspace(0, len(rows) - 1, SHARED).round().astype(int))
    return [rows[i] for i in picked]


def _person(title: str, samples: Sequence[tuple[str, Sample]], images: Images | None) -> Person:
    image = None if images is None else images(samples[0][1])
    window = svgdraw.window_of([s for _, s in samples])
    pictures = []
    for label, sample in samples:
        off = len(svgdraw.large_errors(sample))
        large = (
            f"{plural(off, 'joint')} off by more than {100 * svgdraw.LARGE_ERROR:.0f} %" if off else "no large error"
        )
        note = f"{large}; mean error {number(100 * mean_error(sample), 1)} %"
        pictures.append(Picture(svgdraw.person(sample, image, window, f"{title}, {label}: {note}"), label, note))
    return Person(title, tuple(pictures), image is not None, any(s.heatmap for _, s in samples))


def run_of(result: StudyResult) -> RunRecord:
    """A record that says which images the gallery's persons are in."""
    return result.run[0].runs[0]
