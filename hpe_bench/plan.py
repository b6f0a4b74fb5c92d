"""The plan: which runs a command asks for. Pure values; nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hpe_bench.codehash import code_digest
from hpe_bench.declare import Ablation, Arm, Claim, Curriculum, Paper, Protocol, Recipe, Sweep, Variant, fingerprint
from hpe_bench.training.execution import PLAIN, Execution

COST_PROTOCOL = "cost-v1"
MEAN_POSE = "mean_pose"
OWN = "own"  # in the place of a paper's slug: somebody's file or code
FEWEST_SEEDS = 3  # before an interval may end a study
HEADLINE_SEEDS = 5  # of a headline that is run as evidence; `reproduce` keeps to the study's own, which fit 15 minutes
MOST_SEEDS = 10  # after which a study ends whatever its intervals


@dataclass(frozen=True)
class Start:
    """A file of weights that a training starts from; its content is the identity, not where it lies."""

    file: str
    sha256: str


@dataclass(frozen=True)
class TrainingRun:
    """One training, scored under each of its protocols, which share data and crop and differ in decoding and boxes."""

    paper: str
    variant: Variant
    recipe: Recipe
    protocols: tuple[Protocol, ...]
    seed: int
    execution: Execution = PLAIN
    start: Start | None = None  # the ImageNet weights that a recipe starts from

    def __post_init__(self) -> None:
        shared = {(p.data.annotated, p.train_split, p.test_split, p.padding, p.between_centres) for p in self.protocols}
        if len(shared) != 1:
            names = ", ".join(p.name for p in self.protocols)
            raise ValueError(f"{names}: protocols of one training share data, splits and crop; train them one by one")

    @property
    def id(self) -> str:
        """Identity of the training; the protocols' decoding and what they predict in have no part in it."""
        p = self.protocols[0]
        trained = (self.paper, self.variant, self.recipe, p.data.annotated, p.train_split, p.padding, self.seed)
        crop = ("between centres",) if p.between_centres else ()
        start = () if self.start is None else (self.start.sha256,)
        return fingerprint(trained + crop + self.execution.identity + start)

    @property
    def code(self) -> str:
        """Digest of the code that the training runs: model, loss, codecs."""
        losses = [self.recipe.loss]
        if isinstance(self.recipe, Curriculum):
            losses = [stage.loss for stage in self.recipe.stages]
        teacher = [] if self.teacher is None else [self.teacher.variant.builder, self.teacher.recipe.loss]
        return code_digest(
            [self.variant.builder, *losses, self.recipe.codec, *(p.codec for p in self.protocols), *teacher]
        )

    @property
    def teacher(self) -> TrainingRun | None:
        """The training that must be finished first, if the recipe has a teacher."""
        if not isinstance(self.recipe, Curriculum) or self.recipe.teacher is None:
            return None
        needed = self.recipe.teacher
        return TrainingRun(
            needed.paper, needed.variant, needed.recipe, self.protocols, self.seed, self.execution, self.start
        )

    @property
    def folder(self) -> str:
        """Name of the folder of its checkpoint, weights and predictions."""
        return f"{self.id}-{self.code[:8]}"

    def record_id(self, protocol: Protocol) -> str:
        """Identity of the record under one protocol."""
        return fingerprint((self.id, protocol))

    @property
    def label(self) -> str:
        """What a progress bar calls it."""
        words = f" {self.execution.words}" if self.execution.words else ""
        return f"{self.paper}/{self.variant.name} {self.recipe.name} seed {self.seed}{words}"


@dataclass(frozen=True)
class SweepRun:
    """A finished training, evaluated under one setting of a dial."""

    training: TrainingRun
    protocol: Protocol

    @property
    def id(self) -> str:
        """Identity of its record."""
        return self.training.record_id(self.protocol)

    @property
    def code(self) -> str:
        """The training's: nothing else of a network is run."""
        return self.training.code


@dataclass(frozen=True)
class MeanPoseRun:
    """The mean training pose, placed in every test box: what a model must beat to have learned anything."""

    variant: Variant  # gives the crop's aspect
    protocol: Protocol

    @property
    def id(self) -> str:
        return fingerprint((MEAN_POSE, self.variant.input_hw, self.protocol))

    @property
    def code(self) -> str:
        """The baseline has no model, loss or codec."""
        return ""


