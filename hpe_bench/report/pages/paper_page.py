"""The page of one paper, as values for its template: claims first, then what was measured, then how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hpe_bench.declare import Ablation, Arm, Claim, Paper, Variant, fingerprint
from hpe_bench.plan import TrainingRun, arms_of, points, study_runs
from hpe_bench.protocols import POCKET
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import Calibration, RunRecord
from hpe_bench.records.throughput import Throughput
from hpe_bench.report.kit import figures, gallery, tables
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.gallery import Images, Person
from hpe_bench.report.kit.latency_text import timing_runs
from hpe_bench.report.kit.studies import Protocols, StudyResult, ordered_conditions, same, study_result
from hpe_bench.report.kit.tables import Cell, Column, Table
from hpe_bench.report.kit.text import (
    NO_BREAK,
    arm_label,
    change,
    identifier,
    metric,
    number,
    plural,
    protocol_fields,
    signed,
    size,
    span,
    typeset,
    unit_text,
    where,
)
from hpe_bench.report.pages import (
    budget_view,
    calibration_view,
    claims_view,
    diagnosis_view,
    joint_groups,
    latency_view,
    provenance_view,
    sweep_view,
)
from hpe_bench.report.pages.architecture import Architecture
from hpe_bench.report.pages.claims_view import ClaimView, Waiting
from hpe_bench.report.pages.diagnosis_view import DiagnosedModel
from hpe_bench.report.pages.joint_groups import Drawing
from hpe_bench.report.pages.latency_view import LatencyView
from hpe_bench.report.pages.sweep_view import SweepView
from hpe_bench.timing.rows import NetworkTimes
from hpe_bench.verdicts import Recount, Status, Verdict, budgets, commands, count, evidence, judge_all
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.findings import FindingGroup, findings
from hpe_bench.verdicts.pools import SeedPools

TRUE_COUNT = ("true multiply-adds", "true count")


@dataclass(frozen=True)
class Block:
    """A study under one protocol: never mixed with another protocol's results."""

    title: str
    table: Table
    all_metrics: tuple[tuple[str, Table], ...]  # folded, by heading
    figures: tuple[Figure, ...]
    is_open: bool


@dataclass(frozen=True)
class Study:
    """A question and its answers, or the command that would find them."""

    name: str
    question: str
    blocks: tuple[Block, ...]
    missing: str  # arms that no block shows
    command: str
    left: str = ""  # how many trainings are left to run, and their hours


@dataclass(frozen=True)
class Gallery:
    """Drawn persons of one data set."""

    caption: str
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class ReadingRow:
    """One value of a tile: what it is, and its verdict where it has one."""

    value: str
    label: str = ""
    status: Status | None = None
    caveat: str = ""


@dataclass(frozen=True)
class Tile:
    """One thing worth seeing first, in one value or, where counters disagree, in two."""

    what: str
    readings: tuple[ReadingRow, ...]
    detail: str


@dataclass(frozen=True)
class PaperPage:
    """Everything the template needs."""

    paper: Paper
    counts: dict[Status, int]
    summary: str
    extent: str
    findings: tuple[FindingGroup, ...]  # what became of the claims
    tiles: tuple[Tile, ...]
    tested: tuple[ClaimView, ...]
    waiting: tuple[Waiting, ...]
    headline: Study
    ablations: tuple[Study, ...]
    sweeps: tuple[SweepView, ...]
    joint_groups: tuple[Drawing, ...]
    architectures: tuple[Architecture, ...]
    costs: tuple[Table, ...]
    latency: tuple[LatencyView, ...]
    cost_command: str
    galleries: tuple[Gallery, ...]
    protocols: Table
    environments: Table | None
    runs: Table | None
    outdated: int
    failed: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    beside: str = ""  # address of its comparison with the yardstick
    calibration: tuple[Table, ...] = ()
    reliability: tuple[Figure, ...] = ()
    is_on_robustness_page: bool = False

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        studies = (self.headline, *self.ablations)
        found = [t for s in studies for b in s.blocks for t in (b.table, *(t for _, t in b.all_metrics))]
        found += [s.table for s in self.sweeps if s.table is not None]
        found += [a.stages for a in self.architectures]
        found += [*self.calibration, *self.costs, *(t for v in self.latency for t in v.tables), self.protocols]
        return [*found, *(t for t in (self.environments, self.runs) if t is not None)]


