"""The commands that run things, told as a list of steps: say what will run, prepare, measure, train, judge, report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog, plan, protocols
from hpe_bench.catalog import LoadedPaper
from hpe_bench.ceilings.contenders import contenders
from hpe_bench.ceilings.measure import GRID, data_protocols, data_records, grid_records, load_subjects
from hpe_bench.commands import full, together
from hpe_bench.commands import weights as releases
from hpe_bench.commands.show import print_ceilings, print_verdicts
from hpe_bench.commands.until import train_until
from hpe_bench.cost.count_cache import count_variant
from hpe_bench.cost.dispatched import count_on_meta
from hpe_bench.declare import Ablation, Paper, Protocol, Sweep
from hpe_bench.plan import TrainingRun
from hpe_bench.records import store
from hpe_bench.records.provenance import check_device, code_version
from hpe_bench.records.schema import RunRecord
from hpe_bench.records.throughput import Throughput
from hpe_bench.report import site
from hpe_bench.run import pool, training
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.run.sweeping import run_sweep
from hpe_bench.terminal import Board
from hpe_bench.training import world


def reproduce(
    slug: str,
    scales: list[str],
    asked: full.FullRequest,
    seeds: int | None,
    until: float | None,
    settings: Settings,
    reports: Path,
    console: Console,
) -> bool:
    """Cost, headline comparison and full-size training of a paper, then its page. False if a run failed."""
    loaded = catalog.load(slug)
    if world.announced().size > 1 and ("full" not in scales or asked.weights):
        raise ValueError("several processes share full-size trainings alone: add --scale full, or start one process")
    announce(loaded, [loaded.paper.headline], asked.data, scales, console)
    pocket = pocket_protocols(asked.data) if "pocket" in scales else ()
    study = with_budget(loaded.paper.headline, asked.budget) if pocket else loaded.paper.headline
    seeds = seeds or (study.first_seeds if until is None else None)
    if pocket and seeds is not None and seeds < study.seeds:
        console.print(f"{seeds} of the study's {study.seeds} seeds; --seeds {study.seeds} runs all", highlight=False)
    runs = plan.study_runs([study], pocket, seeds) if pocket else []
    if asked.weights and "full" not in scales:
        raise ValueError("--weights are full-size networks' own: add --scale full")
    large = full.planned(slug, asked) if "full" in scales and not asked.weights else []
    several = large and large[0].execution.devices > 1
    if large:
        full.announce(loaded, large, asked, console)
    if world.announced().size > 1:
        return _share(loaded, large, settings, reports, console)
    if asked.dry_run:
        if not large:
            raise ValueError("--dry-run forecasts a full-size training: add --scale full, and leave --weights out")
        full.print_forecast(large, settings.root, settings.device, console)
        return True
    for group in (runs, large):
        prepare(group, settings, console)  # first: what is wrong with the data is said before anything is measured
    outcome = Outcome()
    if asked.weights:
        outcome.made += releases.evaluate(loaded, asked.weights, asked.data, asked.colours, settings, console)
    if "cost" in scales:
        outcome = outcome.merge(pool.run_costs(costs_of(loaded), settings, console))
    outcome = outcome.merge(pocket_trainings([study], pocket, seeds, until, settings, console))
    if several:
        if outcome.made or outcome.kept or outcome.failed:
            conclude(loaded, outcome, settings, reports, console)
        return together.launch(asked.devices, settings.device, full_alone(sys.argv[1:])) == 0
    outcome = outcome.merge(train(large, replace(settings, workers=asked.workers), console))
    return conclude(loaded, outcome, settings, reports, console)


def _share(loaded: LoadedPaper, runs: list[TrainingRun], settings: Settings, reports: Path, console: Console) -> bool:
    """This process's part in trainings that several share; rank 0 prepares, tells and concludes."""

    def first() -> Outcome:
        prepare(runs, settings, console)
        return pool.run_mean_poses(plan.mean_pose_runs(runs), settings)

    outcome = together.train(runs, settings, console, first)
    return conclude(loaded, outcome, settings, reports, console) if world.announced().leads else True


