"""Full-size trainings: which ones a command asks for, and running them, told as a list of steps."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hpe_bench import catalog, plan, protocols
from hpe_bench.catalog import LoadedPaper
from hpe_bench.data.folders import file_sha256
from hpe_bench.declare import Paper, Recipe, Variant, replace
from hpe_bench.errors import not_installed
from hpe_bench.plan import Start, TrainingRun
from hpe_bench.protocols import FullProtocol
from hpe_bench.training import imagenet
from hpe_bench.training.execution import PLAIN, Execution

RANDOM = "random"


@dataclass(frozen=True)
class FullRequest:
    """What a command says about full-size trainings; None means the paper's own.

    `budget` is in training samples; `init` is a file of ImageNet weights, or "random" where a recipe that starts from
    such weights is to start from chance instead.
    """

    data: str
    variant: str | None = None
    recipe: str | None = None
    budget: int | None = None
    init: str | None = None
    input_hw: tuple[int, int] | None = None
    protocols: tuple[str, ...] = ()  # to score trainings under; all of the data set's own if there are none
    weights: tuple[str, ...] = ()  # VARIANT=FILE pairs of released weights, in place of a training
    colours: str | None = None  # of the images that the weights were trained on; as declared if None
    seeds: int = 1
    seed: int | None = None  # this one alone, in place of the first `seeds`
    workers: int = 1  # trainings at a time, each of which has the whole machine
    execution: Execution = PLAIN
    devices: int = 1  # that share every training
    dry_run: bool = False  # say what it would take, and run nothing


def planned(slug: str, asked: FullRequest) -> list[TrainingRun]:
    """The trainings that were asked for, a seed each. ValueError for what the paper or the data set does not have."""
    if asked.execution.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError(f"--tensorboard: {not_installed('tensorboard', 'tensorboard')}")
    loaded = catalog.load(slug)
    variant = variant_of(loaded, asked.variant)
    recipe = begun(plan.shortened(plan.recipe_of(loaded.paper, variant, asked.recipe), asked.budget), asked)
    if asked.input_hw is not None:
        variant = resized(loaded.paper, variant, asked.input_hw)
    scored = scored_under(asked, variant.input_hw)
    execution = shared(asked.execution, recipe, asked.devices)
    start = start_of(recipe, variant, asked.init)
    seeds = range(asked.seeds) if asked.seed is None else [asked.seed]
    return [TrainingRun(slug, variant, recipe, scored, seed, execution, start) for seed in seeds]


def scored_under(asked: FullRequest, input_hw: tuple[int, int]) -> tuple[FullProtocol, ...]:
    """The protocols that trainings are scored under; ValueError for one on other data, of another aspect, or unknown.

    They share the training: data, splits and crop.
    """
    if not asked.protocols:
        return protocols.for_training(asked.data, input_hw)
    found = []
    for name in dict.fromkeys(asked.protocols):
        protocol = catalog.find_protocol(name)
        if protocol.data.name != asked.data:
            raise ValueError(f"--protocol {name} is measured on {protocol.data.name}, not on {asked.data}; see --data")
        if not isinstance(protocol, FullProtocol):
            raise ValueError(f"--protocol {name} is for miniatures; leave it out, or name one of full-size models")
        protocol.check_input(input_hw)
        found.append(protocol)
    return tuple(found)


def start_of(recipe: Recipe, variant: Variant, init: str | None) -> Start | None:
    """The file of ImageNet weights that a recipe starts from, checked against the network; None for a random start."""
    if recipe.init == "random":
        return None
    assert init is not None, "`begun` asks for it"
    path = Path(init)
    if not path.is_file():
        raise ValueError(f"--init {init}: no such file; give ImageNet weights of the backbone, such as torchvision's")
    imagenet.coverage(variant.builder(joints=variant.joints), path)
    return Start(str(path.absolute()), file_sha256(path))


def shared(execution: Execution, recipe: Recipe, devices: int) -> Execution:
    """An execution on one device or several, each of which holds whole micro-batches of the recipe or smaller ones.

    ValueError for a number of devices that does not divide the batch into equal parts.
    """
    if devices == 1:
        one_piece = execution.graphed or execution.micro_batches == 1
        return replace(execution, micro_batches=1 if one_piece and recipe.micro_batches > 1 else None)
    parts = recipe.micro_batches
    if parts % devices == 0:
        return replace(execution, devices=devices)
    if devices > parts and recipe.batch % devices == 0:
        return replace(execution, devices=devices, micro_batches=devices)
    fitting = [n for n in range(1, 65) if parts % n == 0 or (n > parts and recipe.batch % n == 0)]
    raise ValueError(
        f"--devices {devices}: recipe {recipe.name!r} has a batch of {recipe.batch} in micro-batches of "
        f"{recipe.batch // parts}; devices that share it equally: {', '.join(map(str, fitting))}"
    )


def variant_of(loaded: LoadedPaper, name: str | None) -> Variant:
    """The full-size variant of a name, or the one that the paper is timed with; ValueError for a miniature."""
    full = [v for v in loaded.paper.variants if v.scale == "full"]
    if not full:
        raise ValueError(f"{loaded.paper.slug} has no full-size variant to train; its miniatures are --scale pocket")
    if name is None:
        return next((v for v in full if v.name in loaded.paper.timed), full[0])
    variant = catalog.find_variant(loaded, name)
    if variant.scale != "full":
        raise ValueError(f"{loaded.paper.slug}/{name} is a miniature; train it with --scale pocket")
    return variant


def resized(paper: Paper, variant: Variant, input_hw: tuple[int, int]) -> Variant:
    """A variant at another input size: the paper's if it has one (by builder), else one of ours, named after both."""
    for known in (variant, *paper.variants):
        if (known.builder, known.input_hw) == (variant.builder, input_hw):
            return known
    if any(side % 32 for side in input_hw):
        raise ValueError(
            f"input {_size(input_hw)}: give multiples of 32, as these networks halve their input five times"
        )
    name, own = variant.name, _size(variant.input_hw)
    name = name.replace(own, _size(input_hw)) if own in name else f"{name}_{_size(input_hw)}"
    return replace(variant, name=name, input_hw=input_hw, reading="ours", note=f"{variant.name} at another input size")


