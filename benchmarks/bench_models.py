"""Our networks beside plain ports: `pytest benchmarks/bench_models.py --benchmark-only`.

The ports are written as the papers describe the networks, without any of our building blocks: what they take is what a
straightforward implementation takes, and ours must not take more. Same input, one thread, eager, no gradients; all are
calibrated alike, since an untrained network's vanishing signal is slow to compute with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from hpe_bench import build_model
from hpe_bench.timing.runtimes.folding import folded
from hpe_bench.timing.sources import calibrate

INPUT_HW = (256, 192)
ROUNDS = 5


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 3, *INPUT_HW, generator=torch.Generator().manual_seed(0))


def run(benchmark: Callable, module: nn.Module, image: Tensor) -> Tensor:
    """The final maps; times go to the benchmark."""
    calibrate(module, INPUT_HW)

    @torch.inference_mode()
    def call() -> Tensor:
        output = module(image)
        return output[-1] if isinstance(output, list) else output

    return benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=2)


# ---------------------------------------------------------------------------------------------------- the plain ports


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)


class PlainBottleneck(nn.Module):
    def __init__(self, channels_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        channels = 4 * width
        self.conv1, self.bn1 = conv(channels_in, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, channels, 1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class PlainBasic(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


def plain_simple_baseline() -> nn.Module:
    """ResNet-50, three transposed convolutions, a 1x1 convolution."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(PlainBottleneck(channels, width, stride if block == 0 else 1))
            channels = 4 * width
    for _ in range(3):
        layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
        channels = 256
    return nn.Sequential(*layers, nn.Conv2d(256, 17, 1))


class PlainModule(nn.Module):
    """An HRNet module: four basic blocks a branch, then every branch receives from all."""

    def __init__(self, widths: Sequence[int], into: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(PlainBasic(w) for _ in range(4))) for w in widths)
        self.fuse = nn.ModuleList(
            nn.ModuleList(self.path(widths, source, target) for source in range(len(widths))) for target in range(into)
        )
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def path(widths: Sequence[int], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
            return nn.Sequential(conv(widths[source], widths[target], 1), nn.BatchNorm2d(widths[target]), up)
        steps: list[nn.Module] = []
        for step in range(source, target):
            out = widths[target] if step == target - 1 else widths[source]
            steps += [conv(widths[source], out, 3, 2), nn.BatchNorm2d(out)]
            if step < target - 1:
                steps.append(nn.ReLU(inplace=True))
        return nn.Sequential(*steps)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        return [self.relu(sum(path(x) for path, x in zip(paths, xs, strict=True))) for paths in self.fuse]


class PlainHRNet(nn.Module):
    """HRNet-W32."""

    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU(inplace=True)
        stem = [conv(3, 64, 3, 2), nn.BatchNorm2d(64), relu, conv(64, 64, 3, 2), nn.BatchNorm2d(64), relu]
        self.stem = nn.Sequential(*stem, PlainBottleneck(64, 64), *(PlainBottleneck(256, 64) for _ in range(3)))
        widths = [32, 64, 128, 256]
        self.first = nn.ModuleList([self.step(256, 32, 1), self.step(256, 64, 2)])
        self.second, self.third = self.step(64, 128, 2), self.step(128, 256, 2)
        self.stage2 = PlainModule(widths[:2], 2)
        self.stage3 = nn.ModuleList(PlainModule(widths[:3], 3) for _ in range(4))
        self.stage4 = nn.ModuleList(PlainModule(widths, into) for into in (4, 4, 1))
        self.head = nn.Conv2d(32, 17, 1)

    @staticmethod
    def step(channels_in: int, channels_out: int, stride: int) -> nn.Module:
        return nn.Sequential(
            conv(channels_in, channels_out, 3, stride), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        xs = self.stage2([step(x) for step in self.first])
        xs = [*xs, self.second(xs[-1])]
        for module in self.stage3:
            xs = module(xs)
        xs = [*xs, self.third(xs[-1])]
        for module in self.stage4:
            xs = module(xs)
        return self.head(xs[0])


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ---------------------------------------------------------------------------------------------------- SimpleBaseline


@pytest.mark.benchmark(group="SimpleBaseline R50 256x192")
def test_simple_baseline(benchmark: Callable, image: Tensor) -> None:
    ours = build_model("simple_baseline", "r50_256x192")
    assert parameters(ours) == parameters(plain_simple_baseline())
    assert run(benchmark, ours, image).shape == (1, 17, 64, 48)


@pytest.mark.benchmark(group="SimpleBaseline R50 256x192")
def test_simple_baseline_plain(benchmark: Callable, image: Tensor) -> None:
    assert run(benchmark, plain_simple_baseline(), image).shape == (1, 17, 64, 48)


@pytest.mark.benchmark(group="SimpleBaseline R50 256x192")
def test_simple_baseline_folded(benchmark: Callable, image: Tensor) -> None:
    ours = build_model("simple_baseline", "r50_256x192")
    calibrate(ours, INPUT_HW)
    flat = folded(ours, image).to(memory_format=torch.channels_last)
    run(benchmark, flat, image.contiguous(memory_format=torch.channels_last))


# ---------------------------------------------------------------------------------------------------- HRNet


@pytest.mark.benchmark(group="HRNet W32 256x192")
def test_hrnet(benchmark: Callable, image: Tensor) -> None:
    ours = build_model("hrnet", "w32_256x192")
    assert parameters(ours) == parameters(PlainHRNet())
    assert run(benchmark, ours, image).shape == (1, 17, 64, 48)


@pytest.mark.benchmark(group="HRNet W32 256x192")
def test_hrnet_plain(benchmark: Callable, image: Tensor) -> None:
    assert run(benchmark, PlainHRNet(), image).shape == (1, 17, 64, 48)


@pytest.mark.benchmark(group="HRNet W32 256x192")
def test_hrnet_folded(benchmark: Callable, image: Tensor) -> None:
    ours = build_model("hrnet", "w32_256x192")
    calibrate(ours, INPUT_HW)
    flat = folded(ours, image).to(memory_format=torch.channels_last)
    run(benchmark, flat, image.contiguous(memory_format=torch.channels_last))
