"""Exported files answer as the networks do; whatever cannot be exported is refused and leaves nothing behind."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import find_protocol
from hpe_bench.commands.export import ExportRequest, Int8, convention_text, export
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.data.prediction_files import own
from hpe_bench.declare import replace
from hpe_bench.inference import exporting, networks, quantising
from hpe_bench.inference.model_file import InputConvention, read_convention
from hpe_bench.run import prediction
from hpe_bench.training.checkpoints import save_weights
from tests import small
from tests.onnx_files import EXPORTED_PAPERS


class Stacked(nn.Module):
    """Two stacks of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 5, 4, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.up(self.down(x).relu())
        return [2 * maps, maps]


def stacked() -> Stacked:
    torch.manual_seed(0)
    return Stacked()


def eager(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(images)[-1]


@pytest.mark.parametrize("slug", EXPORTED_PAPERS)
def test_every_miniature_is_exported_with_its_stacks_in_order(
    slug: str, exported_pocket: Callable[[str], Path]
) -> None:
    file = exported_pocket(slug)  # which holds the final maps against eager PyTorch
    variant = catalog.find_variant(catalog.load(slug), "pocket")
    graph = onnx.load(file).graph
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output}
    with on_meta():
        stacks = variant.builder(variant.joints).eval()(torch.empty(1, 3, *variant.input_hw))
    assert list(shapes) == [*(f"stack{i + 1}" for i in range(len(stacks) - 1)), "heatmaps"]
    assert list(shapes.values()) == [list(s.shape) for s in stacks]
    assert [p.name for p in file.parent.glob(f"{slug}*")] == [file.name]  # one file, weights inside


def run_onnx(file: Path, images: Tensor) -> list[np.ndarray]:
    import onnxruntime

    return onnxruntime.InferenceSession(str(file)).run(None, {"images": images.numpy()})


def run_torchscript(file: Path, images: Tensor) -> list[np.ndarray]:
    return [maps.detach().numpy() for maps in torch.jit.load(file)(images)]


def run_openvino(file: Path, images: Tensor) -> list[np.ndarray]:
    import openvino

    network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(network(images.numpy()).values())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("write", "name", "run"),
    [
        (exporting.to_onnx, "net.onnx", run_onnx),
        (exporting.to_torchscript, "net.pt", run_torchscript),
        (exporting.to_openvino, "net.xml", run_openvino),
    ],
)
def test_a_file_of_each_kind_answers_as_eager_does_for_its_batch(
    tmp_path: Path, write: Any, name: str, run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model = stacked().train()
    assert write(model, (24, 16), tmp_path / "new" / name, batch=3) == tmp_path / "new" / name
    assert model.training
    assert capfd.readouterr() == ("", "")
    images = torch.rand(3, 3, 24, 16)
    first, final = run(tmp_path / "new" / name, images)
    assert np.abs(final - eager(model, images).numpy()).max() < 1e-5
    assert np.abs(first - 2 * final).max() < 1e-5
    extra = {".xml": ["net.bin"]}.get(Path(name).suffix, [])
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted([name, *extra])


# ---------------------------------------------------------------------------------------- refused


class Forgetful(Stacked):
    """Answers otherwise than it is traced: a branch that looks at the clock of its calls."""

    calls = 0

    def forward(self, x: Tensor) -> list[Tensor]:
        self.calls += 1
        return super().forward(x if self.calls == 1 else x + 1)


class Dictionary(Stacked):
    def forward(self, x: Tensor) -> Any:
        return {"heatmaps": super().forward(x)[-1]}


class Unexportable(Stacked):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.linalg.svd(super().forward(x)[-1])[1][..., None]]


class Flat(Stacked):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [0 * maps for maps in super().forward(x)]


class Divided(Stacked):
    def forward(self, x: Tensor) -> list[Tensor]:
        maps = super().forward(x)[-1]
        return [maps + maps[..., ::3, ::2].repeat_interleave(3, 2).repeat_interleave(2, 3)]


