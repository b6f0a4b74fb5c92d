"""Seeds until differences are known to so many points: train one more of every arm, look at widths, go on or stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from hpe_bench.declare import Ablation, Protocol, fingerprint
from hpe_bench.plan import FEWEST_SEEDS, MOST_SEEDS, TrainingRun, another_seed, points, study_runs
from hpe_bench.records import query, store
from hpe_bench.run.pool import Outcome
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.pools import SeedPools

Train = Callable[[list[TrainingRun]], Outcome]


def train_until(
    studies: Sequence[Ablation],
    protocols: tuple[Protocol, ...],
    until: float,
    most: int | None,
    results: Path,
    train: Train,
    console: Console,
) -> Outcome:
    """Train the arms of some studies seed by seed until every difference to a control is known to +-`until` points.

    At least `FEWEST_SEEDS` seeds, at most `most`, else `MOST_SEEDS`; `plan.another_seed` is the rule. ValueError for an
    aim that is no positive number. A failed run ends it.
    """
    if not until > 0:
        raise ValueError(f"--until {until:g}: the half width to reach is a number of points above 0, such as 1.0")
    limit = MOST_SEEDS if most is None else most
    seeds, outcome = min(FEWEST_SEEDS, limit), Outcome()
    fresh = study_runs(studies, protocols, seeds)
    while True:
        outcome = outcome.merge(train(fresh))
        widths = half_widths(studies, protocols[0], results)
        console.print(f"{seeds} seeds: {_told(widths)}; the aim is {until:g}", highlight=False)
        if outcome.failed or not another_seed(widths, until, seeds, limit):
            return outcome
        seeds += 1
        fresh = [run for run in study_runs(studies, protocols, seeds) if run.seed == seeds - 1]


def half_widths(studies: Sequence[Ablation], protocol: Protocol, results: Path) -> list[float | None]:
    """Of every arm's difference to its control in the headline metric, in points; None where there is no interval."""
    return store.speaking(store.load_all(results), lambda records: _half_widths(studies, protocol, records))


def _half_widths(studies: Sequence[Ablation], protocol: Protocol, records: query.Records) -> list[float | None]:
    pools, found = SeedPools(records), []
    places = [
        c for c in records.conditions() if (c.protocol, c.protocol_hash) == (protocol.name, fingerprint(protocol))
    ]
    for study in (point for s in studies for point in points(s).values()):
        arms = {arm.name: arm for arm in study.arms}
        for name, arm in arms.items():
            if name != study.control:
                sides = [
                    (evidence.arm_runs(records, arm, place), evidence.arm_runs(records, arms[study.control], place))
                    for place in places
                ]
                key = protocol.metrics[0].key
                gains = [evidence.difference(ours, theirs, key, pools) for ours, theirs in sides if ours and theirs]
                around = [g.interval for g in gains if g is not None and g.interval is not None]
                found.append(max((high - low) / 2 for low, high in around) if around else None)
    return found


def _told(widths: Sequence[float | None]) -> str:
    known = [w for w in widths if w is not None]
    if len(known) < len(widths):
        return "not every difference has an interval yet"
    return f"differences are known to {max(known, default=0.0):.2f} points or better"