@dataclass(frozen=True)
class CostRun:
    """Parameters, MACs, activations and latency of one variant."""

    paper: str
    variant: Variant

    @property
    def id(self) -> str:
        return fingerprint((COST_PROTOCOL, self.paper, self.variant))

    @property
    def code(self) -> str:
        """Digest of the model's code."""
        return code_digest([self.variant.builder])


def study_runs(studies: Iterable[Ablation], protocols: tuple[Protocol, ...], seeds: int | None) -> list[TrainingRun]:
    """The trainings of some studies, each once, teachers before those they teach; `seeds` overrides theirs.

    They stand seed by seed, so that all arms exist early; of a study with budgets the cheapest point comes first.
    """
    runs: dict[str, TrainingRun] = {}
    studies = list(studies)
    for seed in range(max(seeds or study.seeds for study in studies)):
        for study in studies:
            if seed < (seeds or study.seeds):
                for arm in arms_of(study):
                    _add(runs, TrainingRun(arm.paper, arm.variant, arm.recipe, protocols, seed))
    return list(runs.values())


def sweep_trainings(sweep: Sweep, protocols: tuple[Protocol, ...], seeds: int | None) -> list[TrainingRun]:
    """The trainings whose networks a sweep evaluates, and their teachers, seed by seed."""
    runs: dict[str, TrainingRun] = {}
    for seed in range(seeds or sweep.seeds):
        for arm in sweep.arms:
            _add(runs, TrainingRun(arm.paper, arm.variant, arm.recipe, protocols, seed))
    return list(runs.values())


def sweep_runs(sweep: Sweep, trainings: Iterable[TrainingRun], turned: Sequence[Protocol]) -> list[SweepRun]:
    """Every setting of the dial with every network of the sweep, setting by setting."""
    arms = {(a.paper, a.variant, a.recipe.name, fingerprint(a.recipe)) for a in sweep.arms}
    own = [t for t in trainings if (t.paper, t.variant, t.recipe.name, fingerprint(t.recipe)) in arms]
    return [SweepRun(training, protocol) for protocol in turned for training in own]


def points(study: Ablation) -> dict[int, Ablation]:
    """A study at each of its budgets, rising: the arms that have it, by recipes of that many samples.

    At the arms' own budget they are as declared, so that other studies share these trainings.
    """
    if study.budgets is None:
        return {study.arms[0].recipe.samples: study}
    found = {}
    for samples in study.budgets.every:
        arms = [a for a in study.arms if samples in study.budgets.samples or a.name in study.budgets.of]
        at = tuple(replace(arm, recipe=with_samples(arm.recipe, samples)) for arm in arms)
        found[samples] = replace(study, arms=at, budgets=None)
    return found


def arms_of(study: Ablation) -> list[Arm]:
    """Every arm that a study trains: at each of its budgets, if it has several."""
    return [arm for point in points(study).values() for arm in point.arms]


def restricted(study: Ablation, budgets: Sequence[int]) -> list[Ablation]:
    """The points of a study at some of its budgets; ValueError naming those that it has."""
    found = points(study)
    for samples in budgets:
        if samples not in found:
            has = ", ".join(map(str, found))
            raise ValueError(f"study {study.name!r} has no budget of {samples} samples; it has {has}")
    return [found[samples] for samples in sorted(set(budgets))]


def as_evidence(paper: Paper, study: Ablation) -> Ablation:
    """A study with the seeds that evidence wants: the headline decides claims, so it gets `HEADLINE_SEEDS`."""
    return replace(study, seeds=max(study.seeds, HEADLINE_SEEDS)) if study == paper.headline else study


def another_seed(half_widths: Sequence[float | None], until: float, seeds: int, most: int = MOST_SEEDS) -> bool:
    """Whether a study that aims at intervals of +-`until` points needs one more seed of every arm.

    `half_widths` are those of every arm's difference to the control, None where there is no interval yet. The rule
    looks at widths alone, never at which side of 0 an interval lies on, so that it cannot stop at a lucky difference;
    what that leaves of the error rate is measured in docs/statistics.md.
    """
    if seeds >= most:
        return False
    return seeds < FEWEST_SEEDS or any(half is None or half > until for half in half_widths)


def _add(runs: dict[str, TrainingRun], run: TrainingRun) -> None:
    if run.teacher is not None:
        _add(runs, run.teacher)
    runs.setdefault(run.id, run)