@pytest.mark.parametrize(
    ("model", "name", "hw", "words"),
    [
        (Forgetful, "net.onnx", (24, 16), ["net.onnx", "answers differently", "branches"]),
        (Dictionary, "net.onnx", (24, 16), ["dict", "tuple of tensors"]),
        (Unexportable, "net.onnx", (24, 16), ["cannot be exported to ONNX"]),
        (Flat, "net.onnx", (24, 16), ["constant"]),
        (Divided, "net.onnx", (25, 16), ["25x16", "another size"]),
        (Stacked, "net.pt", (24, 16), ["net.pt", ".onnx"]),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    tmp_path: Path, model: type[nn.Module], name: str, hw: tuple[int, int], words: list[str]
) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        exporting.to_onnx(model(), hw, tmp_path / name)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("older")
    with pytest.raises(ValueError, match="constant"):
        exporting.to_onnx(Flat(), (24, 16), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_text() == "older"


@pytest.mark.parametrize(
    ("missing", "write", "name"),
    [
        ("onnxruntime", exporting.to_onnx, "net.onnx"),
        ("onnxscript", exporting.to_onnx, "net.onnx"),
        ("openvino", exporting.to_openvino, "net.xml"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, write: Any, name: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"{missing} is not installed; `pip install .*\.\["):
        write(stacked(), (24, 16), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_deviation() -> None:
    reference = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    std = float(reference.std())
    assert exporting.deviation(reference, reference) == 0
    assert exporting.deviation(reference + 0.1, reference) == pytest.approx(0.1 / std, abs=1e-6)
    near = 0.5 + 1e-6 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert exporting.deviation(near + 5e-8, near) == 0  # less than float32 has digits for
    assert exporting.deviation(near.flip(0), near) > 1
    with pytest.raises(ValueError, match="give it weights"):
        exporting.deviation(near, torch.full((3, 3), 0.5))
    with pytest.raises(ValueError, match="shape"):
        exporting.deviation(reference[:1], reference)


# ---------------------------------------------------------------------------------------- eight bits


def kinds_of_nodes(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node]


@pytest.mark.parametrize(("name", "run"), [("net.onnx", run_onnx), ("net.xml", run_openvino)])
def test_in_eight_bits_it_answers_nearly_as_eager_does(
    tmp_path: Path, name: str, run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model, images = stacked().train(), torch.randn(40, 3, 24, 16, generator=torch.Generator().manual_seed(1))
    off = quantising.to_int8(model, tmp_path / name, images, batch=2)
    assert model.training
    assert capfd.readouterr() == ("", "")
    assert 0 < off < 0.1
    fresh = torch.randn(2, 3, 24, 16, generator=torch.Generator().manual_seed(2))
    first, final = run(tmp_path / name, fresh)
    assert float(exporting.deviation(torch.from_numpy(final), eager(model, fresh))) == pytest.approx(off, rel=0.5)
    assert first.shape == final.shape == (2, 5, 24, 16)
    beside = {".xml": ["net.bin"]}.get(Path(name).suffix, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, *beside])


def test_only_the_layers_that_write_outputs_stay_in_float(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    head = nn.Sequential(model, nn.Conv2d(8, 5, 1), nn.Sigmoid())
    quantising.to_int8(head, tmp_path / "net.onnx", torch.randn(16, 3, 24, 16))
    graph = onnx.load(tmp_path / "net.onnx").graph
    writer = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    floating = [c for c in convolutions if getattr(writer.get(c.input[1]), "op_type", "") != "DequantizeLinear"]
    assert len(convolutions) == 3
    assert len(floating) == 1
    assert {writer[o.name].op_type for o in graph.output} == {"Sigmoid"}
    assert writer[writer[graph.output[0].name].input[0]] == floating[0]


@pytest.mark.parametrize(
    ("name", "crops", "limit", "words"),
    [
        ("net.pt", 16, 0.5, "end in .onnx or .xml"),
        ("net.onnx", 7, 0.5, "7 batches of crops"),
        ("net.onnx", 16, 0.0, "answers differently"),
    ],
)
def test_what_cannot_be_had_in_eight_bits_leaves_nothing(
    tmp_path: Path, name: str, crops: int, limit: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        quantising.to_int8(stacked(), tmp_path / name, torch.randn(crops, 3, 24, 16), limit=limit)
    assert list(tmp_path.iterdir()) == []


def test_a_miniature_in_eight_bits_takes_its_ranges_from_training_crops(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, trained_like("fasterpose"))
    eight = Int8(small.PROTOCOLS[0], None, 16)
    images = eight.images((128, 96))
    assert images.shape == (16, 3, 128, 96)
    assert 0.3 < float(images.std()) < 3  # normalised
    wish = ExportRequest("fasterpose", "pocket", recipe="coco_256x192", weights=weights, int8=eight)
    told = Console(width=400, record=True, file=io.StringIO())
    file = export(wish, "onnx", tmp_path / "mine.onnx", told)
    assert "QuantizeLinear" in kinds_of_nodes(file)
    assert "evaluate --protocol small-dark" in told.export_text()
    assert file.stat().st_size < 0.5 * weights.stat().st_size


# ---------------------------------------------------------------------------------------- export, then predict


def trained_like(slug: str) -> nn.Module:
    """A miniature whose maps have contrast: normalisation that has seen images, and a final layer of some size."""
    torch.manual_seed(0)
    model = catalog.build_model(slug, "pocket").train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(8, 3, 128, 96))
        final = [m for m in model.modules() if isinstance(m, nn.Conv2d)][-1]
        final.weight.normal_(0, 5)
    return model.eval()


def test_an_exported_network_predicts_what_the_network_predicts(tmp_path: Path) -> None:
    """Weights to a file, a file to predictions: through the TOML alone, with an activation of the recipe's own."""
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, trained_like("fasterpose"))
    wish = ExportRequest("fasterpose", "pocket", recipe="coco_256x192", weights=weights)
    with pytest.raises(ValueError, match="--recipe"):
        export(dataclasses.replace(wish, recipe=None), "onnx", tmp_path / "mine.onnx", Console(quiet=True))
    file = export(wish, "onnx", tmp_path / "mine.onnx", Console(quiet=True))
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(rng.integers(0, 255, (9, 9, 3), np.uint8), (160, 200)))
    with (tmp_path / "boxes.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["image", "x", "y", "width", "height"], ["a.png", 20, 20, 90, 120]])
    protocol = replace(find_protocol("mannequins-v1-dark"), flip_test=True)
    task = prediction.task_of_images(protocol, tmp_path, tmp_path / "boxes.csv")
    skeleton = protocol.data.skeleton
    theirs = prediction.answer(task, networks.of_file(file, read_convention(file), skeleton))
    ours = prediction.answer(task, networks.of_paper("fasterpose", "pocket", "coco_256x192", weights, skeleton))
    assert float(np.ptp(ours.joints, axis=1).min()) > 20  # joints all over the crop
    assert np.abs(theirs.joints - ours.joints).max() < 0.05
    assert np.abs(theirs.joint_scores - ours.joint_scores).max() < 1e-4
    (tmp_path / "p.npz").write_bytes(
        prediction.as_file(task, theirs, networks.of_file(file, read_convention(file), skeleton))
    )
    assert "mine.onnx" in own.load(tmp_path / "p.npz")[0].creator


def test_the_toml_beside_says_all_that_it_can(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(convention_text(17))
    found = read_convention(tmp_path / "a.onnx")
    assert found == replace(InputConvention(), joints=found.joints, output="heatmaps")
    assert (len(found.joints), found.joints[0]) == (17, "nose")
    (tmp_path / "b.toml").write_text(convention_text(5))
    assert read_convention(tmp_path / "b.onnx").joints == ()


def test_a_paper_whose_recipes_activate_alike_needs_none_named() -> None:
    maps = torch.randn(1, 2, 3, 4)
    assert torch.equal(networks.activation(catalog.load("simple_baseline"), None)(maps), maps)
    with pytest.raises(ValueError, match="--recipe"):
        networks.activation(catalog.load("bulat_cascade"), None)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_without_weights_no_recipe_is_needed_and_other_joints_are_built(tmp_path: Path) -> None:
    file = export(
        ExportRequest("fasterpose", "pocket", joints=14), "torchscript", tmp_path / "f.pt", Console(quiet=True)
    )
    assert torch.jit.load(file)(torch.rand(1, 3, 128, 96))[-1].shape[1] == 14
    assert [p.name for p in tmp_path.iterdir()] == ["f.pt"]  # the TOML belongs to ONNX