def build(
    paper: Paper,
    claims: Sequence[Claim],
    records: Records,
    protocols: Protocols,
    images: dict[str, Images],
    architectures: Sequence[Architecture] = (),
    judged: Sequence[Verdict] | None = None,
    macs: Callable[[Variant], float | None] = lambda _: None,
) -> PaperPage:
    """The page from a paper, its claims and all records; `images` gives pixels by protocol, where they may be shown.

    `architectures` are drawn from the code of the paper's models, which nothing else here runs. `judged` are the
    paper's verdicts among those of a suite; a paper by itself is judged here. `macs` counts a network that no record
    does, to say how long its training will take.
    """
    records = query.of(records)
    verdicts = in_suite_order(judge_all(claims, paper, records) if judged is None else judged, protocols)
    views = claims_view.views(claims, verdicts)
    own, outdated = records_of(paper, claims, records)
    times, pools = NetworkTimes(records), SeedPools(records)
    places = ordered_conditions(records, protocols)
    results = {s.name: _results(paper, s, records, places, times, pools) for s in paper.studies}
    counts = count(verdicts)
    scores = _calibrated(paper, own)
    left = partial(_left, records=records, pace=Throughput(records, macs))
    return PaperPage(
        paper=paper,
        counts=counts,
        summary=claims_view.summary({str(k): v for k, v in counts.items()}),
        extent=f"{sum(v.tested for v in views)} of {plural(len(views), 'claim')} tested. Verdicts:" if views else "",
        findings=tuple(
            replace(group, items=tuple(map(typeset, group.items))) for group in findings(claims, verdicts, records)
        ),
        tiles=_tiles(paper, claims, verdicts, own),
        tested=tuple(v for v in views if v.tested),
        waiting=tuple(claims_view.waiting(views)),
        headline=replace(_study(paper, paper.headline, results[paper.headline.name]), left=left(paper.headline)),
        ablations=tuple(
            replace(
                _study(paper, s, results[s.name]) if s.budgets is None else _budget_study(paper, s, places, records),
                left=left(s),
            )
            for s in paper.ablations
        ),
        sweeps=tuple(sweep_view.view(paper, s, records) for s in paper.sweeps),
        joint_groups=joint_groups.drawings(paper.joint_groups),
        architectures=tuple(architectures),
        costs=_costs(paper, claims, own),
        latency=latency_view.views(paper, own),
        cost_command=commands.cost(paper),
        galleries=_galleries(results[paper.headline.name], images),
        protocols=_protocol_table(claims, results[paper.headline.name], protocols),
        environments=provenance_view.environments(own) if own else None,
        runs=provenance_view.runs(own) if own else None,
        outdated=outdated,
        failed=tuple(
            f"{r.identity.paper}/{r.identity.variant} ({r.status}): {r.reason}" for r in own if r.status != "done"
        ),
        commands=_commands(paper),
        calibration=calibration_view.tables(scores),
        reliability=calibration_view.figures(scores),
        is_on_robustness_page=any(r.identity.kind == "robustness" for r in own),
    )


def _calibrated(paper: Paper, own: Sequence[RunRecord]) -> list[tuple[str, Calibration]]:
    """The headline's arms whose records say how far their scores are probabilities: of each the first protocol's first
    seed, or what was measured with the corruptions; decoders share their scores."""
    found: dict[tuple[str, str], tuple[str, Calibration]] = {}
    for r in own:
        arm = next((a for a in paper.headline.arms if _is_of(a, r)), None)
        if arm is not None and r.calibration is not None:
            name = f"{arm_label(arm)}, {r.identity.protocol}"
            found.setdefault((arm.name, r.identity.test_digest), (name, r.calibration))
    return list(found.values())


def _is_of(arm: Arm, r: RunRecord) -> bool:
    i = r.identity
    return (i.paper, i.variant_hash, i.recipe_hash) == (arm.paper, fingerprint(arm.variant), fingerprint(arm.recipe))


