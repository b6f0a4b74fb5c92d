"""The count by fvcore: it agrees with what torch dispatches, prints what fvcore prints, and knows people's networks."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from typer.testing import CliRunner

from hpe_bench import catalog
from hpe_bench.cli import app
from hpe_bench.cost import counts, kept
from hpe_bench.cost.count_cache import cached_count, count_variant
from hpe_bench.cost.counts import count, reconciled
from hpe_bench.cost.dispatched import count_dispatched, count_on_meta
from hpe_bench.cost.einsum import contraction
from hpe_bench.cost.free_operators import is_free
from hpe_bench.cost.model_cost import Cost
from hpe_bench.run.counting import cost_absences, cost_measurements, count_of

MINIATURES = [(p.paper.slug, "pocket") for p in catalog.load_all()[0]]
FULL = [("simple_baseline", "r50_128x96")]  # the whole list is held to this now and then; it takes minutes


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPE_BENCH_CACHE", str(tmp_path))
    return tmp_path / "counts"


@pytest.mark.parametrize(("slug", "name"), [*MINIATURES, *FULL])
def test_two_counters_agree_on_every_module_and_kind(slug: str, name: str) -> None:
    v = catalog.find_variant(catalog.load(slug), name)
    found, quick = count_variant(v), count_on_meta(v.builder, v.joints, v.input_hw)
    assert (found.disagreement, found.uncounted) == ("", ())
    assert found.macs_fvcore_default is not None
    assert found.macs_fvcore_default > found.macs
    assert replace(found, macs_fvcore_default=None) == quick


# ---------------------------------------------------------------------------------------- people's own networks


class Own(nn.Module):
    """A convolution of 3 to 8 channels, 12x12, and something after it."""

    MACS = 3 * 8 * 9 * 144

    def __init__(self, then: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.then = then

    def forward(self, x: Tensor) -> list[Any]:
        return [self.then(self.first(x))]


W = torch.ones(8, 8)
FREE: dict[str, Callable[[Tensor], Any]] = {
    "pow": lambda x: x**2,
    "sqrt": lambda x: x.abs().sqrt(),
    "exp": torch.exp,
    "neg": lambda x: -x,
    "clamp": lambda x: torch.clamp(x + 3, 0, 6) / 6,
    "where": lambda x: torch.where(x > 0, x, -x),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "roll": lambda x: x.roll(1, 2),
    "flip": lambda x: x.flip(3),
    "arange": lambda x: x + torch.arange(12),
    "linspace": lambda x: x + torch.linspace(0, 1, 12),
    "ones": lambda x: x + torch.ones(1) + torch.zeros_like(x),
    "argmax": lambda x: x.argmax(1),
    "amax": lambda x: x.amax(1),
    "max": lambda x: x.max(1)[0],
    "norm": lambda x: x.norm(dim=1),
    "elu": F.elu,
    "mish": F.mish,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "log_softmax": lambda x: x.log_softmax(1),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "wrap": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "grid_sample": lambda x: F.grid_sample(x, torch.zeros(1, 5, 5, 2), align_corners=False),
    "unbind": lambda x: x.unbind(1)[0],
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "mask": lambda x: x[x > 0],
    "var_mean": lambda x: torch.var_mean(x, 1)[1],
    "cumsum": lambda x: x.cumsum(1),
    "topk": lambda x: x.topk(2, 1)[0],
    "one_hot": lambda x: F.one_hot(x.argmax(1), 8),
    "rand": lambda x: x + torch.rand_like(x),
    "dropout": lambda x: F.dropout(x, 0.5, True),
    "unfold": lambda x: F.fold(F.unfold(x, 3), (12, 12), 3),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "rms_norm": lambda x: F.rms_norm(x, (12,)),
    "normalize": F.normalize,
    "cosine": lambda x: F.cosine_similarity(x, x),
    "glu": lambda x: F.glu(x, 1),
    "meshgrid": lambda x: x + torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")[0],
    "soft-argmax": lambda x: (x.flatten(2).softmax(2) * torch.arange(144)).sum(2),
    "scatter": lambda x: x.scatter(1, x.argmax(1, keepdim=True), 1.0),
    "kron": lambda x: torch.kron(x[0, 0], torch.ones(2, 2)),
    "median": lambda x: x.median(1)[0],
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "rearranged": lambda x: torch.einsum("nchw->nhwc", x),
}
PRODUCTS: dict[str, tuple[Callable[[Tensor], Any], int]] = {
    "matmul": (lambda x: x @ x.transpose(2, 3), 8 * 12**3),
    "linear": (lambda x: F.linear(x.mT.flatten(0, 2), torch.ones(5, 12)), 8 * 144 * 5),
    "mv": (lambda x: W.mv(x.mean((0, 2, 3))), 64),
    "dot": (lambda x: x.flatten().dot(x.flatten()), 1152),
    "bmm": (lambda x: torch.bmm(x[0], x[0]), 8 * 12**3),
    "baddbmm": (lambda x: torch.baddbmm(x[0], x[0], x[0]), 8 * 12**3),
    "addbmm": (lambda x: torch.addbmm(x[0, 0], x[0], x[0]), 8 * 12**3),
    "addmm": (lambda x: torch.addmm(x[0, 0], x[0, 0], x[0, 0]), 12**3),
    "inner": (lambda x: torch.inner(x.permute(0, 2, 3, 1), W), 144 * 64),
    "tensordot": (lambda x: torch.tensordot(x, W, ([1], [0])), 144 * 64),
    "multi_dot": (lambda x: torch.linalg.multi_dot([x[0, 0], x[0, 0], x[0, 0]]), 2 * 12**3),
    "einsum": (lambda x: torch.einsum("nchw,cd->ndhw", x, W), 144 * 64),
    "three factors": (lambda x: torch.einsum("nchw,cd,de->nehw", x, W, W), 2 * 144 * 64),
    "dots": (lambda x: torch.einsum("...hw,wk->...hk", x, torch.ones(12, 4)), 96 * 12 * 4),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), 2 * 8 * 12**3),
    "masked attention": (lambda x: F.scaled_dot_product_attention(x, x, x, torch.zeros(12, 12)), 2 * 8 * 12**3),
    "padding by a word": (lambda x: F.conv2d(x, torch.ones(4, 8, 3, 3), padding="same"), 288 * 144),
    "conv1d": (lambda x: F.conv1d(x[0], torch.ones(4, 12, 3)), 8 * 144 * 10),
    "no batch": (lambda x: F.conv2d(x[0], torch.ones(4, 8, 3, 3)), 288 * 100),
    "conv3d": (lambda x: F.conv3d(x[:, None], torch.ones(2, 1, 3, 3, 3)), 54 * 600),
}


@pytest.mark.parametrize("name", FREE)
def test_what_multiplies_nothing_costs_nothing(name: str) -> None:
    cost = count(Own(FREE[name]), (12, 12))
    assert (cost.uncounted, cost.disagreement, cost.macs) == ((), "", Own.MACS)
    assert cost.activations == 8 * 144


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_cost_what_they_sum(name: str) -> None:
    then, macs = PRODUCTS[name]
    cost = count(Own(then), (12, 12))
    assert (cost.uncounted, cost.disagreement, cost.macs) == ((), "", Own.MACS + macs)


class Sequence(nn.Module):
    """Rows of one channel, as a sequence of 8 steps of 6 elements, batch first."""

    def __init__(self, layer: nn.Module, packed: bool = False) -> None:
        super().__init__()
        self.layer, self.packed = layer, packed

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0]
        if self.packed:
            rows = nn.utils.rnn.pack_padded_sequence(rows, torch.tensor([8]), batch_first=True)  # type: ignore[assignment]
        given = self.layer(rows)[0]
        return given.data if self.packed else given


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
        (nn.LSTM, {"proj_size": 3}),
        (nn.GRU, {"num_layers": 2}),
        (nn.RNN, {"nonlinearity": "relu"}),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent_layers_use_every_weight_once_a_step(kind: Any, more: dict[str, Any], packed: bool) -> None:
    layer = kind(6, 5, batch_first=True, **more)
    cost = count(Sequence(layer, packed), (8, 6))
    assert (cost.uncounted, cost.disagreement) == ((), "")
    assert cost.macs == 8 * sum(p.numel() for p in layer.parameters() if p.ndim == 2)


class Attentive(nn.Module):
    """36 tokens of 16 elements through one attention; in training it would run composed, in eval mode fused."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.first(x).flatten(2)
        tokens = tokens.transpose(1, 2) if self.batch_first else tokens.permute(2, 0, 1)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_attention_costs_the_same_on_its_fast_path_and_off_it(batch_first: bool, fast: bool) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        cost = count(Attentive(batch_first), (6, 6))
        assert torch.backends.mha.get_fastpath_enabled() == fast
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert (cost.uncounted, cost.disagreement) == ((), "")
    assert cost.macs == 3 * 16 * 36 + 2 * 36**2 * 16 + 4 * 36 * 16**2