def full_recipes(paper: Paper) -> list[Recipe]:
    """The recipes that no miniature of a study is trained by."""
    pocket = {arm.recipe for study in paper.studies for arm in study.arms if arm.variant.scale == "pocket"}
    return [recipe for recipe in paper.recipes if recipe not in pocket]


def recipe_of(paper: Paper, variant: Variant, name: str | None) -> Recipe:
    """The recipe of a name, or the first that is named after the variant's input size, or the paper's first."""
    recipes, size = full_recipes(paper), "x".join(map(str, variant.input_hw))
    if not recipes:
        raise ValueError(f"{paper.slug} declares no full-size recipe; give its folder one")
    if name is None:
        return next((r for r in recipes if size in r.name), recipes[0])
    for recipe in recipes:
        if recipe.name == name:
            return recipe
    raise ValueError(f"{paper.slug} has no full-size recipe {name!r}; it has {', '.join(r.name for r in recipes)}")


def shortened(recipe: Recipe, budget: int | None) -> Recipe:
    """A recipe with fewer samples: its schedule is in fractions, so it keeps its shape. A recipe of its own by name."""
    if budget is None:
        return recipe
    if budget < recipe.batch:
        raise ValueError(f"a budget of {budget:,} samples is less than a batch of {recipe.name!r} ({recipe.batch})")
    if budget > recipe.samples:
        raise ValueError(f"a budget of {budget:,} samples is more than recipe {recipe.name!r} has ({recipe.samples:,})")
    return _with_samples(recipe, budget, "shortened")


def with_samples(recipe: Recipe, samples: int) -> Recipe:
    """A recipe of another length, shorter or longer, and its teacher's with it; the recipe itself at its own length.

    A shorter one is what `shortened` gives.
    """
    if samples == recipe.samples:
        return recipe
    return shortened(recipe, samples) if samples < recipe.samples else _with_samples(recipe, samples, "lengthened")


def _with_samples(recipe: Recipe, samples: int, how: str) -> Recipe:
    note = f"{recipe.name} {how} from {recipe.samples:,} samples; held against no printed figure"
    other = replace(recipe, name=f"{recipe.name}-{samples}", samples=samples, note=note)
    if isinstance(other, Curriculum) and other.teacher is not None:
        taught = replace(other.teacher, recipe=_with_samples(other.teacher.recipe, samples, how))
        return replace(other, teacher=taught)
    return other


def from_random(recipe: Recipe) -> Recipe:
    """A recipe that starts from random weights where its paper's starts from ImageNet's. One of its own by name."""
    note = f"{recipe.note}; starts from random weights, not from ImageNet's"
    return replace(recipe, name=f"{recipe.name}-random", init="random", note=note)


def derived(recipe: Recipe, samples: int) -> tuple[Recipe, ...]:
    """The recipes that a declared one stands for at another budget; none where it has no such budget."""
    if not recipe.batch <= samples <= recipe.samples:
        return ()
    short = recipe if samples == recipe.samples else shortened(recipe, samples)
    return (short,) if recipe.init == "random" else (short, from_random(short))


def mean_pose_runs(trainings: Iterable[TrainingRun]) -> list[MeanPoseRun]:
    """One mean-pose baseline per protocol and input size of the trainings."""
    runs = {(r := MeanPoseRun(t.variant, p)).id: r for t in trainings for p in t.protocols}
    return list(runs.values())


def cost_runs(papers: Iterable[tuple[Paper, tuple[Claim, ...]]], catalog: dict[str, Paper]) -> list[CostRun]:
    """Every variant of the papers, of their studies' arms, and of their claims' baselines, each once."""
    runs: dict[str, CostRun] = {}
    for paper, claims in papers:
        for slug, variant in _variants(paper, claims, catalog):
            run = CostRun(slug, variant)
            runs.setdefault(run.id, run)
    return list(runs.values())


def _variants(paper: Paper, claims: tuple[Claim, ...], catalog: dict[str, Paper]) -> Iterator[tuple[str, Variant]]:
    for variant in paper.variants:
        yield paper.slug, variant
    for study in paper.studies:
        for arm in study.arms:
            yield arm.paper, arm.variant
    for claim in claims:
        slug, _, name = claim.baseline.partition("/")
        if slug in catalog:
            yield from ((slug, v) for v in catalog[slug].variants if v.name == name)