def in_suite_order(verdicts: Sequence[Verdict], protocols: Protocols) -> list[Verdict]:
    """Each claim's verdicts with the suite's protocols in their own order, its headline decoder first."""
    claims = list(dict.fromkeys(v.claim for v in verdicts))
    order = {"": -1, **{name: i for i, name in enumerate(protocols)}}
    return sorted(verdicts, key=lambda v: (claims.index(v.claim), order.get(v.protocol, len(order))))


# ---------------------------------------------------------------------------------------------------- records


def records_of(paper: Paper, claims: Sequence[Claim], records: Records) -> tuple[list[RunRecord], int]:
    """The records this page rests on, and how many of the paper's were made from an earlier declaration."""
    used = [*(a for s in paper.studies for a in arms_of(s)), *(a for s in paper.sweeps for a in s.arms)]
    arms = {(a.paper, fingerprint(a.variant), fingerprint(a.recipe)) for a in used}
    models = {(paper.slug, fingerprint(v)) for v in paper.variants} | {(p, v) for p, v, _ in arms}
    baselines = {c.baseline for c in claims}
    found, outdated = [], 0
    for r in records:
        i = r.identity
        current = (
            (i.paper, i.variant_hash) in models
            if i.kind in ("cost", "latency")
            else (i.paper, i.variant_hash, i.recipe_hash) in arms
        )
        against = i.kind in ("cost", "latency") and i.paper != paper.slug and f"{i.paper}/{i.variant}" in baselines
        if current or against or query.is_mean_pose(r):
            found.append(r)
        elif i.paper == paper.slug:
            outdated += 1
    if all(map(query.is_mean_pose, found)):
        found = []
    return sorted(found, key=_order), outdated


def _order(r: RunRecord) -> tuple[str, ...]:
    i = r.identity
    return i.kind, i.protocol, i.paper, i.variant, i.recipe, str(i.seed), r.id


# ---------------------------------------------------------------------------------------------------- studies


def _results(
    paper: Paper,
    study: Ablation,
    records: Records,
    places: Sequence[ScoringCondition],
    times: NetworkTimes,
    pools: SeedPools,
) -> list[StudyResult]:
    found = (study_result(paper, study, records, where, times, pools) for where in places)
    return [r for r in found if r is not None]


def _study(paper: Paper, study: Ablation, results: Sequence[StudyResult]) -> Study:
    """Blocks of a study; an ablation of which only headline arms were run has nothing of its own to show yet."""
    blocks = []
    headline = {same(a) for a in paper.headline.arms}
    seen: set[str] = set()
    for result in results:
        new = {same(a.arm) for a in result.run} - headline
        if study.name != paper.headline.name and (len(result.run) < 2 or not new):
            continue
        data = result.where.protocol.partition("-")[0]
        blocks.append(_block(study, result, is_open=data not in seen))
        seen.add(data)
    there = {same(a.arm) for r in results for a in r.run}
    missing = "; ".join(arm_label(a) for a in study.arms if same(a) not in there)
    return Study(study.name, study.question, tuple(blocks), missing, commands.study(paper, study.name))


def _budget_study(paper: Paper, study: Ablation, places: Sequence[ScoringCondition], records: Records) -> Study:
    """A study at several budgets."""
    blocks: list[Block] = []
    there: set[str] = set()
    open_: set[str] = set()
    for place in places:
        name, curves = f"{study.name}-{_place(place)}", budgets.curves(study, records, place)
        there |= {same(p.arm) for curve in curves.values() for p in curve}
        if (view := budget_view.view(paper, study, curves, records, place, name)) is not None:
            data = place.protocol.partition("-")[0]
            folded = () if view.equal is None else (("At equal cost", view.equal),)
            blocks.append(Block(where(place), view.table, folded, view.figures, data not in open_))
            open_.add(data)
    missing = "; ".join(
        f"{samples:,} samples"
        for samples, point in points(study).items()
        if not {same(arm) for arm in point.arms} & there
    )
    return Study(study.name, study.question, tuple(blocks), missing, commands.study(paper, study.name))