OWN_NETWORKS = """
import torch
from torch import nn

class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 16, 16)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.up, self.head = nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.Conv2d(32, 17, 1)
    def forward(self, x):
        f = self.patches(x)
        b, c, h, w = f.shape
        f = self.body(f.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(b, c, h, w)
        return self.head(self.up(f))

class Coordinates(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(5, 17, 3, 4, 1)
    def forward(self, x):
        b, _, h, w = x.shape
        yy, xx = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        return self.c(torch.cat([x, yy.expand(b, 1, h, w), xx.expand(b, 1, h, w)], 1))

class Spectral(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 17, 3, 4, 1)
    def forward(self, x):
        return torch.fft.rfft2(self.c(x)).real

class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("no such thing")
"""


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(OWN_NETWORKS)
    return file


def counted(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["profile", *arguments, "--counts"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_own_networks_on_the_command_line(own_file: Path) -> None:
    vit = counted(f"{own_file}:Vit", "--inputs", "64x64")
    macs = (
        3 * 32 * 256 * 16
        + 2 * (4 * 16 * 32 * 32 + 2 * 16 * 16 * 32 + 2 * 16 * 32 * 64)
        + 32 * 32 * 16 * 16
        + 32 * 17 * 64
    )
    assert macs == 985_088
    assert "58,673" in vit
    assert "0.985" in vit
    assert "lower bound" not in vit
    two = counted(f"{own_file}:Coordinates", "--inputs", "64x64,128x64")
    assert "0.196" in two
    assert "0.392" in two


def test_an_unknown_operator_is_told_with_the_count_beside_it(own_file: Path) -> None:
    text = counted(f"{own_file}:Spectral", "--inputs", "64x64")
    assert f">={3 * 9 * 17 * 256 / 1e6:.3f}" in text
    assert "aten::" in text
    assert "lower bound" in text
    assert f"{3 * 9 * 17 + 17}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--inputs", "64x64", "--threads", "2"], ["--counts", "--inputs"]),
        (["--inputs", "64x64"], ["Failing", "64x64", "no such thing"]),
        ([], ["--inputs", "256x192"]),
    ],
)
def test_counts_that_cannot_be_had(own_file: Path, arguments: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(app, ["profile", f"{own_file}:Failing", *arguments, "--counts"])
    assert result.exit_code != 0
    told = result.output + str(result.exception)
    assert all(word in told for word in words)


def test_a_record_of_an_incomplete_count_keeps_sizes_and_names_the_operator() -> None:
    cost = count(Own(lambda x: torch.fft.rfft2(x).real), (12, 12))
    kept = {m.key: m.value for m in cost_measurements(cost)}
    assert "macs" not in kept
    assert "macs/hrnet_counter" not in kept
    assert kept["macs/lower_bound"] == Own.MACS
    assert (kept["params"], kept["weight_bytes"], kept["activations"]) == (224, 896, 8 * 144)
    (absent,) = cost_absences(cost)
    assert absent.key == "macs"
    assert "fft" in absent.reason
    assert f"{Own.MACS:,}" in absent.reason


class Untraceable(nn.Module):
    """Gives what the tracer cannot take."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Any:
        return {1: object(), "maps": self.c(x)}


def test_a_network_that_fvcore_cannot_trace_is_counted_by_what_is_dispatched() -> None:
    cost = count(Untraceable(), (12, 12))
    assert (cost.macs, cost.macs_fvcore_default, cost.uncounted) == (216 * 100, None, ())


class Unwatchable(Own):
    """Works until somebody looks."""

    def forward(self, x: Tensor) -> list[Any]:
        if torch._C._len_torch_dispatch_stack():
            raise RuntimeError("not like this")
        return super().forward(x)


class Uncountable(Own):
    """Fails whoever counts it."""

    def forward(self, x: Tensor) -> list[Any]:
        raise RuntimeError("not like this")


def test_one_counter_is_enough_and_without_any_the_sizes_are_left() -> None:
    assert count(Unwatchable(torch.relu), (12, 12)).macs == Own.MACS
    with pytest.raises(RuntimeError, match="not like this"):
        count(Uncountable(torch.relu), (12, 12))
    cost = count_of(None, Uncountable(torch.relu), (12, 12))
    assert (cost.params, cost.weight_bytes, cost.is_lower_bound) == (224, 896, True)
    assert "not like this" in cost.uncounted[0]


def test_counting_leaves_every_module_in_its_own_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count(model, (8, 8))
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_network_of_another_type_of_numbers_without_weights_is_counted() -> None:
    assert count(nn.Conv2d(3, 4, 1).double(), (8, 8)).macs == 12 * 64
    assert count(nn.MaxPool2d(2), (8, 8)).macs == 0


# ---------------------------------------------------------------------------------------- conventions


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.GroupNorm(2, 8), nn.AdaptiveAvgPool2d(1)),
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 10), nn.LayerNorm(10)),
        Own(lambda x: torch.einsum("nchw,cd->ndhw", x, W)),
        Attentive(True),
    ],
)
def test_the_default_is_what_fvcore_prints(model: nn.Module) -> None:
    hw = (6, 6) if isinstance(model, Attentive) else (12, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(model.eval(), torch.zeros(1, 3, *hw)).unsupported_ops_warnings(False)
        assert count(model, hw).macs_fvcore_default == analysis.uncalled_modules_warnings(False).total()


def test_conventions_by_hand() -> None:
    """A transposed convolution of stride 2, then a normalisation with scale and shift: 2 flops a value by fvcore."""
    cost = count(nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.BatchNorm2d(8)), (6, 5))
    true = 3 * 8 * 16 * 30
    assert (cost.macs, cost.macs_hrnet_counter, cost.macs_fvcore_default) == (true, 4 * true, true + 2 * 8 * 120)


def test_shapes_that_fvcores_own_handlers_refuse_leave_its_default_out() -> None:
    cost = count(Own(lambda x: torch.matmul(W, x.mean((0, 2, 3)))), (12, 12))
    assert (cost.macs, cost.macs_fvcore_default) == (Own.MACS + 64, None)


# ---------------------------------------------------------------------------------------- disagreement


def test_counters_that_disagree_are_told_and_kept() -> None:
    cost = count(Own(torch.relu), (12, 12))
    other = reconciled(cost, replace(cost, macs=cost.macs + 1))
    assert other.macs == cost.macs
    assert f"{cost.macs + 1:,}" in other.disagreement
    assert [a.key for a in cost_absences(other)] == ["agreement of the counters"]
    assert "macs" in {m.key for m in cost_measurements(other)}


def test_a_whole_count_comes_before_a_lower_bound_and_a_higher_bound_before_a_lower() -> None:
    cost = count(Own(torch.relu), (12, 12))
    low, high = (replace(cost, macs=n, uncounted=("aten::x",)) for n in (1, 2))
    assert reconciled(low, cost).macs == cost.macs
    assert reconciled(cost, low) == cost
    assert reconciled(low, high).macs == 2
    assert reconciled(high, low).macs == 2


@pytest.mark.parametrize(
    "name",
    ["mm", "linear", "einsum", "_convolution", "lstm", "scaled_dot_product_attention", "cdist", "fft_rfft2",
     "linalg_inv", "bilinear", "matrix_exp", "mkldnn_rnn_layer", "_native_multi_head_attention", "no_such_operator"],
)  # fmt: skip
def test_what_multiplies_matrices_is_never_free(name: str) -> None:
    assert not is_free(name)


LETTERS = "abcde"


@given(st.integers(0, 2**32 - 1))
def test_contractions_cost_what_torch_makes_of_them(seed: int) -> None:
    """Torch makes a matrix product where something is summed, and multiplies element by element otherwise."""
    draw = random.Random(seed)
    sizes = {c: draw.randint(1, 4) for c in LETTERS}
    left, right = ("".join(draw.sample(LETTERS, draw.randint(1, 4))) for _ in range(2))
    kept = "".join(c for c in LETTERS if c in left + right and draw.random() < 0.5)
    equation = f"{left},{right}->{kept}"
    a, b = (torch.ones([sizes[c] for c in term]) for term in (left, right))

    class Einsum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum(equation, a, b)

    macs, written = contraction(equation, [tuple(a.shape), tuple(b.shape)])
    summed = [sizes[c] for c in set(left) & set(right) - set(kept) if sizes[c] > 1]
    expected = prod(sizes[c] for c in kept) if summed else 0
    quick = count_dispatched(Einsum(), (4, 4))
    assert (quick.macs, quick.activations) == (macs, written) == (expected * prod(summed), expected)


# ---------------------------------------------------------------------------------------- the cache


def fail(*arguments: Any) -> Cost:
    raise AssertionError("counted again")


def test_a_network_is_counted_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    v = catalog.find_variant(catalog.load("fasterpose"), "pocket")
    state = torch.random.get_rng_state()
    first = count_variant(v)
    assert torch.equal(torch.random.get_rng_state(), state)
    monkeypatch.setattr(counts, "count", fail)
    assert count_variant(v) == first
    for joints, hw in ((16, v.input_hw), (v.joints, (64, 64))):
        with pytest.raises(AssertionError, match="counted again"):
            cached_count(v.builder, joints, hw)


def test_a_changed_network_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    v = catalog.find_variant(catalog.load("fasterpose"), "pocket")
    count_variant(v)
    monkeypatch.setattr(kept, "code_digest", lambda objects: "another")
    monkeypatch.setattr(counts, "count", fail)
    with pytest.raises(AssertionError, match="counted again"):
        count_variant(v)


@pytest.mark.parametrize("damage", ["emptied", "cut", "one digit", "of another kind", "a folder"])
def test_a_damaged_entry_is_counted_again(own_cache: Path, damage: str) -> None:
    v = catalog.find_variant(catalog.load("fasterpose"), "pocket")
    first = count_variant(v)
    (entry,) = own_cache.iterdir()
    whole = entry.read_bytes()
    if damage == "a folder":
        entry.unlink()
        entry.mkdir()
    else:
        entry.write_bytes(
            {
                "emptied": b"",
                "cut": whole[:-9],
                "one digit": whole.replace(b'"params":1', b'"params":2', 1).replace(b'"params":3', b'"params":4', 1),
                "of another kind": b"[]",
            }[damage]
        )
    assert count_variant(v) == first
    if damage != "a folder":
        assert entry.read_bytes() == whole
