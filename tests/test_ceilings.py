"""Codec ceilings: the oracle's geometry, closed forms of its errors, records, and the page made from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hpe_bench.ceilings import measure
from hpe_bench.ceilings.contenders import (
    ARGMAX,
    DARK,
    HEATMAP_HW,
    INPUT_HW,
    QUARTER,
    UNBIASED,
    UNSHIFTED,
    Contender,
    contenders,
)
from hpe_bench.ceilings.measure import AS_ANNOTATED, FLIPPED, DataProtocol, GridProtocol
from hpe_bench.ceilings.oracle import Condition, jittered, oracle_joints
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.integral import Integral
from hpe_bench.commands import show
from hpe_bench.data.images import FileImages
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14, Skeleton
from hpe_bench.declare import DataSource
from hpe_bench.metrics.pck import PCK
from hpe_bench.records import store
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.pages import ceilings_page
from tests.test_report import Page

GRID = GridProtocol(points=2048, conditions=(AS_ANNOTATED[0], AS_ANNOTATED[1], FLIPPED[0], FLIPPED[1]))


def picked(*names: str) -> list[Contender]:
    return [c for c in contenders() if c.name in names]


def people(count: int = 30) -> PersonSet:
    """Random skeletons of 14 joints, one an image, every tenth joint without a label."""
    rng = np.random.default_rng(0)
    joints = rng.uniform((100, 100), (220, 300), (count, 14, 2)) + rng.uniform(0, 50, (count, 1, 2))
    labelled = rng.random((count, 14)) > 0.1
    labelled[:, [LSP_14.index("left_shoulder"), LSP_14.index("right_hip")]] = True
    low, high = joints.min(1) - 10, joints.max(1) + 10
    return PersonSet(
        skeleton=LSP_14,
        images=FileImages([Path(f"{i}.jpg") for i in range(count)]),
        image=np.arange(count),
        box=np.concatenate([low, high - low], axis=1),
        joints=np.where(labelled[..., None], joints, np.nan),
        labelled=labelled,
        visible=labelled,
        head_size=np.full(count, np.nan),
        area=np.full(count, np.nan),
    )


@dataclass(frozen=True)
class People(DataSource):
    """Data without images."""

    name = "people"

    @property
    def skeleton(self) -> Skeleton:
        return LSP_14

    def load(self, split: str, root: str | None) -> PersonSet:
        return people()


SMALL = DataProtocol("ceiling-people-v1", People(), (PCK(0.2), PCK(0.05)), "People")


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


def on_grid(*names: str, protocol: GridProtocol = GRID) -> dict[str, RunRecord]:
    return {r.identity.variant: r for r in measure.grid_records(protocol, picked(*names), quiet)}


def value(record: RunRecord, key: str, condition: Condition) -> float:
    found = record.get(key, condition.text)
    assert found is not None
    return found.value


# ---------------------------------------------------------------------------------------------------- closed forms


def test_errors_of_a_plain_maximum_are_those_of_a_uniform_fraction() -> None:
    """Mean distance from a unit square's centre: (sqrt 2 + asinh 1) / 6; a quarter step halves the square."""
    mean = (np.sqrt(2) + np.arcsinh(1)) / 6
    found = on_grid(ARGMAX, QUARTER, "gaussian-exact-quarter")
    for condition, stride in ((AS_ANNOTATED[0], 4), (AS_ANNOTATED[1], 8)):
        for name, share in ((ARGMAX, 1.0), (QUARTER, 1.0), ("gaussian-exact-quarter", 0.5)):
            assert value(found[name], "error/mean/inside", condition) == pytest.approx(share * mean * stride, rel=0.02)
            assert value(found[name], "error/max/inside", condition) <= share * stride / np.sqrt(2) + 1e-3


def test_unbiased_codecs_lose_nothing_away_from_the_border() -> None:
    wide = GridProtocol(points=2048, margin_px=8.0, conditions=(AS_ANNOTATED[0],))
    found = on_grid(DARK, UNBIASED, "integral", "integral-spread", protocol=wide)
    for record in found.values():
        assert value(record, "error/max/inside", AS_ANNOTATED[0]) < 0.02


