"""Weights from elsewhere: what loads, what is refused, and that a refused file changes and executes nothing."""

from __future__ import annotations

import argparse
import gzip
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hpe_bench.catalog import build_model
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.inference.weights import load_weights


def trained(paper: str, variant: str) -> dict[str, Tensor]:
    """A state dict that no fresh network has by chance."""
    torch.manual_seed(1)
    weights = build_model(paper, variant).state_dict()
    return {name: value + 1 if value.is_floating_point() else value for name, value in weights.items()}


def assert_loaded(model: nn.Module, weights: dict[str, Tensor]) -> None:
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.fixture(params=["hrnet", "cpn"])
def paper(request: pytest.FixtureRequest) -> str:
    return request.param


def test_files_of_every_kind_load(paper: str, tmp_path: Path) -> None:
    weights = trained(paper, "pocket")
    for name in ("w.pth", "w.pt", "w.pth.tar"):
        torch.save(weights, tmp_path / name)
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # before PyTorch 1.6
    safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
    for file in sorted(tmp_path.iterdir()):
        model = build_model(paper, "pocket")
        load_weights(model, str(file))
        assert_loaded(model, weights)


def test_wrapped_and_prefixed_state_dicts_load(paper: str, tmp_path: Path) -> None:
    weights = trained(paper, "pocket")
    checkpoint = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    for source in (checkpoint, tmp_path / "checkpoint.pth"):
        model = build_model(paper, "pocket")
        load_weights(model, source)
        assert_loaded(model, weights)


@pytest.mark.parametrize(("slug", "head"), [("hrnet", "head"), ("lite_hrnet", "head"), ("lite_hrnet", "keypoint_head")])
def test_mmpose_s_names_load(slug: str, head: str) -> None:
    weights = trained(slug, "pocket")
    theirs = {
        f"{head}.{name}" if name.startswith("final_layer.") else f"backbone.{name}": value
        for name, value in weights.items()
    }
    model = build_model(slug, "pocket")
    load_weights(model, {"state_dict": theirs})
    assert_loaded(model, weights)


def test_files_from_before_batch_counters_load(paper: str) -> None:
    weights = trained(paper, "pocket")
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(weights)
    model = build_model(paper, "pocket")
    load_weights(model, old)
    assert_loaded(model, weights)