def _left(study: Ablation, records: query.Records, pace: Throughput) -> str:
    """How many of a study's trainings on mannequins no record is about, and what they are expected to take."""
    done = {(query.training(r), r.identity.seed, r.identity.protocol) for r in records.finished("accuracy")}
    runs = study_runs([study], POCKET["mannequins"], None)
    todo = [run for run in runs if not all((_trains(run), run.seed, p.name) in done for p in run.protocols)]
    if not todo:
        return ""
    hours = pace.hours(todo)
    told = "how long they take is not known"
    if hours is not None:
        told = f"about {number(hours, 1)} hours on one core of an idle machine"
        if not pace.is_measured(todo):
            told += ", by the MACs of networks that were never trained here; light ones take longer"
    return f"{len(todo)} of {plural(len(runs), 'training')} on mannequins are left to run: {told}."


def _trains(run: TrainingRun) -> query.Training:
    return evidence.trained_as(Arm("arm", run.paper, run.variant, run.recipe))


def _place(place: ScoringCondition) -> str:
    """A condition as a part of ids."""
    return f"{place.scale}-{identifier(place.protocol)}-{identifier(place.test_digest[:6])}".replace(".", "-")


def _block(study: Ablation, result: StudyResult, is_open: bool) -> Block:
    name = f"{study.name}-{_place(result.where)}".replace(".", "-")
    # The curve of a training is the same under every decoder: it stands once, in the data set's open block.
    models = _models(result)
    caption = f"{where(result.where)}: what the labelled joints of found persons are, errors by kind. The rest is good."
    drawn = [
        figures.accuracy_against_macs(f"macs-{name}", result, result.run),
        figures.by_joint(f"joints-{name}", result, result.run) if len(result.run) <= 4 else None,
        diagnosis_view.kinds_figure(f"kinds-{name}", caption, models) if len(models) <= 3 else None,
        figures.training_curves(f"curves-{name}", result, result.run) if is_open else None,
    ]
    parts = f"{where(result.where)}: by visibility and size."
    folded = (
        ("By visibility and size", diagnosis_view.parts_table(f"parts-{name}", parts, models, result.key)),
        (
            "Kinds of errors",
            diagnosis_view.kinds_table(f"kinds-table-{name}", f"{where(result.where)}: kinds.", models),
        ),
        ("Every metric of these runs", tables.metrics_table(result, f"metrics-{name}", joints=False)),
        ("Joint by joint", tables.metrics_table(result, f"metrics-joints-{name}", joints=True)),
    )
    return Block(
        where(result.where),
        tables.accuracy_table(result, f"accuracy-{name}"),
        tuple((heading, t) for heading, t in folded if t is not None),
        tuple(f for f in drawn if f is not None),
        is_open,
    )


def _models(result: StudyResult) -> list[DiagnosedModel]:
    """The arms that were run, the control first."""
    ordered = sorted(result.run, key=lambda a: not a.is_control)
    return [DiagnosedModel(arm_label(a.arm), a.style, query.by_seed(a.runs), result.pools) for a in ordered]


# ---------------------------------------------------------------------------------------------------- first sight


def _tiles(paper: Paper, claims: Sequence[Claim], verdicts: Sequence[Verdict], own: Records) -> tuple[Tile, ...]:
    """Cost under both counters, latency, size, accuracy, convergence: the first tested relation of each.

    Relations between the headline's arms come before those of other studies.
    """
    relative = {c.id: c for c in claims if c.kind != "value"}
    tested = [v for v in verdicts if v.claim in relative and v.value is not None and v.status != "not comparable"]
    tested.sort(key=lambda v: v.scale == "pocket" and v.command != commands.pocket(paper, v.protocol))
    costs = [v for v in tested if v.key == "macs" and v.scale == "cost"]
    picks = (
        ("Parameters, full size", lambda v: v.key == "params" and v.scale == "cost"),
        (
            "{key}, in miniature ({protocol})",
            lambda v: v.scale == "pocket" and v.key not in ("macs", "params", "latency", "convergence"),
        ),
        ("Samples to the control's 90 % mark, in miniature", lambda v: v.key == "convergence"),
    )
    found = [(what, next((v for v in tested if pick(v)), None)) for what, pick in picks]
    first: list[Tile | None] = []
    if costs:
        claim = relative[costs[0].claim]
        first = [_cost_tile(claim, [v for v in costs if v.claim == claim.id]), _latency_tile(paper, claim, claims, own)]
    tiles = (_tile(what.format(key=metric(v.key), protocol=v.protocol), v, relative[v.claim]) for what, v in found if v)
    return tuple(tile for tile in (*first, *tiles) if tile is not None)