def full_alone(arguments: list[str]) -> list[str]:
    """A command line whose only scale is "full": what one of several processes is to do."""
    kept, skip = [], False
    for word in arguments:
        if skip or word.startswith("--scale="):
            skip = False
            continue
        if word == "--scale":
            skip = True
            continue
        kept.append(word)
    return [*kept, "--scale", "full"]


def ablate(
    slug: str,
    study: str | None,
    data: str,
    seeds: int | None,
    until: float | None,
    budgets: Sequence[int],
    settings: Settings,
    reports: Path,
    console: Console,
) -> bool:
    """Some or all studies of a paper, or one at some of its budgets, then its page. False if a run failed."""
    loaded = catalog.load(slug)
    sweeps = [s for s in loaded.paper.sweeps if study in (None, s.name)]
    chosen = [find_study(loaded.paper, study)] if study and not sweeps else list(loaded.paper.studies)
    if budgets:
        if study is None or sweeps or chosen[0].budgets is None:
            has = [s.name for s in loaded.paper.studies if s.budgets is not None]
            raise ValueError(f"--budgets: name a study that has budgets ({', '.join(has) or 'this paper has none'})")
        chosen = plan.restricted(chosen[0], budgets)
    if study and sweeps and data != "mannequins":
        raise ValueError(f"study {study!r} turns a dial of the mannequins; {data} has none: leave --data out")
    outcome = Outcome()
    if not (study and sweeps):
        studies = [plan.as_evidence(loaded.paper, s) for s in chosen]
        announce(loaded, studies, data, ["pocket"], console)
        runs = plan.study_runs(studies, protocols.POCKET[data], seeds)
        print_hours(runs, pool.unfinished(runs, settings), settings, console)
        prepare(runs, settings, console)
        outcome = pocket_trainings(studies, protocols.POCKET[data], seeds, until, settings, console)
    for sweep in sweeps if data == "mannequins" else ():
        outcome = outcome.merge(turn(sweep, seeds, settings, console))
    return conclude(loaded, outcome, settings, reports, console)


def turn(sweep: Sweep, seeds: int | None, settings: Settings, console: Console) -> Outcome:
    """Evaluate a sweep's networks at every value of its dial; those whose weights are not here are trained first."""
    trainings = plan.sweep_trainings(sweep, protocols.POCKET["mannequins"], seeds)
    here = replace(settings, missing_only=False)
    left = pool.unfinished(trainings, here, weights=True)
    console.print(sweep.question, highlight=False, markup=False)
    print_hours(trainings, left, settings, console)
    outcome = Outcome()
    if left:
        prepare(trainings, settings, console)
        outcome = pool.run_trainings(trainings, here, console, macs_of, weights=True)
    failed = {(r.identity.paper, r.identity.variant, r.identity.recipe, r.identity.seed) for r in outcome.failed}
    there = [t for t in trainings if (t.paper, t.variant.name, t.recipe.name, t.seed) not in failed]
    turned = [protocols.turned(sweep.dial, value) for value in sweep.values]
    runs = plan.sweep_runs(sweep, there, turned)
    with Board(
        console, f"{len(runs)} evaluations: {sweep.dial} from {sweep.values[0]:g} to {sweep.values[-1]:g}", 1
    ) as b:
        return outcome.merge(run_sweep(runs, settings, b))


def profile(slug: str, variant: str | None, settings: Settings, console: Console) -> bool:
    """Costs of one paper's variants, as records and as a table."""
    from hpe_bench.commands.counts import print_kinds
    from hpe_bench.commands.show import print_costs

    print_costs(console, costed(slug, variant, settings, console))
    if variant:
        print_kinds(console, f"{slug}/{variant}", count_variant(catalog.find_variant(catalog.load(slug), variant)))
    return True


