"""What every paper folder keeps to, bundled or the user's own (`HPE_BENCH_PAPERS`)."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.commands import new
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Arm, Batch, Variant, canonical, fingerprint, replace
from hpe_bench.inference.predictor import merged_maps
from hpe_bench.training.stages import spans, trained_parameters

SLUGS = catalog.slugs()
METRIC = re.compile(r"[a-z][a-z0-9_-]*(@<?\d\.\d+)?(/[a-z_]+)*")


@pytest.fixture(params=SLUGS)
def loaded(request: pytest.FixtureRequest) -> LoadedPaper:
    return catalog.load(request.param)


def arms(loaded: LoadedPaper) -> Iterator[Arm]:
    for study in loaded.paper.studies:
        yield from study.arms


def miniatures(loaded: LoadedPaper, what: Callable[[Arm], object]) -> Iterator[Arm]:
    """The paper's own arms that train a miniature, once for each of what a test looks at."""
    seen: set[str] = set()
    for arm in arms(loaded):
        if arm.variant.scale == "pocket" and arm.paper == loaded.paper.slug:
            mark = fingerprint(what(arm))
            if mark not in seen:
                seen.add(mark)
                yield arm


def pocket_variants(loaded: LoadedPaper) -> list[Variant]:
    return [v for v in loaded.paper.variants if v.scale == "pocket"]


def build(variant: Variant, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = variant.builder(joints=variant.joints)
    return model


def images(variant: Variant, count: int = 2) -> Tensor:
    return torch.randn(count, 3, *variant.input_hw, generator=torch.Generator().manual_seed(0))


def batch_for(variant: Variant) -> Batch:
    """Two persons with joints all over the crop; the second one's first joint is not labelled."""
    height, width = variant.input_hw
    share = torch.rand(2, variant.joints, 2, generator=torch.Generator().manual_seed(0))
    labelled = torch.ones(2, variant.joints)
    labelled[1, 0] = 0
    return Batch(images(variant), share * torch.tensor([width - 1.0, height - 1.0]), labelled, labelled)


# ------------------------------------------------------------------------------------------------ the folder


def test_the_folder_says_what_it_is_and_how_to_run_it(loaded: LoadedPaper) -> None:
    command = f"make reproduce PAPER={loaded.paper.slug}"
    assert command in (loaded.folder / "README.md").read_text(encoding="utf-8")
    assert command in (sys.modules[f"hpe_bench.papers.{loaded.paper.slug}.paper"].__doc__ or "")
    for field in ("title", "authors", "venue", "url", "bibtex", "summary", "reading"):
        assert getattr(loaded.paper, field), f"{field} is empty"


def test_nothing_is_left_of_what_new_wrote_to_be_replaced(loaded: LoadedPaper) -> None:
    assert new.unfilled(loaded.folder) == []


def test_variants_differ_in_more_than_the_name(loaded: LoadedPaper) -> None:
    """Two names for one model would be two rows of one measurement (F26)."""
    seen: dict[str, str] = {}
    for variant in loaded.paper.variants:
        what = str([canonical(x) for x in (variant.builder, variant.input_hw, variant.joints)])
        assert what not in seen, f"{variant.name} is {seen[what]} under another name"
        seen[what] = variant.name


# ------------------------------------------------------------------------------------------------ models


def test_models_give_heatmaps_of_the_declared_size(loaded: LoadedPaper) -> None:
    """Full-size ones too, on the meta device; one input size for each builder, whose stride is the same at all."""
    strides: dict[object, int] = {}
    for variant in loaded.paper.variants:
        if variant.builder in strides:
            assert strides[variant.builder] == variant.stride, variant.name
            continue
        strides[variant.builder] = variant.stride
        with on_meta(), torch.no_grad():
            outputs = variant.builder(joints=variant.joints).eval()(torch.empty(2, 3, *variant.input_hw))
        assert isinstance(outputs, list), variant.name
        assert outputs[-1].shape == (2, variant.joints, *variant.heatmap_hw), variant.name
        sizes = [tuple(maps.shape[-2:]) for maps in outputs]
        assert sizes == sorted(sizes), f"{variant.name}: outputs must go from coarse to fine, got {sizes}"


def test_another_number_of_joints_is_possible(loaded: LoadedPaper) -> None:
    for variant in pocket_variants(loaded):
        with on_meta():
            outputs = variant.builder(joints=14).eval()(torch.empty(1, 3, *variant.input_hw))
        assert outputs[-1].shape == (1, 14, *variant.heatmap_hw), variant.name


def test_weights_depend_on_the_seed_and_survive_a_round_trip(loaded: LoadedPaper) -> None:
    for variant in pocket_variants(loaded):
        model, again, other = build(variant), build(variant), build(variant, seed=1)
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        assert all(torch.equal(v, weights[k]) for k, v in again.state_dict().items()), variant.name
        assert any(not torch.equal(v, weights[k]) for k, v in other.state_dict().items()), variant.name
        other.load_state_dict(weights, strict=True)
        with torch.inference_mode():
            ours, theirs = model.eval()(images(variant)), other.eval()(images(variant))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), variant.name