def test_a_flip_costs_what_its_shift_leaves() -> None:
    """F7: a whole shift is one input pixel off at every stride, half of it after averaging; UDP is off by nothing."""
    found = on_grid(UNBIASED, "integral")
    for plain, flipped in zip(AS_ANNOTATED[:2], FLIPPED[:2], strict=True):
        assert value(found["integral"], "error/mean/inside", flipped) == pytest.approx(0.5, abs=0.01)
        assert value(found[UNBIASED], "error/mean/inside", flipped) == pytest.approx(
            value(found[UNBIASED], "error/mean/inside", plain), abs=0.01
        )
    deep = GridProtocol(points=1024, margin_px=8.0, conditions=(FLIPPED[0],))
    found = on_grid(DARK, UNSHIFTED, protocol=deep)
    assert value(found[DARK], "error/mean/inside", FLIPPED[0]) == pytest.approx(0.5, abs=0.02)
    assert value(found[UNSHIFTED], "error/mean/inside", FLIPPED[0]) == pytest.approx(1.5, abs=0.05)


def test_steps_that_the_border_forbids_on_the_smallest_maps() -> None:
    """What the page says: of 48 pixels 15 are left to the quarter step and 8 to DARK."""
    maps = torch.zeros(48, 1, 8, 6)
    x, y = torch.arange(48) % 6, torch.arange(48) // 6
    for n in range(48):
        slope = torch.exp(-((torch.arange(6) - x[n] - 0.3) ** 2 + (torch.arange(8) - y[n] - 0.3)[:, None] ** 2) / 2)
        maps[n, 0] = slope
    for decoder, moved in (("quarter", 15), ("dark", 8)):
        found, _ = Gaussian(sigma_px=1.0, decoder=decoder, dark_kernel_px=3).decode(maps, INPUT_HW)  # type: ignore[arg-type]
        assert int((found[:, 0] % 32 != 0).any(-1).sum()) == moved


def test_the_grid_is_even_and_repeats() -> None:
    points = measure.grid(4096, INPUT_HW)
    cells, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=(16, 16), range=((0, 192), (0, 256)))
    assert cells.min() >= 13
    assert cells.max() <= 19  # 16 each
    for stride in (4, 8, 16, 32):
        fraction = points / stride % 1
        assert abs(fraction.mean() - 0.5) < 0.01
    assert np.array_equal(points, measure.grid(4096, INPUT_HW))


# ---------------------------------------------------------------------------------------------------- persons


def test_an_exact_codec_gives_the_annotations_back() -> None:
    persons = people()
    for condition in (*AS_ANNOTATED[:2], Condition((64, 48), shift=0.05), Condition((64, 48), scale=1.25)):
        found, scores = oracle_joints(persons, Integral(), condition, INPUT_HW, 1.25)
        assert np.abs(found - persons.joints)[persons.labelled].max() < 1e-2
        assert (scores == persons.labelled).all()


def test_a_joint_outside_the_crop_cannot_come_back() -> None:
    persons = people()
    found, _ = oracle_joints(persons, Integral(), Condition((64, 48), shift=0.5), INPUT_HW, 1.0)
    assert np.abs(found - persons.joints)[persons.labelled].max() > 20


def test_boxes_move_and_scale_by_the_stated_amounts() -> None:
    box = np.array([[10.0, 20.0, 40.0, 80.0]] * 5)
    assert np.array_equal(jittered(box, 0.0, 1.0), box)
    moved = jittered(box, 0.1, 1.0)
    assert np.allclose(moved[:, :2] - box[:, :2], [(4, 8), (-4, -8), (4, -8), (-4, 8), (4, 8)])
    assert np.allclose(moved[:, 2:], box[:, 2:])
    assert np.allclose(jittered(box, 0.0, 0.5), [20.0, 40.0, 20.0, 40.0])


def small(names: Sequence[str] = (ARGMAX, QUARTER, DARK, UNBIASED, "integral", UNSHIFTED)) -> list[RunRecord]:
    return list(measure.data_records(SMALL, picked(*names), measure.load_subjects(SMALL, None), quiet))


@pytest.fixture(scope="module")
def measured() -> list[RunRecord]:
    return small()


def test_records_hold_every_condition_and_read_back(measured: list[RunRecord], tmp_path: Path) -> None:
    for record in measured:
        assert store.load(store.save(record, tmp_path)) == record
        assert record.identity.kind == "ceiling"
        assert record.identity.test_digest == people().digest() != ""
        assert record.identity.code
        assert {(m.key, m.scope) for m in record.measurements} == {
            (key, condition.text) for key in ("pck@0.2", "pck@0.05") for condition in SMALL.conditions
        }
        assert all(m.interval is not None and m.interval[0] <= m.value <= m.interval[1] for m in record.measurements)
    assert {p.parent.name for p in tmp_path.rglob("*.json")} == {"ceilings"}