def _size(input_hw: tuple[int, int]) -> str:
    return f"{input_hw[0]}x{input_hw[1]}"


def begun(recipe: Recipe, asked: FullRequest) -> Recipe:
    """The recipe with the start that was asked for; ValueError where it wants ImageNet weights and has none."""
    if recipe.init == "random":
        if asked.init not in (None, RANDOM):
            raise ValueError(f"recipe {recipe.name!r} starts from random weights; leave --init out")
        return recipe
    if asked.init not in (None, RANDOM):
        return recipe
    if asked.init == RANDOM and asked.budget is not None:
        return plan.from_random(recipe)
    instead = (
        "--init FILE names one, --init random starts from random weights, and the record says so"
        if asked.budget is not None
        else "--init FILE names one; --budget SAMPLES with --init random makes a shorter run of its own instead"
    )
    raise ValueError(f"recipe {recipe.name!r} starts from ImageNet weights and no file of them was given; {instead}")


def print_forecast(runs: list[TrainingRun], root: str | None, device: str, console: Console) -> None:
    """Hours and disk of trainings that are only planned, from steps measured on this machine."""
    from hpe_bench.run.forecast import forecast

    run = runs[0]
    found = forecast(run, root, device)
    hours = found.seconds * len(runs) / 3600
    many = f"{len(runs)} trainings" if len(runs) > 1 else "the training"
    console.print(
        f"Measured here: {found.samples_per_second:,.1f} samples/s on one device, feed included; {many} of "
        f"{run.recipe.samples:,} samples on {run.execution.devices}: about {hours:,.1f} hours, if devices add up.",
        highlight=False,
        markup=False,
    )
    crops = (
        "crops: unknown, the data set is not there" if found.crops_bytes is None else f"crops {gib(found.crops_bytes)}"
    )
    console.print(
        f"Disk: {crops}; checkpoints and weights {gib(found.kept_bytes)} a training. Nothing was run.",
        highlight=False,
        markup=False,
    )


def gib(size: int) -> str:
    """A size in GiB."""
    return f"{size / 2**30:.2f} GiB"


def announce(loaded: LoadedPaper, runs: list[TrainingRun], asked: FullRequest, console: Console) -> None:
    """What will be trained and what it can decide, before any compute is spent."""
    run = runs[0]
    console.print(
        f"{run.variant.name}, input {_size(run.variant.input_hw)}, by recipe {run.recipe.name}: "
        f"{run.recipe.samples:,} samples of {asked.data}, batch {run.recipe.batch}, start {run.recipe.init}, "
        f"{run.execution.precision}; scored under {', '.join(p.name for p in run.protocols)}.",
        highlight=False,
        markup=False,
    )
    if run.recipe not in loaded.paper.recipes:
        console.print("The recipe is not the paper's own, so no printed figure is held against the result.")
