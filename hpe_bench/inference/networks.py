"""Networks ready to answer: a paper's variant with weights, one of our trained runs, or somebody's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.data.folders import file_sha256
from hpe_bench.data.known_skeletons import order_of
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Arm, Curriculum, Recipe, Trained, Variant, fingerprint
from hpe_bench.inference import weights
from hpe_bench.inference.model_file import FileNetwork, InputConvention, ModelFile, file_predictor, names_of, told
from hpe_bench.inference.predictors import Estimator
from hpe_bench.plan import arms_of
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.training.checkpoints import weights_digest


@dataclass(frozen=True, eq=False)
class Network:
    """A module from normalised RGB [B,3,H,W] to a list of raw heatmaps, the activation that belongs to it, its name."""

    module: nn.Module
    input_hw: tuple[int, int]
    activate: Callable[[Tensor], Tensor]
    name: str
    weights_sha256: str
    runtime: str  # what runs it, and how it was told to


def of_paper(slug: str, variant: str, recipe: str | None, file: Path, skeleton: Skeleton) -> Network:
    """A paper's variant with the weights of a file, released or ours; its joints must be the skeleton's.

    The recipe tells the activation; it must be named where the paper's recipes have different losses.
    """
    loaded = catalog.load(slug)
    return _filled(loaded, catalog.find_variant(loaded, variant), _recipe(loaded, recipe), file, skeleton)


def of_run(file: Path, records: Iterable[RunRecord], skeleton: Skeleton) -> Network:
    """A trained run by its weights file; ValueError unless a training's record says what these weights belong to.

    Variant and recipe may be declared by any paper: a control is trained in the study of the paper it is held against,
    and so is a teacher.
    """
    record = query.of(records).trained(weights_digest(weights.read_weight_file(file)))
    if record is None:
        raise ValueError(f"{file}: no record of a training has these weights; name --paper and --variant")
    i = record.identity
    loaded = catalog.load(i.paper)
    arms = [a for p in (loaded, *catalog.load_all()[0]) for s in p.paper.studies for a in arms_of(s)]
    teachers = [a.recipe.teacher for a in arms if isinstance(a.recipe, Curriculum) and a.recipe.teacher is not None]
    settings: list[Arm | Trained] = [*arms, *teachers]
    trained = [t for t in settings if t.paper == i.paper]
    variants = [*loaded.paper.variants, *(t.variant for t in trained)]
    recipes = [*catalog.all_recipes(loaded.paper), *(t.recipe for t in trained)]
    variant = next((v for v in variants if fingerprint(v) == i.variant_hash), None)
    recipe = next((r for r in recipes if fingerprint(r) == i.recipe_hash), None)
    if variant is None or recipe is None:
        raise ValueError(
            f"{file}: no paper declares any longer what this run trained ({i.paper}, {i.variant}, {i.recipe}); name "
            "--paper, --variant and --recipe"
        )
    return _filled(loaded, variant, recipe, file, skeleton)


def of_file(
    path: Path, convention: InputConvention, skeleton: Skeleton, input_hw: tuple[int, int] | None = None
) -> Network | Estimator:
    """Somebody's network as a file: a network where it gives heatmaps, else a predictor of joints.

    `input_hw` is for files that take images of any size.
    """
    file = ModelFile(path, convention, input_hw)
    names = names_of(convention, skeleton)
    order_of(names, skeleton, f"{path}: its joints have")  # said before it is asked what it gives
    reading = told(file, len(names))
    digest = file_sha256(path)
    runtime = f"{file.runner.version}, {convention.described}"
    if reading.gives == "heatmaps":
        activate = Tensor.sigmoid if convention.activation == "sigmoid" else _as_it_is
        module = FileNetwork(file, reading, skeleton)
        return Network(module, file.input_hw, activate, path.name, digest, runtime)
    predictor = file_predictor(file, reading, skeleton)
    return Estimator(predictor, path.name, digest, f"{runtime}; {predictor.described}")


def activation(loaded: LoadedPaper, recipe: str | None) -> Callable[[Tensor], Tensor]:
    """How a paper's raw heatmaps are activated: by the named recipe, or by any if all its recipes do the same."""
    recipes = catalog.all_recipes(loaded.paper) if recipe is None else [_recipe(loaded, recipe)]
    first, *others = (r.loss.activate for r in recipes)
    probe = torch.linspace(-8, 8, 33).view(1, 1, 3, 11)
    if any(not torch.equal(first(probe), other(probe)) for other in others):
        raise _unnamed(loaded, [r.name for r in recipes])
    return first


def _as_it_is(maps: Tensor) -> Tensor:
    return maps


def _recipe(loaded: LoadedPaper, name: str | None) -> Recipe:
    """A recipe by name, or any of a paper's if they share one loss."""
    paper = loaded.paper
    recipes = {r.name: r for r in catalog.all_recipes(loaded.paper)}
    if name is not None:
        if name not in recipes:
            raise ValueError(f"{paper.slug} has no recipe {name!r}; {catalog.nearest(name, recipes)}")
        return recipes[name]
    if len({fingerprint(r.loss) for r in recipes.values()}) > 1:
        raise _unnamed(loaded, recipes)
    return next(iter(recipes.values()))


def _unnamed(loaded: LoadedPaper, recipes: Iterable[str]) -> ValueError:
    return ValueError(
        f"{loaded.paper.slug} trains with several losses, which decide how its heatmaps are read; name the recipe with "
        f"--recipe: {', '.join(dict.fromkeys(recipes))}"
    )


def _filled(loaded: LoadedPaper, variant: Variant, recipe: Recipe, file: Path, skeleton: Skeleton) -> Network:
    module: nn.Module = variant.builder(joints=len(skeleton.joints))
    weights.load_weights(module, file)
    name = f"{loaded.paper.slug}/{variant.name}"
    digest, runtime = weights_digest(module.state_dict()), f"torch {torch.__version__}, recipe {recipe.name}"
    return Network(module, variant.input_hw, recipe.loss.activate, name, digest, runtime)