def test_measuring_again_gives_the_same_numbers(measured: list[RunRecord]) -> None:
    again = {r.id: r.measurements for r in small([DARK, "integral"])}
    assert again == {r.id: r.measurements for r in measured if r.id in again}
    assert len(again) == 2


def test_scopes_tell_all_conditions_apart() -> None:
    conditions = measure.data_protocols()["lsp"].conditions
    assert len({c.text for c in conditions}) == len(conditions) == len(HEATMAP_HW) * 6


def test_a_changed_codec_or_protocol_has_a_record_of_its_own() -> None:
    a = Contender("same", (Gaussian(),) * 4, "label")
    b = Contender("same", (Gaussian(sigma_px=3.0), *(Gaussian(),) * 3), "label")
    c = Contender("same", (Gaussian(),) * 4, "another label")
    ids = [measure.record_id(p, k) for p in (GRID, GridProtocol(), SMALL) for k in (a, b)]
    assert len(set(ids)) == 6
    assert measure.record_id(GRID, a) == measure.record_id(GRID, c)
    with pytest.raises(ValueError, match="3 codecs for 4"):
        Contender("few", (Gaussian(),) * 3, "label")


def test_committed_records_of_every_kind_still_load(committed: Path) -> None:
    kinds = {r.identity.kind for r in store.load_all(committed / "results")}
    assert {"cost", "accuracy"} <= kinds


# ---------------------------------------------------------------------------------------------------- page


def page_of(found: list[RunRecord]) -> ceilings_page.CeilingsPage:
    page = ceilings_page.build(contenders(), [SMALL], found)
    assert page is not None
    return page


def test_the_page_says_what_was_lost(measured: list[RunRecord]) -> None:
    page = page_of(measured)
    table = page.sections[0].losses[0]
    lost = {row[0].text: [cell.sort for cell in row[1:]] for row in table.rows}
    by_name = {c.name: c.label for c in contenders()}
    for record in measured:
        if record.identity.variant != UNSHIFTED:
            expected = [100 - value(record, "pck@0.2", c) for c in AS_ANNOTATED]
            assert lost[by_name[record.identity.variant]] == expected
    assert by_name[UNSHIFTED] not in lost  # a control of the flip table alone
    text = site.render("ceilings.html.j2", page=page, root="../")
    words = Page(text).words
    assert "People" in words
    assert "no flip shift" in words
    assert f"{lost[by_name[QUARTER]][3]:.1f}" in page.sections[0].summary[0]
    assert text == site.render("ceilings.html.j2", page=page_of(list(reversed(measured))), root="../")


def test_sentences_name_only_what_was_measured(measured: list[RunRecord]) -> None:
    only = [r for r in measured if r.identity.variant == ARGMAX]
    summary = " ".join(page_of(only).sections[0].summary)
    assert "DARK" not in summary
    assert "usual way" not in summary
    assert "smaller maps cost at least" in summary


def test_a_page_of_records_that_no_longer_speak_for_anything_is_not_written(measured: list[RunRecord]) -> None:
    assert ceilings_page.build(contenders(), [SMALL], []) is None
    stale = [r.model_copy(update={"id": "0" * 16}) for r in measured]
    assert ceilings_page.build(contenders(), [SMALL], stale) is None


def test_the_leaderboard_links_the_page_and_both_are_rebuilt_from_records(
    measured: list[RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, reports = tmp_path / "results", tmp_path / "reports"
    monkeypatch.setattr(site, "data_protocols", lambda: {"people": SMALL})
    site.write_leaderboard(results, reports)
    assert "ceilings/index.html" not in (reports / "board.html").read_text()
    assert site.write_ceilings(results, reports) is None
    for record in measured:
        store.save(record, results)
    show.write_all(Console(quiet=True), [results], reports, readme=None)
    links = re.findall(r'href="(ceilings/[^"]+)"', (reports / "board.html").read_text())
    assert links
    assert all((reports / link).is_file() for link in links)
    page = (reports / "ceilings" / "index.html").read_text()
    downloads = re.findall(r'href="([^"]+\.(?:csv|json))"', page)
    assert len(downloads) > 5
    assert all((reports / "ceilings" / name).is_file() for name in downloads)


def test_committed_ceilings_stand_under_the_ids_that_are_given_today(committed: Path) -> None:
    """Ids come from declared values and the names of their classes: a class that is renamed must not move a record."""
    found = {r.id for r in store.load_all(committed / "results") if r.identity.kind == "ceiling"}
    asked = (measure.GRID, *measure.data_protocols().values())
    assert found
    assert found <= {measure.record_id(protocol, c) for protocol in asked for c in contenders()}
