"""Every rule that decides something, applied to many worlds: coverage, false verdicts, power, wrong orders.

Each experiment takes a number of trials and a seed, and compares the rule in use with what it replaced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np

from hpe_bench.metrics import bootstrap, multiplicity
from hpe_bench.metrics.average_precision import figure_interval, resample
from hpe_bench.metrics.bootstrap import LEVEL, Difference, Interval, Resampled, both, percentile_interval
from hpe_bench.metrics.seed_variance import Spread, fit
from hpe_bench.plan import FEWEST_SEEDS, MOST_SEEDS, another_seed
from hpe_bench.timing.statistics import Rounds, ratio
from hpe_bench.truth.record import TruthFinding, of_trials
from hpe_bench.truth.worlds import DetectionWorld, RateWorld, Tallies, seed_spreads, timings

COVERS = (94.0, 96.5)  # percent of 95 % intervals; a little more than nominal is no fault, less is
WRONG = (None, 5.0)  # percent of false verdicts
SETTINGS = 25  # of a protocol, as the pocket protocols have
REPLICATES = 200  # of a bootstrap in here
IN_USE = "in use"

Limits = tuple[float | None, float | None]


class Counts:
    """Values by (world, rule, figure), one a trial."""

    def __init__(self, section: str) -> None:
        self.section = section
        self.values: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, world: str, rule: str, figure: str, values: Iterable[float] | float) -> None:
        """The mean of what one trial shows; trials without a value do not count."""
        found = np.atleast_1d(np.asarray(values, dtype=float))
        if len(found):
            self.values[world, rule, figure].append(float(found.mean()))

    def findings(self, limits: dict[tuple[str, str], Limits], points: Sequence[str] = ()) -> Iterator[TruthFinding]:
        """The means; `limits` by rule and figure, `points` name the figures that are no shares."""
        for (world, rule, figure), values in self.values.items():
            unit, scale = ("points", 1.0) if figure in points else ("percent", 100.0)
            yield of_trials(
                self.section, world, rule, figure, values, scale, unit, limits.get((rule, figure), (None, None))
            )


# ---------------------------------------------------------------------------------------------------- seeds


def seed_variance(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """Intervals and differences with every setting's own variance between seeds, and with the pooled one."""
    for kind, seeds in (("alike", 2), *product(("alike", "scattered", "three unsteady"), (3, 5))):
        yield from seed_world(kind, seeds, trials, seed)


