"""Situations that people reported about tools of this kind, as small inputs: each command gives what is right.

The inputs lie beside the real data, a folder each with what was seen and what is right.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hpe_bench
from hpe_bench.cli import main
from hpe_bench.data.prediction_files import own
from hpe_bench.records import query, store
from hpe_bench.records.schema import RunRecord

Enter = Callable[[str], Path]
FOLDERS = ("--results", "out/res", "--reports", "out/rep", "--runs", "out/runs")
SCORED = ("--protocol", "coco-val2017-gtbox", "--truth", "gt.json", *FOLDERS)


@pytest.fixture
def enter(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Copies the folder of a case, whose name begins so, and makes it the present one."""
    cases = shared_data.parent / "cases"
    if not cases.is_dir():
        pytest.skip(f"no cases at {cases}")

    def copied(number: str) -> Path:
        (folder,) = cases.glob(f"{number}_*")
        shutil.copytree(folder, tmp_path / number)
        monkeypatch.chdir(tmp_path / number)
        if Path("make.py").exists():
            runpy.run_path("make.py")
        return tmp_path / number

    return copied


def called(*arguments: str, code: int = 0, encoding: str = "utf-8") -> str:
    """`hpe-bench ...` in this process on a console of that encoding: what it says, at the exit code that is right."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hpe-bench", *arguments])
        patch.setenv("COLUMNS", "200")
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream), pytest.raises(SystemExit) as end:
            main()
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert (end.value.code or 0) == code, said
    return said


def scored(predictions: str = "dt.json", truth: str = "gt.json", encoding: str = "utf-8") -> dict[str, float]:
    """The rates of a file, by key."""
    called("score", predictions, *(truth if a == "gt.json" else a for a in SCORED), encoding=encoding)
    newest = max(Path("out/res").rglob("[!.]*.json"), key=lambda p: p.stat().st_mtime_ns)
    return {m.key: m.value for m in store.load(newest).measurements}


def tensors(held: Mapping[str, Any]) -> list[bytes]:
    """Those of a state dict, or of the one mapping of tensors in a file, in an order of their own."""
    if not all(isinstance(value, torch.Tensor) for value in held.values()):
        return tensors(next(value for value in held.values() if isinstance(value, dict) and len(value) > 9))
    return sorted(value.numpy().tobytes() for value in held.values())


def predicted(boxes: str, to: str, *more: str) -> str:
    """What predicting with the case's file says."""
    asked = ("predict", "--protocol", "coco-val2017-gtbox", "--images", "img", "--boxes", boxes, "--onnx", "net.onnx")
    return called(*asked, "--to", to, "--runs", "out", *more)


def test_results_with_boxes_have_the_areas_that_pycocotools_takes(enter: Enter) -> None:
    enter("01")
    found = scored()
    assert found["ap_medium"] == pytest.approx(38.32, abs=0.005)
    assert found["ap_large"] == pytest.approx(15.99, abs=0.005)


@pytest.mark.parametrize("encoding", ["gbk", "cp932", "ascii"])
def test_a_console_without_our_characters_gets_table_record_and_page(enter: Enter, encoding: str) -> None:
    enter("02")
    assert scored(encoding=encoding)["ap"] > 0
    assert list(Path("out/rep").rglob("*.html"))


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_bytes_after_a_photographs_end_stop_nothing(enter: Enter, kind: str) -> None:
    enter("03")
    predicted(f"boxes_{kind}.csv", "out.npz")
    assert own.load(Path("out.npz"))[0].creator