def test_a_module_outside_the_papers_loads_its_own_names() -> None:
    load_weights(nn.Linear(2, 1), {"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)})


def test_what_does_not_fit_is_counted_and_named_and_nothing_changes() -> None:
    model = build_model("hrnet", "pocket")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights: dict[str, Any] = trained("hrnet", "pocket")
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight"):
        del weights[name]
    weights |= {"fc.weight": torch.zeros(1), "final_layer.weight": torch.zeros(16, 16, 1, 1), "bn2.bias": "text"}
    with pytest.raises(ValueError, match="does not fit HRNet") as caught:
        load_weights(model, weights)
    message = str(caught.value)
    assert "5 missing (conv1.weight, bn1.weight, bn1.bias, ...)" in message
    assert "1 unexpected (fc.weight)" in message
    assert "final_layer.weight (16, 16, 1, 1) where (17, 16, 1, 1) belongs" in message
    assert "1 no tensor (bn2.bias)" in message
    assert_loaded(model, before)


def test_weights_of_the_other_layout_are_refused() -> None:
    """A state dict of the projecting layout has shortcuts that the identity layout lacks."""
    with on_meta():
        model, other = build_model("cpn", "r50_256x192"), build_model("cpn", "r50_projection_256x192")
    with pytest.raises(ValueError, match=r"unexpected \(global_net\.upsamples"):
        load_weights(model, other.state_dict())


class Bomb:
    """Unpickling it would create the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_a_pickle_that_wants_to_run_code_is_refused_unread(tmp_path: Path, plain_pickle: bool) -> None:
    trace, file = tmp_path / "trace", tmp_path / "w.pth"
    if plain_pickle:
        file.write_bytes(pickle.dumps({"state_dict": Bomb(trace)}, protocol=2))
    else:
        torch.save({"state_dict": Bomb(trace)}, file)
    with pytest.raises(ValueError, match="refused, because it holds more than tensors") as caught:
        load_weights(nn.Linear(1, 1), file)
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"no such thing", "not a readable safetensors file"),
        ("w.pth", b"", "not a readable PyTorch file"),
        ("w.pth", b"PK\x03\x04 cut off", "not a readable PyTorch file"),
        ("w.onnx", b"", "unknown kind of file"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(nn.Linear(1, 1), file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_file_without_a_state_dict_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        load_weights(nn.Linear(1, 1), tmp_path / "none.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="holds a Tensor"):
        load_weights(nn.Linear(1, 1), tmp_path / "tensor.pth")


# ------------------------------------------------------------------------------------------------ other tools' files


def shipped(head: str, weights: dict[str, Tensor], parts: tuple[str, ...] = ("final_layer", "deconv_layers")) -> Any:
    """Weights as mmpose names them; 0.x calls the head `keypoint_head`, 1.x `head`."""
    return {f"{head}.{n}" if n.startswith(parts) else f"backbone.{n}": v for n, v in weights.items()}


@pytest.mark.parametrize("paper_of_mmpose", ["hrnet", "simple_baseline"])
@pytest.mark.parametrize("head", ["keypoint_head", "head"])
def test_both_generations_of_mmpose_load(paper_of_mmpose: str, head: str, tmp_path: Path) -> None:
    """Their published files keep NumPy arrays in `meta`, their training checkpoints histories and options."""
    weights = trained(paper_of_mmpose, "pocket")
    arrays = {"sigmas": np.full(17, 0.026, np.float32), "keypoint_colors": np.zeros((17, 3), np.uint8)}
    meta = {"epoch": 210, "dataset_meta": arrays, "seed": np.int64(3), "time": np.float32(2.5)}
    torch.save({"meta": meta, "state_dict": shipped(head, weights)}, tmp_path / "m.pth")
    model = build_model(paper_of_mmpose, "pocket")
    load_weights(model, tmp_path / "m.pth")
    assert_loaded(model, weights)


def test_mmpose_s_hourglass_is_another_architecture(tmp_path: Path) -> None:
    torch.save({"state_dict": {"backbone.hourglass_modules.0.up1.0.conv1.weight": torch.zeros(2)}}, tmp_path / "h.pth")
    with pytest.raises(ValueError, match=r"h.pth: .*another architecture .*94.8 M parameters"):
        load_weights(build_model("hourglass", "pocket"), tmp_path / "h.pth")


def test_a_training_checkpoint_of_hrnet_loads(paper: str, tmp_path: Path) -> None:
    """`perf` is a NumPy number, and the weights stand there twice, once with `module.` in front."""
    weights = trained(paper, "pocket")
    moments = {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]}
    checkpoint = {
        "epoch": 210,
        "model": "pose_hrnet",
        "state_dict": {f"module.{name}": value for name, value in weights.items()},
        "best_state_dict": weights,
        "perf": np.float64(0.744),
        "optimizer": moments,
    }
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    model = build_model(paper, "pocket")
    load_weights(model, tmp_path / "checkpoint.pth")
    assert_loaded(model, weights)


WRAPPED: dict[str, Any] = {
    "model": lambda w: {"model": w, "epoch": 3},
    "model_state_dict": lambda w: {"model_state_dict": w, "loss": 0.1},
    "net": lambda w: {"net": w},
    "ema alone": lambda w: {"ema": w, "updates": 3},
    "two levels": lambda w: {"checkpoint": {"weights": w, "step": 1}},
    "lightning": lambda w: {"state_dict": {f"model.{n}": v for n, v in w.items()}, "hyper_parameters": {"lr": 0.1}},
    "lightning with a metric": lambda w: {
        "state_dict": {**{f"model.{n}": v for n, v in w.items()}, "accuracy.total": torch.zeros(1)}
    },
    "compiled": lambda w: {f"_orig_mod.{n}": v for n, v in w.items()},
    "compiled data-parallel": lambda w: {f"module._orig_mod.{n}": v for n, v in w.items()},
    "data-parallel compiled": lambda w: {"net": {f"_orig_mod.module.{n}": v for n, v in w.items()}},
    "any common prefix": lambda w: {f"pose_estimator.{n}": v for n, v in w.items()},
    "averaged": lambda w: {"n_averaged": torch.tensor(5), **{f"module.{n}": v for n, v in w.items()}},
    "with numbers beside": lambda w: {**w, "epoch": 3, "best": 0.5},
    "options": lambda w: {"state_dict": w, "args": argparse.Namespace(lr=0.1, root=Path("/data"))},
    "equal copies": lambda w: {"model": w, "model_ema": {n: v.clone() for n, v in w.items()}},
    "the usual one of two": lambda w: {"state_dict": w, "state_dict_ema": {n: v * 0 for n, v in w.items()}},
    "NumPy arrays": lambda w: {"model": {n: v.numpy() for n, v in w.items()}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_are_found_wherever_they_lie(kind: str, tmp_path: Path) -> None:
    weights = trained("hrnet", "pocket")
    torch.save(WRAPPED[kind](weights), tmp_path / "w.pth")
    model = build_model("hrnet", "pocket")
    load_weights(model, tmp_path / "w.pth")
    assert_loaded(model, weights)


@pytest.mark.parametrize("name", ["w.ckpt", "pytorch_model.bin", "w.PTH", "w.pyth", "w", "w.safetensors", "w.weights"])
def test_a_file_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    weights = trained("hrnet", "pocket")
    model = build_model("hrnet", "pocket")
    for save in (torch.save, safetensors.torch.save_file):
        save(weights, tmp_path / name)
        load_weights(model, tmp_path / name)
        assert_loaded(model, weights)
    np.savez(tmp_path / "w.npz", **{n: v.numpy() for n, v in weights.items()})
    load_weights(model, tmp_path / "w.npz")


def test_two_sets_that_fit_and_differ_are_not_chosen_from(tmp_path: Path) -> None:
    weights = trained("hrnet", "pocket")
    other = {name: value * 0 for name, value in weights.items()}
    with pytest.raises(ValueError, match=r"'model' and 'ema' both fit and differ; save the one"):
        load_weights(build_model("hrnet", "pocket"), {"model": weights, "ema": other})


def test_what_does_not_fit_is_told_with_the_place_where_it_lies(tmp_path: Path) -> None:
    weights = trained("hrnet", "pocket")
    del weights["conv1.weight"]
    with pytest.raises(ValueError, match=r"under 'net', does not fit HRNet: 1 missing \(conv1.weight\)"):
        load_weights(build_model("hrnet", "pocket"), {"net": weights, "epoch": 3})
    with pytest.raises(ValueError, match=r"holds no weights.*it has epoch, 7"):
        load_weights(build_model("hrnet", "pocket"), {"epoch": 3, 7: torch.zeros(3)})


@pytest.mark.parametrize(
    "other",
    [
        lambda t: (t * 100).to(torch.int8),
        lambda t: t.to(torch.complex64),
        lambda t: t > 0,
        lambda t: t.to_sparse(),
        lambda t: t.to("meta"),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    ],
)
def test_weights_of_another_kind_are_refused(other: Any) -> None:
    model = build_model("hrnet", "pocket")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = trained("hrnet", "pocket")
    weights["conv1.weight"] = other(weights["conv1.weight"])
    with pytest.raises(ValueError, match=r"1 (of another kind|no tensor) \(conv1.weight"):
        load_weights(model, weights)
    assert_loaded(model, before)


def test_half_precision_stays_floating_point() -> None:
    weights = trained("hrnet", "pocket")
    model = build_model("hrnet", "pocket")
    load_weights(model, {n: v.half() if v.is_floating_point() else v for n, v in weights.items()})
    assert torch.equal(model.state_dict()["conv1.weight"], weights["conv1.weight"].half().float())


ADVICE = re.compile(r"weights_only|add_safe_globals|\x1b|arbitrary code")
NOT_WEIGHTS: list[tuple[bytes, str]] = [
    (b"<!DOCTYPE html><html><head><title>Google Drive</title>", "web page.*<!DOCTYPE html.*download failed"),
    (b"\n  <html lang=en>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "Git LFS pointer.*git lfs pull"),
    (gzip.compress(b"weights", mtime=0), "gzip.*unpack"),
    (b"BZh91AY", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b'{"error": "not found"}', "text that begins with"),
    (b"Not Found", "text that begins with `Not Found`"),
    (b"\x00\x05\x16\x07\x00\x02", "macOS resource file"),
    (b"%PDF-1.7", "PDF"),
]


@pytest.mark.parametrize(("content", "words"), NOT_WEIGHTS)
@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.ckpt"])
def test_what_is_no_file_of_weights_is_called_by_its_kind(
    content: bytes, words: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        load_weights(nn.Linear(1, 1), file)
    assert str(caught.value).startswith(f"{file}: ")
    assert not ADVICE.search(str(caught.value))


def test_torchscript_and_foreign_zips_are_called_by_their_kind(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2)), tmp_path / "t.pt")
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("weights/model.pth", b"x")
    for file, words in (("t.pt", "TorchScript archive.*state_dict"), ("z.pth", "zip archive .*model.pth.*unpack")):
        with pytest.raises(ValueError, match=words) as caught:
            load_weights(nn.Linear(1, 1), tmp_path / file)
        assert not ADVICE.search(str(caught.value))


@pytest.mark.parametrize("new_format", [True, False])
def test_the_one_offending_name_is_told(tmp_path: Path, new_format: bool) -> None:
    torch.save({"state_dict": nn.Linear(1, 1)}, tmp_path / "m.pth", _use_new_zipfile_serialization=new_format)
    with pytest.raises(ValueError, match=r"whole pickled model .*torch\.nn\.modules\.linear\.Linear") as caught:
        load_weights(nn.Linear(1, 1), tmp_path / "m.pth")
    assert not ADVICE.search(str(caught.value))
    torch.save({"a": Bomb(tmp_path / "b")}, tmp_path / "b.pth", _use_new_zipfile_serialization=new_format)
    with pytest.raises(ValueError, match=r"pathlib.*Path.touch|builtins.getattr|Path\.touch") as caught:
        load_weights(nn.Linear(1, 1), tmp_path / "b.pth")
    assert not ADVICE.search(str(caught.value))


def forged(dtype_state: Any) -> bytes:
    """A pickle of an array of one object whose type was told to be something else."""

    class Array:
        def __reduce__(self) -> Any:
            return np.core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), Dtype(), False, b"A" * 8)

    class Dtype:
        def __reduce__(self) -> Any:
            return np.dtype, ("O8", False, True), dtype_state

    return pickle.dumps({"w": Array()}, protocol=2)


def test_a_forged_array_of_objects_is_not_built(tmp_path: Path) -> None:
    """NumPy itself would take the bytes for the addresses of objects."""
    with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
        archive.writestr("archive/data.pkl", forged((3, "|", None, None, None, -1, -1, 0)))
        archive.writestr("archive/version", b"3\n")
    with pytest.raises(ValueError, match=r"f\.pth"):
        load_weights(nn.Linear(1, 1), tmp_path / "f.pth")


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        for part in range(3):
            archive.writestr(f"archive/data/{part}", bytes(100 << 20))
    with pytest.raises(ValueError, match=r"unpacks to 0\.3 GiB"):
        load_weights(nn.Linear(1, 1), tmp_path / "b.pth")