def _cost_tile(claim: Claim, verdicts: Sequence[Verdict]) -> Tile:
    """A claimed change of FLOPs, with the count under each convention and its own verdict."""
    readings = [ReadingRow(_value(v), v.convention.replace(*TRUE_COUNT), v.status, v.caveat) for v in verdicts]
    notes = [v.recount for v in verdicts if v.recount is not None]
    readings += [ReadingRow(_value(n), n.convention.replace(*TRUE_COUNT)) for n in notes]
    printed = "the paper prints no figure"
    if claim.value is not None:
        sense = "fewer" if claim.value < 0 else "more"
        printed = f"the paper prints {abs(claim.value):g}{NO_BREAK}% {sense}"
        printed += " and names no counter" if claim.convention == "unknown" else ""
    return Tile("FLOPs, full size", tuple(readings), f"exact counts; {printed}")


def _latency_tile(paper: Paper, claim: Claim, claims: Sequence[Claim], own: Records) -> Tile | None:
    """The measured times beside a claimed saving (F20); None unless both sides were timed alike."""
    slug, _, name = claim.baseline.partition("/")
    ours = evidence.cost_record(own, paper.slug, claim.variant)
    theirs = evidence.cost_record(own, slug, name)
    if ours is None or theirs is None:
        return None
    times = NetworkTimes(own)
    sides = [(r.identity.paper, r.identity.variant_hash, tables.counted_hw(r)) for r in (ours, theirs)]
    a, b = times.shown_together(sides)
    against = None if a is None or b is None else a.against(b)
    if a is None or b is None or against is None:
        return None
    calls = " and ".join(dict.fromkeys(f"{t.n:,}" for t in (b, a)))
    printed = any(c.metric == "latency" and c.value is not None for c in claims)
    detail = (
        f"{number(b.median_ms, 1)} → {number(a.median_ms, 1)}{NO_BREAK}ms, medians, n = {calls} calls each, "
        f"{timing_runs(a)}, {a.machine}; ratio {span(against.interval, 2)}"
        + ("" if printed else "; the paper prints none")
    )
    threads = plural(a.threads, "thread")
    return Tile(f"Latency, full size, {threads}", (ReadingRow(change(against.value, 1.0)),), detail)


def _tile(what: str, v: Verdict, claim: Claim) -> Tile:
    printed = claims_view.published(claim)
    sign = v.scale == "pocket" or claim.value is None
    detail = [
        f"the paper: {printed}" + ("; here only the sign is tested" if sign else ""),
        f"95 % CI {span(v.interval, 1, sign=True)}" if v.interval else "",
        f"n = {v.n:,} {v.over}" if v.n else "exact count",
    ]
    return Tile(what, (ReadingRow(_value(v), "", v.status, v.caveat),), typeset(", ".join(filter(None, detail))))


def _value(v: Verdict | Recount) -> str:
    assert v.value is not None
    return f"{signed(v.value, 1)}{NO_BREAK}{unit_text(v.unit)}"


# ---------------------------------------------------------------------------------------------------- the rest


def _costs(paper: Paper, claims: Sequence[Claim], own: Sequence[RunRecord]) -> tuple[Table, ...]:
    """What the relative claims speak of, against its baselines; then the other full-size models and the miniatures."""
    variants = [*paper.variants, *(a.variant for s in paper.studies for a in s.arms)]
    inputs = {fingerprint(v): size(v.input_hw) for v in variants}
    small = {fingerprint(v) for v in variants if v.scale == "pocket"}
    done = query.of(own).finished("cost")[:]
    done.sort(key=lambda r: (m.value if (m := r.get("macs")) else 0.0, r.identity.paper, r.identity.variant))
    full = [r for r in done if r.identity.variant_hash not in small]
    relative = [c for c in claims if c.baseline not in ("", f"{paper.slug}/{c.variant}")]
    baselines = [r for r in full if _name(r) in {c.baseline for c in relative}]
    subjects = [r for r in full if r not in baselines and _name(r) in {f"{paper.slug}/{c.variant}" for c in relative}]
    others = [r for r in full if r not in baselines and r not in subjects]
    pocket = [r for r in done if r.identity.variant_hash in small]
    times, found = NetworkTimes(own), []
    if baselines and subjects:
        title = "Cost at full size, batch 1: what the relative claims compare."
        found.append(tables.cost_table(subjects, "costs", title, False, inputs, times, baselines))
    else:
        others = full
    if others:
        title = "Cost of the other full-size models, batch 1." if found else "Cost at full size, batch 1."
        found.append(tables.cost_table(others, "costs-other" if found else "costs", title, False, inputs, times))
    if pocket:
        title = "Cost of the miniatures, batch 1."
        found.append(tables.cost_table(pocket, "costs-pocket", title, True, inputs, times))
    return tuple(found)


