"""Files for phones: TFLite files answer as eager does, Core ML packages say what they take and give."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from hpe_bench.catalog import find_protocol
from hpe_bench.commands.export import ExportRequest, Int8, Kind, convention_text, export
from hpe_bench.inference import phone_files
from hpe_bench.inference.file_runners import opened
from tests.test_exporting import Flat, Unexportable, eager, stacked

tflite = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None,
    reason="litert-torch is not installed: it wants an environment of its own (docs/onnx.md)",
)
core_ml = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None,
    reason="coremltools is not installed: `pip install -c constraints.txt -e '.[coreml]'` adds it",
)

FASTERPOSE = ExportRequest("fasterpose", "pocket")


def told(kind: Kind, target: Path, force: bool = False) -> str:
    """What exporting FasterPose's miniature prints."""
    said = io.StringIO()
    export(FASTERPOSE, kind, target, Console(file=said, width=1000), force)
    return said.getvalue()


@tflite
def test_a_tflite_file_answers_as_eager_does_for_its_batch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    model, images = stacked().train(), torch.rand(3, 3, 24, 16)
    file = phone_files.to_tflite(model, (24, 16), tmp_path / "new" / "net.tflite", batch=3)
    assert model.training
    assert capfd.readouterr() == ("", "")
    answer = Interpreter(model_path=str(file)).get_signature_runner()(images=images.numpy())
    wanted = eager(model, images).numpy()
    assert np.abs(answer["heatmaps"] - wanted).max() < 1e-5
    assert np.abs(answer["stack1"] - 2 * wanted).max() < 1e-5
    assert [p.name for p in file.parent.iterdir()] == ["net.tflite"]
    runner = opened(file)  # as `predict --model` reads it
    assert set(runner.outputs) == {"heatmaps", "stack1"}
    found = dict(zip(runner.outputs, runner.run(images.numpy()), strict=True))
    assert np.abs(found["heatmaps"] - wanted).max() < 1e-5


@tflite
@pytest.mark.parametrize(("model", "words"), [(Unexportable, "cannot be converted to TFLite"), (Flat, "constant")])
def test_what_cannot_be_a_tflite_file_is_refused_and_leaves_nothing(
    tmp_path: Path, model: type[nn.Module], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        phone_files.to_tflite(model(), (24, 16), tmp_path / "net.tflite")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@tflite
def test_a_miniature_becomes_a_tflite_file_with_what_it_cannot_say_beside(tmp_path: Path) -> None:
    assert "answers as eager float32 does" in told("tflite", tmp_path / "fp.tflite")
    assert (tmp_path / "fp.toml").read_text() == convention_text(17)


@core_ml
def test_a_core_ml_package_takes_images_and_gives_its_stacks_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import coremltools

    model = stacked().train()
    package = phone_files.to_core_ml(model, (24, 16), tmp_path / "new" / "net.mlpackage", batch=3)
    assert model.training
    assert capfd.readouterr() == ("", "")
    told = coremltools.utils.load_spec(str(package)).description
    assert {i.name: list(i.type.multiArrayType.shape) for i in told.input} == {"images": [3, 3, 24, 16]}
    assert [o.name for o in told.output] == ["stack1", "heatmaps"]
    assert [p.name for p in package.parent.iterdir()] == ["net.mlpackage"]


@core_ml
@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on macOS alone")
def test_a_core_ml_package_answers_as_eager_does(tmp_path: Path) -> None:
    import coremltools

    model, images = stacked(), torch.rand(1, 3, 24, 16)
    package = phone_files.to_core_ml(model, (24, 16), tmp_path / "net.mlpackage")
    found = coremltools.models.MLModel(str(package)).predict({"images": images.numpy()})["heatmaps"]
    assert np.abs(found - eager(model, images).numpy()).max() < 1e-2  # on whatever unit it chose, perhaps in float16


@core_ml
@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")
def test_a_core_ml_package_that_nothing_has_run_is_said_to_be_that(tmp_path: Path) -> None:
    target = tmp_path / "fp.mlpackage"
    assert "run by nothing yet" in told("coreml", target)
    assert [p.name for p in tmp_path.iterdir()] == ["fp.mlpackage"]
    with pytest.raises(ValueError, match="exists already"):
        told("coreml", target)
    told("coreml", target, force=True)
    assert (target / "Manifest.json").is_file()


@core_ml
def test_what_cannot_be_a_core_ml_package_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be converted to Core ML") as caught:
        phone_files.to_core_ml(Unexportable(), (24, 16), tmp_path / "net.mlpackage")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "write", "name", "words"),
    [
        ("litert_torch", phone_files.to_tflite, "net.tflite", r"litert-torch is not installed; .*pip install "),
        ("coremltools", phone_files.to_core_ml, "net.mlpackage", r"coremltools is not installed; `pip install .*\["),
    ],
)
def test_a_missing_converter_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, write: Any, name: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=words):
        write(stacked(), (24, 16), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["torchscript", "tflite", "coreml"])
def test_8_bits_are_offered_where_they_are_written(tmp_path: Path, kind: Kind) -> None:
    wish = dataclasses.replace(FASTERPOSE, int8=Int8(find_protocol("mannequins-v1-dark"), None, 8))
    with pytest.raises(ValueError, match=f"8 bits are not offered for {kind}; onnx and openvino have them"):
        export(wish, kind, tmp_path / "x", Console(quiet=True))