@pytest.mark.parametrize(
    ("file", "words"),
    [("html.pth", ["web page"]), ("lfs.pth", ["git lfs pull"]), ("torchscript.pt", ["TorchScript", "state_dict"])],
)
def test_what_is_no_checkpoint_is_called_by_what_it_is(enter: Enter, file: str, words: list[str]) -> None:
    enter("04")
    with pytest.raises(ValueError, match=file) as refused:
        hpe_bench.load_weights(hpe_bench.build_model("hrnet", "pocket"), file)
    said = str(refused.value)
    assert all(word in said for word in words), said
    assert "weights_only" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("case", "paper", "file"),
    [
        ("05", "hrnet", "mmpose1.pth"),
        ("06", "hrnet", "checkpoint.pth"),
        ("07", "hrnet", "mmpose0.pth"),
        ("07", "simple_baseline", "simple_baseline_mmpose1.pth"),
        *(("08", "hrnet", f"w_{name}.pth") for name in ("model", "model_state_dict", "net", "lightning", "compiled")),
        *(("08", "hrnet", name) for name in ("w.ckpt", "w_pytorch_model.bin", "w.PTH")),
    ],
)
def test_released_and_wrapped_weights_load(enter: Enter, case: str, paper: str, file: str) -> None:
    enter(case)
    torch.manual_seed(1)
    model = hpe_bench.build_model(paper, "pocket")
    hpe_bench.load_weights(model, file)
    assert tensors(model.state_dict()) == tensors(torch.load(file, weights_only=False))


@pytest.mark.parametrize("truth", ["gt.json", "gt_float.json"])
def test_whole_numbers_may_be_written_as_floats(enter: Enter, truth: str) -> None:
    enter("10")
    assert scored(truth=truth)["ap"] == pytest.approx(20.99, abs=0.005)


@pytest.mark.parametrize("change", ["num_keypoints_17", "no_width", "names_with_spaces", "bbox_0"])
def test_fields_that_scoring_does_not_read_stop_nothing(enter: Enter, change: str) -> None:
    enter("11")
    if change == "bbox_0":
        truth = json.loads(Path("gt.json").read_text())
        for person in truth["annotations"]:
            person["bbox"] = [0.0, 0.0, 0.0, 0.0]
        Path("gt_bbox_0.json").write_text(json.dumps(truth))
    assert scored(truth=f"gt_{change}.json")["ap"] == pytest.approx(20.99, abs=0.005)


@pytest.mark.parametrize(("network", "macs"), [("vit", 985_088), ("hard_swish", None), ("coord", None)])
def test_everyday_operators_stop_no_count(enter: Enter, network: str, macs: int | None) -> None:
    enter("14")
    said = called("profile", f"nets.py:{network}", "--inputs", "64x64", "--counts")
    assert "lower bound" not in said
    if macs is not None:
        assert "58,673" in said
        assert f"{macs / 1e6:.3f}" in said


def test_a_turned_photograph_is_said(enter: Enter) -> None:
    enter("16")
    said = " ".join(predicted("boxes.csv", "out.npz", "--draw", "drawn").split())
    assert "turned.jpg" in said
    assert "EXIF orientation (6)" in said


def test_a_foreign_file_among_results_stops_no_command(enter: Enter) -> None:
    enter("17")
    first = scored()["ap"]
    shutil.copy("._copy.json", "out/res/submitted/")
    Path("out/res/submitted/empty.json").touch()
    Path("out/res/submitted/marked.json").write_bytes(b"\xef\xbb\xbf{}")
    assert scored("dt2.json")["ap"] > 0
    said = called("leaderboard", "--results", "out/res", "--reports", "out/rep")
    odd = ("._copy.json", "empty.json", "marked.json")
    assert all(name in said for name in odd)
    assert "move it away, or run the command again" in said
    assert Path("out/rep/index.html").exists()
    assert len([p for p in Path("out/res/submitted").glob("*.json") if p.name not in odd]) == 2
    board: list[RunRecord] = store.load_all(Path("out/res"))
    assert first in [m.value for r in query.of(board).finished("submission") for m in r.measurements if m.key == "ap"]


def test_images_in_a_folder_of_hrnets_layout_are_found(enter: Enter, shared_data: Path) -> None:
    enter("18")
    for source, target in (("annotations", "annotations"), ("val2017", "images/val2017")):
        shutil.copytree(shared_data / "coco_mini" / source, Path("root/coco_mini") / target, copy_function=os.symlink)
    asked = ("evaluate", "--protocol", "coco-mini-gtbox", "--root", "root", "--onnx", "net.onnx", *FOLDERS)
    called(*asked)
    (record,) = query.of(store.load_all(Path("out/res"))).finished("submission")
    assert np.isfinite([m.value for m in record.measurements]).all()
