"""Where models fail: parts of the test set and kinds of errors, from predictions to pages; heatmaps in records."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, LSP_14
from hpe_bench.declare import replace
from hpe_bench.metrics.breakdown import breakdown
from hpe_bench.metrics.diagnosis import KINDS
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.records.schema import ImageCounts, Measurement, RunRecord, Sample
from hpe_bench.report.kit import gallery, svgdraw
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import diagnosis_view
from hpe_bench.report.pages.diagnosis_view import DiagnosedModel
from hpe_bench.run import scoring
from hpe_bench.verdicts.pools import SeedPools
from tests import synthetic_records as make
from tests.predicted import of_each
from tests.synthetic_paper import CONTROL, PROPOSAL
from tests.synthetic_records import STANDING, Level


class NoImages:
    def __len__(self) -> int:
        return 30

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> np.ndarray:
        raise ValueError("none")

    def digest(self) -> str:
        return ""


def standing(count: int = 30) -> PersonSet:
    """Persons of three heights in turn; the wrists of every other one are hidden."""
    scale = np.resize([1.0, 2.0, 3.0], count)
    joints = STANDING[None] * scale[:, None, None]
    visible = np.ones((count, 17), dtype=bool)
    visible[::2, 9:11] = False
    return PersonSet(
        skeleton=COCO_17,
        images=NoImages(),
        image=np.arange(count),
        box=np.stack([0 * scale, 0 * scale, 80 * scale, 146 * scale], axis=1),
        joints=joints,
        labelled=np.ones((count, 17), dtype=bool),
        visible=visible,
        head_size=20.0 * scale,
        area=80 * 146 * scale**2 * 0.5,
    )


def keyed(truth: PersonSet, joints: np.ndarray) -> dict[str, float]:
    scores = np.ones(joints.shape[:2])
    return {s.key: s.value for s in breakdown(PCKh(0.5), truth, of_each(truth, joints, scores))}


def test_a_perfect_prediction_is_good_everywhere() -> None:
    found = keyed(standing(), standing().joints)
    rates = {k: v for k, v in found.items() if "/kind/" not in k}
    assert set(rates.values()) == {100.0}
    assert found["diagnosis/kind/good"] == 100.0
    assert sum(k.startswith("diagnosis/stature/") for k in rates) == 3


def test_errors_are_found_where_they_were_made() -> None:
    """Hidden wrists thrown away, knees of the tallest on the other side: each shows in its part and kind alone."""
    truth = standing()
    joints = truth.joints.copy()
    joints[::2, 9:11] += 500.0
    tall = np.flatnonzero(np.arange(30) % 3 == 2)
    joints[tall[:, None], [13, 14]] = joints[tall[:, None], [14, 13]]
    found = keyed(truth, joints)
    assert found["diagnosis/hidden"] == 0.0
    assert found["diagnosis/visible"] == pytest.approx(100 * (1 - 20 / (30 * 17 - 30)))
    low, middle, high = (v for k, v in found.items() if k.startswith("diagnosis/stature/"))
    assert low == middle > high
    assert found["diagnosis/kind/inversion/knee"] == pytest.approx(100 / 3)
    assert found["diagnosis/kind/miss/wrist"] == pytest.approx(50.0)
    assert found["diagnosis/kind/good/hip"] == 100.0
    for group in ("", *(f"/{name}" for name, _ in COCO_17.groups)):
        assert sum(found[f"diagnosis/kind/{kind}{group}"] for kind in KINDS) == pytest.approx(100.0)


def test_parts_of_a_rate_add_up_to_the_headline() -> None:
    truth = standing()
    joints = truth.joints + np.random.default_rng(0).normal(0, 12, truth.joints.shape)
    whole = PCKh(0.5).evaluate(truth, joints, np.ones((30, 17)))[0]
    scores = breakdown(PCKh(0.5), truth, of_each(truth, joints, np.ones((30, 17))))
    for split in (("diagnosis/visible", "diagnosis/hidden"), ("diagnosis/stature",)):
        parts = [s for s in scores if s.key.startswith(split)]
        assert whole.hits_per_image is not None
        assert sum(sum(s.hits_per_image or ()) for s in parts) == sum(whole.hits_per_image)
        assert sum(s.n for s in parts) == whole.n


def test_only_what_the_data_allow_is_measured() -> None:
    truth = standing()
    visible = replace(truth, visible=truth.labelled)
    keys = {s.key for s in breakdown(PCKh(0.5), visible, of_each(visible, truth.joints, np.ones((30, 17))))}
    assert not keys & {"diagnosis/visible", "diagnosis/hidden"}
    lsp = replace(
        truth,
        skeleton=LSP_14,
        joints=truth.joints[:, :14],
        labelled=truth.labelled[:, :14],
        visible=truth.visible[:, :14],
    )
    keys = {s.key for s in breakdown(PCK(0.2), lsp, of_each(lsp, lsp.joints, np.ones((30, 14))))}
    assert "diagnosis/hidden" in keys
    assert not any("kind" in k or "found" in k for k in keys)
    keys = {s.key for s in breakdown(OksAP(), truth, of_each(truth, truth.joints, np.ones((30, 17))))}
    assert keys
    assert all("kind" in k or "found" in k for k in keys)


# ---------------------------------------------------------------------------------------------------- pages


def diagnosed(record: RunRecord, worse: float = 0.0) -> RunRecord:
    """The record with parts and kinds; `worse` moves joints from good to miss."""
    headline = record.tallies[0]
    hidden = ImageCounts(key="diagnosis/hidden", hits=tuple(h // 3 for h in headline.hits), counts=headline.counts)
    values = {"diagnosis/hidden": 100 * sum(hidden.hits) / sum(hidden.counts), "diagnosis/found": 99.0}
    for name in ("", "/wrist"):
        shares = (70.0 - worse, 15.0, 4.0, 3.0, 8.0 + worse)
        values |= {f"diagnosis/kind/{k}{name}": v for k, v in zip(KINDS, shares, strict=True)}
    more = tuple(Measurement(key=k, value=v, unit="percent", n=500) for k, v in values.items())
    return record.model_copy(
        update={"measurements": (*record.measurements, *more), "tallies": (*record.tallies, hidden)}
    )


def models(*, plain_last: bool = False) -> list[DiagnosedModel]:
    found = []
    for k, (arm, level) in enumerate(((CONTROL, 60.0), (PROPOSAL, 70.0))):
        runs = {s: make.accuracy(arm, s, Level(level)) for s in range(3)}
        if not (plain_last and k):
            runs = {s: diagnosed(r, 2.0 * k) for s, r in runs.items()}
        found.append(DiagnosedModel(arm.label, Style(k), runs, SeedPools(runs.values())))
    return found


def test_parts_are_paired_between_two_models() -> None:
    pair = models()
    table = diagnosis_view.parts_table("parts", "Parts.", pair, "pckh@0.5")
    assert table is not None
    assert [row[0].text for row in table.rows] == ["all joints", "hidden joints", "persons found, OKS ≥ 0.1"]
    hidden = table.rows[1]
    a, b = (m.estimate("diagnosis/hidden") for m in pair)
    assert a is not None
    assert b is not None
    assert hidden[4].sort == pytest.approx(b.value - a.value)
    assert "paired bootstrap" in hidden[5].title
    assert table.rows[2][4].text == "–"  # no tally, so no paired difference
    assert all("%" in c.name or "points" in c.name for c in table.columns[2:])


def test_older_records_show_no_parts() -> None:
    mixed = models(plain_last=True)
    assert diagnosis_view.parts_table("parts", "Parts.", mixed, "pckh@0.5") is None
    assert diagnosis_view.kinds_figure("kinds", "Kinds.", mixed) is None
    assert diagnosis_view.kinds_table("kinds", "Kinds.", mixed) is None


def test_bars_are_as_long_as_their_shares() -> None:
    figure = diagnosis_view.kinds_figure("kinds", "Kinds.", models())
    table = diagnosis_view.kinds_table("kinds-table", "Kinds.", models())
    assert figure is not None
    assert table is not None
    assert "Tiny, RCE, wrist: good 68.0 %, jitter 15.0 %, inversion 4.0 %, swap 3.0 %, miss 10.0 %" in figure.svg
    assert figure.svg.count('class="kind-miss"') == len(table.rows) == 4
    assert f'width="{300 * 15 / 32:.1f}"' in figure.svg  # jitter, where the longest bar is 32 %


# ---------------------------------------------------------------------------------------------------- heatmaps


def test_a_heatmap_lies_where_its_crop_was_cut() -> None:
    """Heatmap pixel (3, 2) of stride 4 is input (12, 8); twice as large and moved by (100, 50) in the image."""
    maps = np.zeros((24, 18), np.float32)
    maps[2, 3] = 0.8
    found = scoring.heatmap_of(maps, np.array([[2.0, 0.0, 100.0], [0.0, 2.0, 50.0]]), (96, 72))
    levels = svgdraw.heat_levels(found)
    assert found.peak == 0.8
    assert np.argwhere(levels == 255).tolist() == [[2, 3]]
    x, y, w, h = found.window
    assert (x + 3.5 * w / 18, y + 2.5 * h / 24) == (100 + 2 * 12, 50 + 2 * 8)


def test_a_heatmap_survives_to_a_part_of_its_peak() -> None:
    maps = np.random.default_rng(1).normal(0.3, 0.4, (32, 24)).astype(np.float32)
    found = scoring.heatmap_of(maps, np.eye(3)[:2], (128, 96))
    assert np.abs(svgdraw.heat_levels(found) / 255 * found.peak - maps.clip(0)).max() <= found.peak / 510 + 1e-4


def test_empty_maps_and_damaged_bytes() -> None:
    found = scoring.heatmap_of(np.full((4, 3), -1.0, np.float32), np.eye(3)[:2], (16, 12))
    assert (found.peak, svgdraw.heat_levels(found).max()) == (0.0, 0)
    with pytest.raises(ValueError, match="score its run again"):
        svgdraw.heat_levels(found.model_copy(update={"hw": (5, 3)}))


def test_samples_without_heatmaps_load_and_show_as_before() -> None:
    plain = make.person(0, np.random.default_rng(0), 2.0)
    older = plain.model_dump(mode="json", exclude={"heatmap"})
    assert Sample.model_validate_json(json.dumps(older)) == plain
    window = svgdraw.window_of([plain])
    assert 'class="heat"' not in svgdraw.person(plain, None, window, "x")
    maps = scoring.heatmap_of(np.eye(8, dtype=np.float32), np.eye(3)[:2], (32, 32))
    drawn = svgdraw.person(plain.model_copy(update={"heatmap": maps}), None, window, "x")
    assert drawn.count('class="heat"') == 1


def test_persons_are_shown_from_best_to_worst() -> None:
    sample = make.person(0, np.random.default_rng(0), 0.0)
    moved = sample.model_copy(update={"predicted": tuple((x + 3.0, y + 4.0) for x, y in sample.predicted)})
    assert gallery.mean_error(sample) == 0.0
    assert gallery.mean_error(moved) == pytest.approx(5.0 / np.hypot(80, 146))
