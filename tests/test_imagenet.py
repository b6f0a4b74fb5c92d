"""Starting from ImageNet weights: whose names fit, what they cover, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hpe_bench.papers.hrnet import model as hrnet
from hpe_bench.papers.simple_baseline.model import POCKET, SimpleBaseline
from torch import Tensor, nn

from hpe_bench.commands import full
from hpe_bench.commands.full import FullRequest
from hpe_bench.declare import replace
from hpe_bench.nn.resnet import ResNet
from hpe_bench.plan import Start, TrainingRun
from hpe_bench.run import training
from hpe_bench.training import imagenet
from tests import small


def trunk(blocks: tuple[int, int, int, int] = (1, 1, 1, 1), stem: int = POCKET.stem) -> dict[str, Tensor]:
    """What torchvision's file of a ResNet like the miniature's would hold: the trunk, and a classifier we have not."""
    torch.manual_seed(7)
    net = ResNet(replace(POCKET, blocks=blocks, stem=stem))
    names = {name: torch.rand_like(value.float()) for name, value in net.state_dict().items() if "tracked" not in name}
    return names | {"fc.weight": torch.rand(1000, 192), "fc.bias": torch.rand(1000)}


def saved(names: dict[str, Tensor] | dict[str, object], folder: Path) -> Path:
    path = folder / "resnet.pth"
    torch.save(names, path)
    return path


def model() -> nn.Module:
    return SimpleBaseline(POCKET, 17, width=48)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_trunk_is_covered_and_the_head_keeps_its_start(tmp_path: Path, prefix: str) -> None:
    names = trunk()
    path = saved({f"{prefix}{name}": value for name, value in names.items()}, tmp_path)
    net, before = model(), model()
    before.load_state_dict(net.state_dict())
    said = imagenet.load(net, path)
    assert "conv1, bn1, layer1, layer2, layer3, layer4; deconv_layers, final_layer start from random weights" in said
    for name, value in net.state_dict().items():
        if name in names:
            assert torch.equal(value, names[name])
        else:
            assert torch.equal(value, before.state_dict()[name])


def test_hrnets_own_file_covers_all_but_the_last_layer_and_its_classifier_is_left(tmp_path: Path) -> None:
    net = hrnet.pocket(17)
    theirs = {name: torch.rand_like(v.float()) for name, v in net.state_dict().items() if "tracked" not in name}
    theirs = {name: v for name, v in theirs.items() if not name.startswith("final_layer")}
    theirs |= {"incre_modules.0.0.conv1.weight": torch.rand(2, 2, 1, 1), "classifier.weight": torch.rand(10, 10)}
    found = imagenet.coverage(net, saved(theirs, tmp_path))
    assert found.left == ("final_layer",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (trunk((1, 1, 3, 1)), "layer3 has 3 blocks there and 1 here"),
        (trunk(stem=8), "fits in part|no ImageNet weights"),
        ({"a": torch.zeros(3)}, "its names are none of this network's"),
        ({name: value for name, value in trunk().items() if "layer4.0.bn2" not in name}, "layer4 fits in part"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, names: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        imagenet.coverage(model(), saved(names, tmp_path))
    assert "same depth and width" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_files_content_is_part_of_a_trainings_identity_and_recorded(tmp_path: Path) -> None:
    path = saved(trunk(), tmp_path)
    plain = small.training()
    recipe = replace(plain.recipe, samples=16, init="imagenet")
    run = TrainingRun(plain.paper, plain.variant, recipe, plain.protocols, 0, start=Start(str(path), "ab" * 32))
    moved = replace(run, start=Start("elsewhere.pth", "ab" * 32))
    other = replace(run, start=Start(str(path), "cd" * 32))
    assert run.id == moved.id != other.id
    said: list[str] = []
    made = training.run_training(run, None, tmp_path / "runs", 1, "cpu", lambda *_: None, said.append)
    assert "covers" in said[0]
    assert made[0].provenance.flags["start"] == f"resnet.pth, SHA-256 {'ab' * 32}"


def test_a_recipe_that_says_imagenet_gets_its_file(tmp_path: Path) -> None:
    (run,) = full.planned("simple_baseline", FullRequest("lsp", budget=1280, init="random"))
    torch.manual_seed(0)
    net = run.variant.builder(joints=17)
    names = {n: v for n, v in net.state_dict().items() if n.split(".")[0] not in ("deconv_layers", "final_layer")}
    path = saved(names, tmp_path)
    (started,) = full.planned("simple_baseline", FullRequest("lsp", init=str(path)))
    assert started.recipe.init == "imagenet"
    assert started.recipe.name == "coco_256x192"
    assert started.start is not None
    assert len(started.start.sha256) == 64
    with pytest.raises(ValueError, match="no ImageNet weights for this network"):
        full.planned("simple_baseline", FullRequest("lsp", variant="r101_256x192", init=str(path)))
    with pytest.raises(ValueError, match="starts from random weights; leave --init out"):
        full.planned("hrnet", FullRequest("lsp", recipe="coco_256x192_scratch", init=str(path)))
