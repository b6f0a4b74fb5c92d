"""A small invented paper for tests of verdicts and pages; its builders are never called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpe_bench.declare import Ablation, Arm, Claim, Codec, Loss, Paper, Recipe, Variant, replace


@dataclass(frozen=True)
class NoCodec(Codec):
    def encode(self, *_: Any) -> Any: ...

    def decode(self, *_: Any) -> Any: ...

    def unflip(self, *_: Any) -> Any: ...


@dataclass(frozen=True)
class NamedLoss(Loss):
    name: str

    def __call__(self, *_: Any) -> Any: ...

    def activate(self, *_: Any) -> Any: ...


def build(joints: int = 17) -> Any:
    raise AssertionError("no verdict and no page builds a model")


FULL = Variant("small_256x192", build, (256, 192), reading="ours")
PRINTED = Variant("printed_256x192", build, (256, 192))
POCKET = Variant("pocket", build, (128, 96), scale="pocket")
BASE_POCKET = replace(POCKET, name="base_pocket")
BASE_FULL = Variant("big_256x192", build, (256, 192))  # of the other paper

MSE = Recipe("mse", NamedLoss("mse"), NoCodec(), samples=40_000, batch=32)
RCE = replace(MSE, name="rce", loss=NamedLoss("rce"))

CONTROL = Arm("base_mse", "base", BASE_POCKET, MSE, "Base, squared error")
PROPOSAL = Arm("tiny_rce", "tiny", POCKET, RCE, "Tiny, RCE")
OLD_LOSS = Arm("tiny_mse", "tiny", POCKET, MSE, "Tiny, squared error")

PAPER = Paper(
    slug="tiny",
    title="Tiny: an invented network",
    authors="Ann Author, Bo Writer",
    venue="Journal of Examples",
    year=2020,
    url="https://example.org/tiny",
    bibtex="@article{tiny2020, title = {Tiny}}",
    summary="It is smaller.",
    reading="All of it is invented.",
    variants=(FULL, PRINTED, POCKET),
    recipes=(RCE, MSE),
    headline=Ablation("headline", "Is it as accurate?", (CONTROL, PROPOSAL), "base_mse"),
    ablations=(Ablation("losses", "What does the loss do?", (CONTROL, PROPOSAL, OLD_LOSS), "base_mse"),),
)


def claim(**changes: Any) -> Claim:
    """A parameter claim with some fields changed."""
    fields: dict[str, Any] = {
        "id": "c",
        "statement": "It has 34.0 million parameters",
        "printed": "34.0",
        "variant": "printed_256x192",
        "baseline": "",
        "kind": "value",
        "metric": "params",
        "convention": "",
        "value": 34.0,
        "unit": "M",
        "input_hw": None,
        "protocol": "",
        "source": "Table 1",
        "status": "published",
    }
    return Claim(**{**fields, **changes})


def macs(**changes: Any) -> Claim:
    """A MAC claim under the HRNet counter with some fields changed."""
    like = {"metric": "macs", "convention": "hrnet_counter", "printed": "8.9", "value": 8.9, "unit": "GMAC/2^30"}
    return claim(**{**like, **changes})


def relation(**changes: Any) -> Claim:
    """A claim against the other paper's network with some fields changed."""
    like = {
        "variant": "small_256x192",
        "baseline": "base/big_256x192",
        "kind": "difference",
        "metric": "ap",
        "printed": "1.3",
        "value": 1.3,
        "unit": "points",
    }
    return claim(**{**like, **changes})