def costed(slug: str, variant: str | None, settings: Settings, console: Console) -> list[RunRecord]:
    """The cost and latency records of one paper's variants and of what they are compared with, or of one variant."""
    from hpe_bench.run.costs import latency_run

    loaded = catalog.load(slug)
    runs = costs_of(loaded)
    if variant:
        wanted = catalog.find_variant(loaded, variant)
        runs = [run for run in runs if run.paper == slug and run.variant == wanted]
    pool.run_costs(runs, settings, console)
    ids = {i for run in runs for i in (run.id, latency_run(run).id)}
    return [r for r in store.load_all(settings.results) if r.id in ids]


def ceilings(data: str, root: str | None, results: Path, reports: Path, console: Console) -> bool:
    """What every codec loses by itself, on a grid of positions and on a data set; then the page."""
    code_version()
    torch.set_num_threads(1)
    protocol, codecs = data_protocols()[data], contenders()
    with Board(console, f"{protocol.data.name}, {protocol.split} split", 1) as board:
        protocol.data.prepare(protocol.split, root, board.set_done)
        subjects = load_subjects(protocol, root)
    with Board(console, "codecs on a grid of positions", 1) as board:
        on_grid = list(grid_records(GRID, codecs, board.set_done))
    with Board(console, f"codecs on {len(subjects.persons):,} persons", 1) as board:
        on_persons = list(data_records(protocol, codecs, subjects, board.set_done))
    for record in (*on_grid, *on_persons):
        store.save(record, results)
    page = site.write_ceilings(results, reports)
    site.refresh(results, reports)
    print_ceilings(console, on_persons, protocol.metrics[0].key)
    console.print(f"report: {page}", highlight=False)
    return True


# ---------------------------------------------------------------------------------------------------- steps


def with_budget(study: Ablation, samples: int | None) -> Ablation:
    """A study whose arms see fewer samples: other recipes, and so records of their own, which decide no claim."""
    if samples is None:
        return study
    return replace(study, arms=tuple(replace(a, recipe=plan.shortened(a.recipe, samples)) for a in study.arms))


def find_study(paper: Paper, name: str) -> Ablation:
    """A study by name; ValueError naming those there are."""
    for study in paper.studies:
        if study.name == name:
            return study
    known = ", ".join([*(s.name for s in paper.studies), *(s.name for s in paper.sweeps)])
    raise ValueError(f"{paper.slug} has no study {name!r}; it has {known}")


def costs_of(loaded: LoadedPaper) -> list[plan.CostRun]:
    """The cost runs of a paper, its arms' models and its claims' baselines."""
    papers, _ = catalog.load_all()
    return plan.cost_runs([(loaded.paper, loaded.claims)], {p.paper.slug: p.paper for p in papers})


def announce(loaded: LoadedPaper, studies: list[Ablation], data: str, scales: list[str], console: Console) -> None:
    """What will run and what it can and cannot decide, before any compute is spent."""
    paper = loaded.paper
    console.print(f"[bold]{escape(paper.title)}[/bold] ({paper.venue} {paper.year})")
    console.print(paper.reading, highlight=False, markup=False)
    if "pocket" in scales:
        protocol = pocket_protocols(data)[0]
        needed = sorted({c.protocol for c in loaded.claims if c.protocol and c.kind == "value"})
        console.print(
            f"Pocket trainings are scored under {protocol.name} (ground-truth boxes, input "
            f"{'x'.join(map(str, studies[0].arms[0].variant.input_hw))}). The paper's numbers need "
            f"{', '.join(needed) or 'protocols it does not name'}: no pocket score is held against them; "
            "only signs of differences are tested (F1-F4).",
            highlight=False,
        )


def print_hours(runs: Sequence[TrainingRun], todo: Sequence[TrainingRun], settings: Settings, console: Console) -> None:
    """How many trainings are to be run and what they are expected to take."""
    hours = Throughput(store.load_all(settings.results)).hours(todo)
    told = ""
    if hours is not None:
        told = f", about {hours:.1f} hours on one core of an idle machine, by the pace of recorded ones"
    console.print(f"{len(todo)} of {len(runs)} trainings are to be run{told}", highlight=False)