def test_miniatures_learn_from_a_batch(loaded: LoadedPaper) -> None:
    """A few steps of every stage of an arm's recipe, by its own loss, at the learning rate of a warm-up's middle.

    The loss is one finite number and falls, and all that the stage trains has a say.
    """
    for arm in miniatures(loaded, lambda arm: (arm.variant, arm.recipe)):
        model, batch = build(arm.variant).train(), batch_for(arm.variant)
        teacher_BJHW, _ = arm.recipe.codec.encode(
            batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, arm.variant.heatmap_hw
        )
        for span in spans(arm.recipe, 100):
            where = f"{arm.name}, {span.stage.name}"
            shown = replace(batch, teacher_BJHW=teacher_BJHW if span.stage.loss.needs_teacher else None)
            trained = trained_parameters(model, span.stage)
            optimiser = torch.optim.Adam(trained, lr=arm.recipe.optimiser.lr / 4)
            model.zero_grad()
            losses = []
            for step in range(8):
                loss = span.stage.loss(model(shown.images_B3HW), shown, arm.recipe.codec)
                assert loss.shape == (), where
                loss.backward()  # type: ignore[no-untyped-call]
                if step == 0:
                    finite = {id(p) for p in model.parameters() if p.grad is not None and torch.isfinite(p.grad).all()}
                    wrong = [n for n, p in model.named_parameters() if id(p) in finite ^ {id(p) for p in trained}]
                    assert not wrong, f"{where}: {wrong[:3]}"
                optimiser.step()
                optimiser.zero_grad()
                losses.append(loss.item())
            assert losses[-1] < losses[0] < math.inf, f"{where}: {losses[0]:.4f} -> {losses[-1]:.4f}"


def test_a_mirrored_image_gives_mirrored_maps(loaded: LoadedPaper) -> None:
    """The flip test's average of a mirrored crop, brought back, is that of the crop (F7), whatever the network.

    A codec's shift loses a column at the border; all others must agree.
    """
    pairs = COCO_17.flip_pairs
    for arm in miniatures(loaded, lambda arm: (arm.variant, arm.recipe.codec, arm.recipe.loss)):
        model, codec, activate = build(arm.variant).eval(), arm.recipe.codec, arm.recipe.loss.activate
        x = images(arm.variant)
        with torch.inference_mode():
            maps = merged_maps(model, x, codec, activate, pairs)
            back = codec.unflip(merged_maps(model, x.flip(-1), codec, activate, pairs), pairs)
        torch.testing.assert_close(back[..., 1:-1], maps[..., 1:-1], msg=lambda m, a=arm: f"{a.name}: {m}")  # type: ignore[misc]


def test_activated_maps_decode_to_one_point_and_score_a_joint(loaded: LoadedPaper) -> None:
    """Even of a network that knows nothing. Where the points lie does not matter: DARK's step is large on flat maps."""
    for arm in miniatures(loaded, lambda arm: (arm.variant, arm.recipe.codec, arm.recipe.loss)):
        with torch.inference_mode():
            raw = build(arm.variant).eval()(images(arm.variant))[-1]
        joints, scores = arm.recipe.codec.decode(arm.recipe.loss.activate(raw), arm.variant.input_hw)
        assert joints.shape == (2, arm.variant.joints, 2), arm.name
        assert scores.shape == (2, arm.variant.joints), arm.name
        assert torch.isfinite(joints).all(), arm.name
        assert torch.isfinite(scores).all(), arm.name


# ------------------------------------------------------------------------------------------------ studies


def test_arms_train_variants_that_their_papers_declare(loaded: LoadedPaper) -> None:
    """The very same declaration: an arm with a changed copy would be another model under a declared name."""
    for arm in arms(loaded):
        declared = catalog.find_variant(catalog.load(arm.paper), arm.variant.name)
        assert fingerprint(declared) == fingerprint(arm.variant), arm.name


def test_one_recipe_name_means_one_recipe(loaded: LoadedPaper) -> None:
    prints: dict[str, str] = {}
    for recipe in (*loaded.paper.recipes, *(arm.recipe for arm in arms(loaded))):
        assert prints.setdefault(recipe.name, fingerprint(recipe)) == fingerprint(recipe), recipe.name


def test_the_headline_is_a_miniature_with_several_seeds(loaded: LoadedPaper) -> None:
    headline = loaded.paper.headline
    assert headline.seeds >= 3
    assert len(headline.arms) >= 2
    assert all(arm.variant.scale == "pocket" for arm in headline.arms)
    assert any(arm.paper == loaded.paper.slug for arm in headline.arms)


# ------------------------------------------------------------------------------------------------ claims


def test_claims_name_variants_baselines_and_metrics_that_exist(loaded: LoadedPaper) -> None:
    assert loaded.claims
    for claim in loaded.claims:
        assert METRIC.fullmatch(claim.metric), f"{claim.id}: metric {claim.metric!r}"
        assert "@" in claim.metric or not claim.metric.startswith("pck"), f"{claim.id}: threshold missing (F11)"
        if claim.variant and claim.input_hw:
            assert catalog.find_variant(loaded, claim.variant).input_hw == claim.input_hw, claim.id
        if claim.baseline:
            slug, _, name = claim.baseline.partition("/")
            catalog.find_variant(catalog.load(slug), name)


def test_claims_say_where_they_come_from_and_how_costs_were_counted(loaded: LoadedPaper) -> None:
    for claim in loaded.claims:
        assert claim.statement, claim.id
        if claim.status != "unknown":
            assert claim.source, claim.id
        if claim.metric == "macs" and claim.kind != "direction":
            assert claim.convention, claim.id