def seed_world(kind: str, seeds: int, trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """`seed_variance` in one world."""
    counts, rules = Counts("seeds"), ("own variance", f"pooled variance ({IN_USE})")
    rng = np.random.default_rng([seed, seeds, len(kind)])
    alone: list[Spread | None] = [None] * SETTINGS
    for _ in range(trials):
        truth_K = 50 + np.where(np.arange(SETTINGS) % 4 < 2, 0.0, 2.0)
        spread_K = rng.permutation(seed_spreads(kind, rng, SETTINGS))
        models = RateWorld().draw(rng, truth_K[ORDER], spread_K, seeds)
        table, unsteady_K = Resampled.of(models, REPLICATES), np.argsort(-spread_K, kind="stable")[:3]
        for rule, spreads in zip(rules, (alone, pooled_spreads(table)), strict=True):
            _count_seeds(counts, f"{kind}, {seeds} seeds", rule, table, spreads, truth_K[ORDER], unsteady_K)
    in_use = rules[1]
    yield from counts.findings({(in_use, "covered"): COVERS, (in_use, "false verdicts"): WRONG}, ["half width"])


ORDER = np.random.default_rng(0).permutation(SETTINGS)  # so that pairs of neighbours are of equal or of other truth


def pooled_spreads(table: Resampled) -> list[Spread | None]:
    """What every setting's variance between seeds is taken to be, from all of them."""
    variance = fit([values_S.tolist() for values_S in table.values])
    assert variance is not None
    return [variance.of(values_S.tolist()) for values_S in table.values]


def _count_seeds(
    counts: Counts,
    world: str,
    rule: str,
    table: Resampled,
    spreads: Sequence[Spread | None],
    truth_K: np.ndarray,
    unsteady_K: np.ndarray,
) -> None:
    around = np.array([table.interval(k, spread) for k, spread in enumerate(spreads)])
    covered_K = (around[:, 0] <= truth_K) & (truth_K <= around[:, 1])
    counts.add(world, rule, "covered", covered_K)
    counts.add(world, rule, "covered, the 3 least steady", covered_K[unsteady_K])
    counts.add(world, rule, "half width", np.ptp(around, axis=1) / 2)
    pairs = [(2 * k, 2 * k + 1) for k in range(len(truth_K) // 2)]
    found = [(truth_K[i] - truth_K[j], table.difference(i, j, both(spreads[i], spreads[j]))) for i, j in pairs]
    counts.add(world, rule, "false verdicts", [d.decided for true, d in found if true == 0])
    counts.add(world, rule, "2 points found", [d.decided and d.value * true > 0 for true, d in found if true])


def one_seed(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """What images alone say about two settings that are equally good, from one training each; never used to decide."""
    counts = Counts("one seed")
    rng = np.random.default_rng([seed, 1])
    for _ in range(trials):
        a, b = RateWorld().draw(rng, (50.0, 50.0), (0.7, 0.7), 1)
        found = bootstrap.paired_difference(a, b, REPLICATES)
        counts.add("two equal settings, 0.7 points between seeds", "images alone", "false verdicts", found.decided)
    yield from counts.findings({})


def printed_figure(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """A paper's one training held against ours: by an interval for the mean, and by one for another training."""
    counts = Counts("printed figures")
    rules = ("image and seed interval of our mean", f"interval for one more training ({IN_USE})")
    for seeds in (3, 5):
        rng = np.random.default_rng([seed, 2, seeds])
        for _ in range(trials):
            (models,) = RateWorld().draw(rng, (50.0,), (0.7,), seeds + 1)
            *ours, theirs = models
            values, printed = [bootstrap.rate(*t) for t in ours], round(bootstrap.rate(*theirs), 1)
            around: Sequence[Interval] = (
                bootstrap.pooled_interval(ours, REPLICATES),
                bootstrap.next_value_interval(values),
            )
            for rule, (low, high) in zip(rules, around, strict=True):
                outside = not low - 0.05 <= printed <= high + 0.05
                counts.add(f"the same model, {seeds} seeds of ours", rule, "false verdicts", outside)
                counts.add(f"the same model, {seeds} seeds of ours", rule, "half width", (high - low) / 2)
    yield from counts.findings({(rules[1], "false verdicts"): WRONG}, ["half width"])


# ---------------------------------------------------------------------------------------------------- many tests


def ranks(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """A table of 12 models in groups of equals, 3 points apart: which pairs are told apart, and wrongly."""
    counts = Counts("ranks")
    rules = (
        "intervals that do not overlap",
        "paired tests, own variance, Holm",
        f"paired tests, pooled variance, Holm ({IN_USE})",
    )
    for seeds in (3, 5):
        rng = np.random.default_rng([seed, 3, seeds])
        world = f"12 models, 3 of each truth, {seeds} seeds"
        for _ in range(trials):
            truth_K = 45 + 3.0 * (np.arange(12) // 3)
            table = Resampled.of(RateWorld().draw(rng, truth_K, seed_spreads("alike", rng, 12), seeds), REPLICATES)
            for rule, better in zip(rules, _orders(table), strict=True):
                false = [(i, j) for i, j in better if truth_K[i] <= truth_K[j]]
                different = sum(truth_K[i] != truth_K[j] for i in range(12) for j in range(i))
                counts.add(world, rule, "tables with a wrong order", bool(false))
                counts.add(world, rule, "true differences found", (len(better) - len(false)) / different)
    yield from counts.findings({(rules[2], "tables with a wrong order"): WRONG})


def _orders(table: Resampled) -> Iterator[set[tuple[int, int]]]:
    """Pairs (better, worse) by every rule."""
    count = range(len(table.values))
    around = [table.interval(k) for k in count]
    yield {(i, j) for i in count for j in count if around[i][0] > around[j][1]}
    yield multiplicity.told_apart(table.every_difference([None] * len(count)))
    yield multiplicity.told_apart(table.every_difference(pooled_spreads(table)))


def relations(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """14 relations of a suite, each under two decoders of the same trainings, with and without true differences."""
    counts = Counts("relations")
    rules = (
        "every test by itself, pooled variance",
        "Holm, own variance",
        f"Holm, pooled variance, two decoders one family ({IN_USE})",
    )
    for true in (0, 7):
        rng = np.random.default_rng([seed, 4, true])
        world = f"14 relations, {true} true at 2 points, 3 seeds"
        for _ in range(trials):
            gains = np.where(np.arange(14) < true, 2.0, 0.0)
            own, pooled = _relation_p_values(rng, gains)
            found_by = [[min(p) < 1 - LEVEL for p in pooled]]
            for p_values in (own, pooled):
                adjusted = multiplicity.holm_of_families(dict(enumerate(p_values)))
                found_by.append([adjusted[k] < 1 - LEVEL for k in range(14)])
            for rule, found in zip(rules, found_by, strict=True):
                wrong = [f for f, gain in zip(found, gains, strict=True) if not gain]
                counts.add(world, rule, "suites with a false verdict", any(wrong))
                counts.add(world, rule, "true relations found", [f for f, g in zip(found, gains, strict=True) if g])
    yield from counts.findings({(rules[2], "suites with a false verdict"): WRONG})


PValues = list[tuple[float, ...]]


def _relation_p_values(rng: np.random.Generator, gains: np.ndarray) -> tuple[PValues, PValues]:
    """By relation the p values under two decoders, with own and with pooled variances.

    The second decoder's hits are the first's with some of them lost.
    """
    truth = [50 + g for gain in gains for g in (gain, 0.0)]
    models = RateWorld().draw(rng, truth, seed_spreads("alike", rng, len(truth)), 3)
    other = [[(hits - rng.binomial(hits, 0.03), counts) for hits, counts in tallies] for tallies in models]
    alone: list[Spread | None] = [None] * len(truth)
    own: list[list[float]] = []
    pooled: list[list[float]] = []
    for decoded in (models, other):
        table = Resampled.of(decoded, REPLICATES)
        for found, spreads in ((own, alone), (pooled, pooled_spreads(table))):
            pairs = [(2 * k, 2 * k + 1) for k in range(len(gains))]
            found.append([table.difference(i, j, both(spreads[i], spreads[j])).p_value for i, j in pairs])
    return list(zip(*own, strict=True)), list(zip(*pooled, strict=True))


# ---------------------------------------------------------------------------------------------------- AP


def ap_images(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """Intervals of one model's AP over images."""
    counts = Counts("AP over images")
    rules = ("percentile", f"Student's t on the logit scale ({IN_USE})")
    for images, level in ((79, 1.6), (79, 3.0), (710, 1.6)):
        rng = np.random.default_rng([seed, 5, images, int(level)])
        world_of = DetectionWorld(level)
        truth = _true_ap(world_of, rng)
        world = f"{images} images, AP {truth:.0f}"
        for _ in range(trials if images < 100 else trials // 2):
            (evaluation,) = world_of.draw(rng, images)
            table = resample([[evaluation]], REPLICATES)["ap"]
            around = (percentile_interval(table.each(0)[:, 0]), figure_interval(table, 0, None))
            for rule, (low, high) in zip(rules, around, strict=True):
                counts.add(world, rule, "covered", low <= truth <= high)
                counts.add(world, rule, "half width", (high - low) / 2)
    yield from counts.findings({(rules[1], "covered"): COVERS}, ["half width"])


def ap_seeds(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """Mean AP of three trainings, and the difference of two settings with three each."""
    counts = Counts("AP over seeds")
    rules = (
        "widest of the seeds' own intervals; seeds alone for differences",
        "images and seeds, own variance",
        f"images and seeds, pooled variance ({IN_USE})",
    )
    rng = np.random.default_rng([seed, 6])
    world_of = DetectionWorld(seed_sd=0.06)
    truth, variance = _true_ap(world_of, rng), _ap_variance(world_of, rng)
    world = f"{IMAGES} images, AP {truth:.0f}, 3 seeds"
    for _ in range(trials):
        trainings = world_of.draw(rng, IMAGES, 6)
        spreads = [Spread(float(variance * rng.chisquare(30) / 30), 30.0) for _ in range(2)]
        table = resample([trainings[:3], trainings[3:]], REPLICATES)["ap"]
        each = [Resampled((table.values[0][s : s + 1],), (table.each(0)[:, s : s + 1],), IMAGES) for s in range(3)]
        around = [
            _envelope([figure_interval(one, 0, None) for one in each]),
            figure_interval(table, 0, None),
            figure_interval(table, 0, spreads[0]),
        ]
        low, high = bootstrap.mean_interval((table.values[0] - table.values[1]).tolist())
        decided = [
            not low <= 0 <= high,
            table.difference(0, 1).decided,
            table.difference(0, 1, both(*spreads)).decided,
        ]
        for rule, (low, high), wrong in zip(rules, around, decided, strict=True):
            counts.add(world, rule, "covered", low <= truth <= high)
            counts.add(world, rule, "half width", (high - low) / 2)
            counts.add(world, rule, "false verdicts", wrong)
    yield from counts.findings({(rules[2], "covered"): COVERS, (rules[2], "false verdicts"): WRONG}, ["half width"])


IMAGES = 200  # of the world of AP over seeds


def _envelope(around: Sequence[Interval]) -> Interval:
    return min(low for low, _ in around), max(high for _, high in around)


def _true_ap(world: DetectionWorld, rng: np.random.Generator) -> float:
    """AP over very many images, mean over seeds."""
    seeds = 40 if world.seed_sd else 5
    return float(np.mean([world.draw(rng, 8000)[0].figures()["ap"] for _ in range(seeds)]))


def _ap_variance(world: DetectionWorld, rng: np.random.Generator) -> float:
    """Variance of AP between trainings on the same images."""
    sets = [[e.figures()["ap"] for e in world.draw(rng, IMAGES, 12)] for _ in range(40)]
    return float(np.var(sets, axis=1, ddof=1).mean())


# ---------------------------------------------------------------------------------------------------- seeds until


def until(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """Seeds until every difference is known to 1 point: what the rule leaves of the error rate, and its price."""
    counts = Counts("seeds until")
    rules = ("own variance", f"pooled variance ({IN_USE})")
    for kind, sd in (("steady arms", 0.5), ("ordinary arms", 0.8), ("unsteady arms", 1.4)):
        rng = np.random.default_rng([seed, 7, int(10 * sd)])
        for _ in range(trials):
            arms = RateWorld().draw(rng, (50.0, 50.0, 52.0), (sd, sd, sd), MOST_SEEDS)
            before = RateWorld().draw(rng, np.full(15, 50.0), np.full(15, sd), 3)  # settings that were trained before
            others = [[bootstrap.rate(*tally) for tally in tallies] for tallies in before]
            for rule in rules:
                seeds, found = _run_until(arms, others if rule == rules[1] else None)
                low, high = found[1].low, found[1].high
                counts.add(kind, rule, "covered", [found[0].low <= 0 <= found[0].high, low <= 2 <= high])
                counts.add(kind, rule, "false verdicts", found[0].decided)
                counts.add(kind, rule, "2 points found", found[1].low > 0)
                counts.add(kind, rule, "seeds", seeds)
    yield from counts.findings({(rules[1], "covered"): COVERS, (rules[1], "false verdicts"): WRONG}, ["seeds"])


def _run_until(arms: Sequence[Tallies], others: list[list[float]] | None) -> tuple[int, list[Difference]]:
    """The number of seeds at which the study ends, and its differences to the control, which is the first arm."""
    seeds, whole = FEWEST_SEEDS, Resampled.of(arms, REPLICATES)
    while True:
        each = [whole.each(i) for i in range(len(whole.drawn))]
        values, drawn = ([v[..., :seeds] for v in part] for part in (whole.values, each))
        table = Resampled(tuple(values), tuple(drawn), whole.images)
        spreads: list[Spread | None] = [None] * len(arms)
        if others is not None:
            variance = fit([*(v.tolist() for v in values), *others])
            assert variance is not None
            spreads = [variance.of(v.tolist()) for v in values]
        found = [table.difference(k, 0, both(spreads[k], spreads[0])) for k in (1, 2)]
        if not another_seed([(d.high - d.low) / 2 for d in found], 1.0, seeds):
            return seeds, found
        seeds += 1


# ---------------------------------------------------------------------------------------------------- latency


def latency(trials: int, seed: int = 0) -> Iterator[TruthFinding]:
    """The ratio of two medians that were timed in turns, in one timing run and in several."""
    counts = Counts("latency ratios")
    one, over_days = f"turns resampled ({IN_USE})", f"Student's t over runs ({IN_USE})"
    for calls, steady in ((20, 0.02), (1, 0.02), (1, 0.08)):
        rng = np.random.default_rng([seed, 8, calls, int(100 * steady)])
        world = f"10 turns of {calls} call{'s' if calls > 1 else ''}, {100 * steady:.0f} % from turn to turn"
        for _ in range(trials):
            ours, theirs = timings(rng, 0.8, 10, calls, steady)
            _count_ratio(counts, world, one, [("", ours)], [("", theirs)])
    for runs in (2, 3, 5):
        rng = np.random.default_rng([seed, 9, runs])
        for _ in range(trials // 2):
            shifts = np.exp(rng.normal(0, 0.06, runs))  # what a day does to the ratio
            made = [(str(k), timings(rng, 0.8 * shift, 10, 5, 0.02)) for k, shift in enumerate(shifts)]
            sides = ([(name, pair[side]) for name, pair in made] for side in (0, 1))
            _count_ratio(counts, f"{runs} timing runs, 6 % from day to day", over_days, *sides)
    yield from counts.findings({(one, "covered"): COVERS, (over_days, "covered"): COVERS})


def _count_ratio(
    counts: Counts, world: str, rule: str, ours: list[tuple[str, Rounds]], theirs: list[tuple[str, Rounds]]
) -> None:
    low, high = ratio(ours, theirs).interval
    counts.add(world, rule, "covered", low <= 0.8 <= high)
    counts.add(world, rule, "half width, % of the ratio", 50 * (high - low) / 0.8 / 100)


EXPERIMENTS = (
    (seed_variance, 200),
    (one_seed, 500),
    (printed_figure, 500),
    (ranks, 150),
    (relations, 150),
    (ap_images, 800),
    (ap_seeds, 300),
    (until, 250),
    (latency, 500),
)
"""With the trials that `make truth` gives each."""


def run(effort: float = 1.0, seed: int = 0) -> Iterator[TruthFinding]:
    """All findings; `effort` is the part of the trials that are made."""
    for experiment, trials in EXPERIMENTS:
        yield from experiment(max(20, round(effort * trials)), seed)