def _name(record: RunRecord) -> str:
    return f"{record.identity.paper}/{record.identity.variant}"


def _galleries(results: Sequence[StudyResult], images: dict[str, Images]) -> tuple[Gallery, ...]:
    """One gallery a data set, under its first protocol."""
    found: dict[str, Gallery] = {}
    for result in results:
        name = result.where.protocol
        data = name.partition("-")[0]
        if data in found:
            continue
        persons = gallery.persons(result, images.get(name))
        if persons:
            seed = gallery.run_of(result).identity.seed
            ground = gallery.RENDERED if all(p.has_pixels for p in persons) else gallery.PLAIN
            found[data] = Gallery(f"{where(result.where)}, seed {seed}. {ground}", tuple(persons))
    return tuple(found.values())


def _protocol_table(claims: Sequence[Claim], results: Sequence[StudyResult], protocols: Protocols) -> Table:
    """The fields of the protocols used here, beside the protocols the paper's own figures need."""
    used = {r.where.protocol: protocols[r.where.protocol] for r in results if r.where.protocol in protocols}
    shown = used or dict(list(protocols.items())[:1])
    fields = [protocol_fields(p) for p in shown.values()]
    inputs = sorted({size(a.arm.variant.input_hw) for r in results for a in r.arms})
    rows = [
        (Cell(field), *(Cell(f[field]) for f in fields), Cell(_published_field(field, claims)))
        for field in (fields[0] if fields else {})
    ]
    rows.insert(
        1,
        (
            Cell("Input, px"),
            *[Cell(", ".join(inputs) or tables.EMPTY)] * len(fields),
            Cell(_published_field("Input, px", claims)),
        ),
    )
    columns = (Column("Field"), *(Column(f"{name} (ours)") for name in shown), Column("Published by the paper"))
    note = "Scores under different protocols are never compared with each other (F1-F13)."
    return Table("protocols", "How accuracy is measured here and in the published figures.", columns, tuple(rows), note)


def _printed_scores(claims: Sequence[Claim]) -> list[Claim]:
    """Scores that the paper itself prints: only they say how it measures."""
    return [c for c in claims if c.status == "published" and c.value is not None and c.protocol and c.kind == "value"]


def _published_field(field: str, claims: Sequence[Claim]) -> str:
    """What the paper's own scores say about a field; protocol names are data set, split, boxes."""
    shown = _printed_scores(claims)
    names = sorted({c.protocol for c in shown})
    known = {
        "Data set": "; ".join(names),
        "Input, px": ", ".join(size(s) for s in sorted({c.input_hw for c in shown if c.input_hw})),
        "Metrics": ", ".join(dict.fromkeys(metric(c.metric) for c in shown)),
        "Boxes": ", ".join(dict.fromkeys(_boxes(n) for n in names)),
    }
    return known.get(field) or "not available to us"


def _boxes(name: str) -> str:
    """Box source named at the end of a published protocol: det56 is a detector of about 56 person AP (F1, F2)."""
    part = next((p for p in name.split("-") if p.startswith("det") or p == "gt"), "")
    if part == "gt":
        return "ground truth"
    return f"detector, person AP about {part[3:]}" if part else f"as {name.split('-')[0]} gives them"


def _commands(paper: Paper) -> tuple[tuple[str, str], ...]:
    return (
        (f"make reproduce PAPER={paper.slug}", "costs and the headline comparison, from a fresh checkout"),
        (commands.cost(paper), "costs only, about a minute a few models"),
        *((commands.study(paper, s.name), s.question) for s in paper.ablations),
        *((commands.study(paper, s.name), s.question) for s in paper.sweeps),
        (f"hpe-bench show {paper.slug}", "what the paper claims and which variants there are"),
    )
