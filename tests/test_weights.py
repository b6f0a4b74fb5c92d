"""Weights from elsewhere: what loads, what is refused, and that a refused file changes and executes nothing."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hpe_bench.catalog import build_model
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


def test_mmpose_s_names_of_hrnet_load() -> None:
    weights = trained("hrnet", "pocket")
    theirs = {
        f"head.{name}" if name.startswith("final_layer.") else f"backbone.{name}": value
        for name, value in weights.items()
    }
    model = build_model("hrnet", "pocket")
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
    with torch.device("meta"):
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