def pocket_protocols(data: str) -> tuple[Protocol, ...]:
    """The protocols of miniatures on a data set; ValueError where there are none."""
    if data not in protocols.POCKET:
        raise ValueError(f"miniatures are trained on {' or '.join(protocols.POCKET)}, not on {data}; add --scale full")
    return protocols.POCKET[data]


def pocket_trainings(
    studies: list[Ablation],
    pocket: tuple[Protocol, ...],
    seeds: int | None,
    until: float | None,
    settings: Settings,
    console: Console,
) -> Outcome:
    """Train the arms of some studies with a number of seeds, or until their differences are known well enough."""
    if until is None or not pocket:
        return train(plan.study_runs(studies, pocket, seeds) if pocket else [], settings, console)
    return train_until(
        studies, pocket, until, seeds, settings.results, lambda runs: train(runs, settings, console), console
    )


def train(runs: list[TrainingRun], settings: Settings, console: Console) -> Outcome:
    """Score the mean pose, then train."""
    outcome = pool.run_mean_poses(plan.mean_pose_runs(runs), settings)
    return outcome.merge(pool.run_trainings(runs, settings, console, macs_of))


def prepare(runs: list[TrainingRun], settings: Settings, console: Console) -> None:
    """Generate or check the data and cut the crops, once, before several processes want them."""
    if not runs:
        return
    check_device(settings.device)
    protocol = runs[0].protocols[0]
    training.check_boxes(runs[0].protocols, settings.root)
    for split in (protocol.train_split, protocol.test_split):
        with Board(console, f"{protocol.data.name}, {split} split", 1) as board:
            protocol.data.prepare(split, settings.root, board.set_done)
    for input_hw in sorted({run.variant.input_hw for run in runs}):
        with Board(console, f"crops of {input_hw[0]}x{input_hw[1]}", 1) as board:
            training.load_data(protocol, settings.root, input_hw, board.set_done)


def macs_of(run: TrainingRun) -> float:
    """MACs of a run's forward pass, and a third of its teacher's: its relative cost, to estimate the time left."""
    joints = len(run.protocols[0].data.skeleton.joints)
    teacher = 0.0 if run.teacher is None else macs_of(run.teacher) / 3  # it has no backward pass
    return float(count_on_meta(run.variant.builder, joints, run.variant.input_hw).macs) + teacher


def conclude(loaded: LoadedPaper, outcome: Outcome, settings: Settings, reports: Path, console: Console) -> bool:
    """Write the pages that show a changed record, say what came out and where the pages are."""
    pages = site.refresh(settings.results, reports, loaded.paper.slug)
    console.print(
        f"{len(outcome.made)} records made, {outcome.kept} runs were finished already, {len(outcome.failed)} failed",
        highlight=False,
    )
    compare_with_committed(outcome, console)
    for record in outcome.failed:
        text = f"failed: {record.identity.paper}/{record.identity.variant}: {record.reason}"
        console.print(text, highlight=False, markup=False)
    print_verdicts(console, loaded, settings.results)
    console.print(f"report: {reports / loaded.paper.slug / 'index.html'}; {len(pages)} pages written", highlight=False)
    return not outcome.failed


def compare_with_committed(outcome: Outcome, console: Console) -> None:
    """How the new records differ from those that were there: to the bit, or by how much."""
    same = sum(c.identical for c in outcome.compared)
    if outcome.compared:
        console.print(
            f"{same} of {len(outcome.compared)} repeat the earlier record's predictions to the bit", highlight=False
        )
    for c in outcome.compared:
        if not c.identical and c.old.measurements:
            new, old = c.new.measurements[0], c.old.measurements[0]
            i = c.new.identity
            run = f"{i.paper}/{i.variant} {i.recipe} seed {i.seed} {i.protocol}"
            console.print(f"  {run}: {new.key} {new.value:.2f}, before {old.value:.2f}", highlight=False)
