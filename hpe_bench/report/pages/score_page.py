"""The page of a submission, as values for its template: score, joints, curves, diagnosis, differences, worst cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from hpe_bench.data.images import FileImages
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics import diagnosis_tables
from hpe_bench.metrics.auc import AUC
from hpe_bench.metrics.average_precision import Evaluation, evaluate
from hpe_bench.metrics.bootstrap import Difference
from hpe_bench.metrics.corrections import Gains
from hpe_bench.metrics.corrections import gains as gains_of
from hpe_bench.metrics.diagnosis import KINDS, Diagnosis, check, diagnose
from hpe_bench.metrics.diagnosis_tables import ErrorRow
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.precision_recall import RECALLS
from hpe_bench.metrics.rates import DistanceRate
from hpe_bench.records.measured import DIAGNOSIS, SPLITS
from hpe_bench.records.schema import Measurement, RunRecord, Submission
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, metric, number, plural, protocol_fields, signed, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import calibration_view, provenance_view
from hpe_bench.run import scoring
from hpe_bench.run.truths import Truth

WORST = 12
SHOWN_OKS = (0, 5, 8)  # of 0.50, 0.55 .. 0.95: what precision-recall curves are drawn at
THIS, OTHER = Style(1), Style(0)
SMALL_P = 0.0001


@dataclass(frozen=True)
class Case:
    """One drawn person."""

    drawing: Markup
    title: str
    note: str


@dataclass(frozen=True)
class Rival:
    """The predictions that these are held against, and the differences by key."""

    name: str
    predictions: Predictions
    differences: dict[str, Difference]


@dataclass(frozen=True)
class ScorePage:
    """Everything the template needs."""

    name: str
    protocol: str
    submission: Submission
    lead: str
    subset: bool
    notes: tuple[str, ...]
    headline: Table
    versus: Table | None
    groups: Table | None
    joints: Table | None
    figures: tuple[Figure, ...]
    errors: tuple[Table, ...]
    gains: Table | None
    no_diagnosis: str
    cases: tuple[Case, ...]
    photographs: bool
    submitted: Table
    conditions: Table
    environment: Table
    calibration: tuple[Table, ...] = ()
    reliability: tuple[Figure, ...] = ()

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        some = (self.versus, self.groups, self.joints, self.gains)
        known = [t for t in some if t is not None]
        told = (*self.errors, *self.calibration, self.submitted, self.conditions, self.environment)
        return [self.headline, *known, *told]


# ---------------------------------------------------------------------------------------------------- numbers


def headline_table(record: RunRecord) -> Table:
    """The figures of the whole set, with intervals."""
    shown = [m for m in record.measurements if "/" not in m.key]
    units = "" if any(m.unit != "percent" for m in shown) else ", %"
    axis = svgdraw.axis_of([v for m in shown for v in (m.value, *(m.interval or ()))])
    assert axis is not None
    rows = tuple(
        (
            Cell(spoken(m.key) + ("" if m.unit == "percent" else f", {m.unit}"), m.key),
            Cell(number(m.value, 4 if m.unit == "ratio" else 2), exact(m.value, m.unit), m.value),
            Cell(
                span(m.interval, 4 if m.unit == "ratio" else 2) or "none",
                exact_span(m.interval),
                mark=svgdraw.strip(m.value, m.interval, axis, THIS.css),
            ),
            Cell(f"{m.n:,}", sort=float(m.n)),
        )
        for m in shown
    )
    columns = (Column("Metric"), Column(f"Value{units}", True), Column(f"95 % CI{units}"), Column("n", True))
    note = (
        "Intervals resample test images; they say nothing about the model trained again. n counts joints for rates, "
        "persons to find for AP and AR." + (" Without a unit, values are in %." if not units else "")
    )
    return Table("headline", f"{record.identity.protocol}: every figure of the whole set.", columns, rows, note)


def groups_table(record: RunRecord) -> Table | None:
    """Joint groups, pooled and as the mean of both sides; None where the metric has none."""
    return parts_table(record, "groups", "By joint group; in brackets, 95 % CIs over images.", ("", "sides"))


def parts_table(record: RunRecord, id: str, caption: str, kinds: Sequence[str]) -> Table | None:
    """One row a joint or group, one column a metric; `kinds` are the middle parts of the keys (empty: groups)."""
    cells: dict[str, dict[str, Measurement]] = {}
    for m in record.measurements:
        head, *rest = m.key.split("/")
        kind, name = ("/".join(rest[:-1]), rest[-1]) if rest else ("", "")
        if rest and m.name.metric != DIAGNOSIS and kind in kinds and name not in ("visible", "hidden", "on-threshold"):
            cells.setdefault(name, {})[f"{head}/{kind}".rstrip("/")] = m
    if not cells:
        return None
    heads = list(dict.fromkeys(head for row in cells.values() for head in row))
    rows = [(Cell(name.replace("_", " ")), *(_part(row.get(head)) for head in heads)) for name, row in cells.items()]
    columns = (Column("Part"), *(Column(f"{_head(head)}, %", True) for head in heads))
    return Table(id, caption, columns, tuple(rows))


def spoken(key: str) -> str:
    """A metric key as readers know it; areas under curves and PCP too."""
    rate, auc, grid = key.partition("-auc@")
    if auc:
        return f"{metric(rate)} AUC, thresholds {grid.split(':')[0]} to {grid.split(':')[-1]}"
    return key.replace("pcp-strict@", "strict PCP@") if key.startswith("pcp-strict") else metric(key)


def _head(head: str) -> str:
    key, _, kind = head.partition("/")
    words = {"sides": ", mean of sides", "joint": "", "without": " without it", "visible": ", visible"}
    return spoken(key) + words.get(kind, f", {kind}" if kind else "")


def _part(m: Measurement | None) -> Cell:
    if m is None:
        return Cell(EMPTY)
    return Cell(number(m.value, 2), f"{exact(m.value, 'percent')}, n = {m.n}", m.value, note=span(m.interval, 1))


def versus_table(record: RunRecord, rival: Rival) -> Table:
    """This less the other, paired image by image."""
    found = {key: d for key, d in rival.differences.items() if "/" not in key}
    axis = svgdraw.axis_of([v for d in found.values() for v in (d.value, d.low, d.high)], zero=True)
    assert axis is not None
    rows = tuple(
        (
            Cell(spoken(key), key),
            Cell(signed(d.value, 2), exact(d.value, "points"), d.value),
            Cell(
                span((d.low, d.high), 2, sign=True),
                exact_span((d.low, d.high)),
                mark=svgdraw.strip(d.value, (d.low, d.high), axis, THIS.css),
            ),
            Cell(p_text(d.p_value), exact(d.p_value), d.p_value),
            Cell(reading(d, rival.name)),
        )
        for key, d in found.items()
    )
    columns = (
        *(Column("Metric"), Column("Difference, points", True), Column("95 % CI, points")),
        *(Column("p", True), Column("Reading")),
    )
    name = record.identity.variant
    note = "Test images are resampled for both together (F25); not corrected for the number of rows."
    return Table("versus", f"{name} less {rival.name}, on the same images.", columns, rows, note)


def p_text(p: float) -> str:
    """A p value as read: never more certain than the bootstrap can tell."""
    return f"< {SMALL_P}" if p < SMALL_P else f"{p:.4f}"


def reading(d: Difference, rival: str) -> str:
    """Which of the two is better, if that can be told."""
    if not d.decided:
        return "not told apart: the interval covers 0"
    return "this one is better" if d.value > 0 else f"{rival} is better"


def notes_of(record: RunRecord) -> tuple[str, ...]:
    """Sentences about measurements that belong in no table."""
    found = []
    for m in record.measurements:
        if m.key.endswith("/on-threshold"):
            on = round(m.value * m.n / 100)
            rate = metric(m.key.removesuffix("/on-threshold"))
            found.append(f"{plural(on, 'joint')} of {m.n:,} lie exactly on the threshold of {rate} and count (F12).")
        if m.name.part in SPLITS and m.name.metric != DIAGNOSIS and not (m.name.joint or m.name.group):
            key, half = m.key.split("/")
            found.append(f"{metric(key)} of {half} joints: {number(m.value, 2)} % {span(m.interval, 2)}, n = {m.n:,}.")
    return tuple(found)


# ---------------------------------------------------------------------------------------------------- curves


def rate_curves(rate: DistanceRate, sets: Sequence[tuple[str, Style, PersonSet, np.ndarray]]) -> Figure:
    """The share of joints within a threshold, as the threshold grows; each set is label, style, persons, joints."""
    series = []
    for label, style, persons, joints in sets:
        thresholds, values = AUC(rate).curve(persons, joints)
        series.append((label, style, thresholds, values))
    name = metric(rate.key.partition("@")[0])
    svg = plots.lines("curve", series, "threshold, share of the reference length", f"{name}, %", 100)
    return Figure(svg, f"{name} at every threshold up to {rate.threshold:g}.", _legend(series))


def precision_recall(evaluations: Sequence[tuple[str, Evaluation]]) -> Figure:
    """Precision over recall at some OKS thresholds; each evaluation is label and matches."""
    series = []
    for n, (label, evaluation) in enumerate(evaluations):
        tables = evaluation.curves["all"].accumulate(np.ones(len(evaluation.concerned_I), dtype=int))
        assert tables is not None
        for i, t in enumerate(SHOWN_OKS):
            oks = f"{label}, OKS {0.5 + 0.05 * t:.2f}"
            style = Style(1 + n * len(SHOWN_OKS) + i)
            series.append((oks, style, 100 * RECALLS, 100 * tables["precision"][t]))
    svg = plots.lines("precision-recall", series, "recall, %", "precision, %", 102)
    caption = "Precision over recall, persons of all sizes; the area under a curve is the AP at its OKS threshold."
    return Figure(svg, caption, _legend(series))


def _legend(
    series: Iterable[tuple[str, Style, np.ndarray, np.ndarray]],
) -> tuple[tuple[Markup, str], ...]:
    return tuple((svgdraw.swatch(style), label) for label, style, _, _ in series)


def group_dots(record: RunRecord) -> Figure | None:
    """The headline metric by joint group with intervals; None where there are no groups."""
    key = record.measurements[0].key
    found = [m for m in record.measurements if m.key.startswith(f"{key}/") and m.key.count("/") == 1 and m.interval]
    found = [m for m in found if not m.key.endswith(("/visible", "/hidden", "/on-threshold"))]
    if not found:
        return None
    row = plots.Dots(record.identity.variant, THIS, tuple(m.value for m in found), tuple(m.interval for m in found))
    names = [m.key.rpartition("/")[2].replace("_", " ") for m in found]
    svg = plots.dots("groups", names, [row], f"{metric(key)}, %")
    return Figure(svg, "By joint group, with 95 % CIs over images.", ((svgdraw.swatch(THIS), row.label),))


# ---------------------------------------------------------------------------------------------------- diagnosis


def error_tables(truth: PersonSet, predictions: Predictions, found: Diagnosis) -> tuple[Table, ...]:
    """What joints are, by joint, size, occlusion and crowding; and errors of whole detections."""
    splits = (
        ("errors-joints", "Joint by joint", diagnosis_tables.by_joint(truth, found)),
        ("errors-area", "By COCO's sizes", diagnosis_tables.by_area(truth, found)),
        ("errors-stature", "By thirds of stature", diagnosis_tables.by_stature(truth, found)),
        ("errors-hidden", "By hidden joints", diagnosis_tables.by_hidden(truth, found)),
        ("errors-crowding", "By crowding", diagnosis_tables.by_crowding(truth, found)),
    )
    every = diagnosis_tables.overall(found)
    return (*(_error_table(id, title, (*rows, every)) for id, title, rows in splits), _detections(predictions, found))


def _error_table(id: str, title: str, rows: Sequence[ErrorRow]) -> Table:
    columns = (
        *(Column("Persons with"), Column("Persons", True), Column("Found", True), Column("Joints", True)),
        *(Column(f"{kind}, %", True) for kind in KINDS),
    )
    cells = [
        (
            Cell(row.name.replace("_", " ")),
            *(Cell(f"{count:,}", sort=float(count)) for count in (row.persons, row.found, row.joints)),
            *(_share(getattr(row, kind), row.joints) for kind in KINDS),
        )
        for row in rows
    ]
    return Table(id, f"{title}: what the labelled joints of found persons are.", columns, tuple(cells))


def _share(count: int, total: int) -> Cell:
    if not total:
        return Cell(EMPTY)
    return Cell(number(100 * count / total, 1), f"{count:,} joints", 100 * count / total)


def _detections(predictions: Predictions, found: Diagnosis) -> Table:
    e = diagnosis_tables.detection_errors(predictions, found)
    order = EMPTY if e.score_order is None else number(e.score_order, 3)
    values = (
        ("predictions that count", f"{e.predictions:,}"),
        ("false positives", f"{e.false_positives:,}"),
        ("of them near a person that another prediction found", f"{e.duplicates:,}"),
        ("persons to find", f"{e.persons:,}"),
        ("persons that nothing found", f"{e.false_negatives:,}"),
        ("persons whose best prediction scores below a worse one", f"{e.outranked:,}"),
        ("rank correlation of score and OKS (Kendall's tau-b)", order),
    )
    rows = tuple((Cell(what), Cell(value)) for what, value in values)
    return Table("errors-detections", "Whole detections.", (Column("What"), Column("Count", True)), rows)


def gains_table(gains: Gains) -> Table:
    """What mending each kind of error is worth."""
    rows = [
        (
            Cell(g.error),
            Cell(EMPTY if g.errors is None else f"{g.errors:,}", sort=None if g.errors is None else float(g.errors)),
            Cell(signed(g.alone - gains.ap, 2), exact(g.alone - gains.ap, "points"), g.alone - gains.ap),
            Cell(number(g.so_far, 2), exact(g.so_far, "percent"), g.so_far),
        )
        for g in gains.gains
    ]
    columns = (
        *(Column("Error mended"), Column("How many", True)),
        *(Column("AP won alone, points", True), Column("AP with all so far mended, %", True)),
    )
    caption = f"What mending is worth, from AP {number(gains.ap, 2)} on."
    note = f"Mended joints are put where they just begin to be good, at a similarity of {gains.similarity:g}."
    return Table("gains", caption, columns, tuple(rows), note)


# ---------------------------------------------------------------------------------------------------- cases


def worst_cases(
    truth: PersonSet, predictions: Predictions, diagnosis: Diagnosis | None
) -> tuple[tuple[Case, ...], bool]:
    """The persons whose prediction is furthest off, drawn; and whether any has its photograph."""
    rows, matched, error, told = _pairs(truth, predictions, diagnosis)
    cases, photographs = [], False
    persons = truth.subset(rows)
    for at in np.argsort(-error, kind="stable")[:WORST]:
        sample = scoring.sample_of(persons, predictions.joints[matched], predictions.joint_scores[matched], int(at))
        image = _pixels(truth, sample.image)
        photographs |= image is not None
        off = len(svgdraw.large_errors(sample))
        title = f"Person {rows[at]} in {truth.images.name(sample.image)}"
        note = f"{told[at]}; {plural(off, 'joint')} off by more than 10 %"
        if diagnosis is not None:
            kinds = diagnosis.kind[rows[at]]
            found = [f"{int((kinds == k).sum())} {kind}" for k, kind in enumerate(KINDS) if k and (kinds == k).any()]
            note += f"; {', '.join(found) or 'all good'}"
        window = svgdraw.window_of([sample])
        drawing = svgdraw.person(sample, image, window, f"{title}: {note}", truth.skeleton)
        cases.append(Case(drawing, title, note))
    return tuple(cases), photographs


def _pairs(
    truth: PersonSet, predictions: Predictions, diagnosis: Diagnosis | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Rows of persons, rows of their predictions, how far off each is, as a number and in words."""
    if diagnosis is not None:
        rows = np.flatnonzero(diagnosis.found & diagnosis.wanted)
        oks = diagnosis.oks[rows]
        return rows, diagnosis.detection[rows], 1 - oks, [f"OKS {v:.2f}" for v in oks]
    assert predictions.person is not None
    with_labels = truth.labelled[predictions.person].any(axis=1)
    matched = np.flatnonzero(with_labels)
    rows = predictions.person[matched]
    away = np.linalg.norm(predictions.joints[matched] - truth.joints[rows], axis=-1)
    share = away / np.linalg.norm(truth.box[rows, 2:], axis=-1)[:, None]
    labelled = truth.labelled[rows]
    mean = np.where(labelled, share, 0).sum(axis=1) / labelled.sum(axis=1)
    return rows, matched, mean, [f"mean error {100 * v:.1f} % of the box diagonal" for v in mean]


def _pixels(truth: PersonSet, image: int) -> np.ndarray | None:
    """The image, or None where it is not there: annotations can be scored without photographs."""
    try:
        return truth.images.read(image)
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------- the page


def lead_of(record: RunRecord) -> str:
    """The headline in a sentence."""
    m = record.measurements[0]
    around = f", 95 % CI {span(m.interval, 2)}" if m.interval else ""
    return f"{metric(m.key)} {number(m.value, 2)} %{around}, n = {m.n:,}."


def submission_table(record: RunRecord) -> Table:
    """What was scored, and against what."""
    s, i = record.submission, record.identity
    assert s is not None
    values = (
        ("Submitted by", s.name),
        ("File", f"{s.file} ({s.layout})"),
        ("Made by", s.creator or "not said"),
        ("SHA-256 of the predictions", record.predictions_sha256),
        ("SHA-256 of the weights", record.weights_sha256 or "not known"),
        ("Scored against", s.truth),
        ("Digest of the persons", i.test_digest),
        ("Protocol", f"{i.protocol}, {i.protocol_hash}"),
        ("Record", record.id),
    )
    rows = tuple((Cell(what), Cell(value)) for what, value in values)
    return Table("submission", "What was scored, and against what.", (Column("What"), Column("Value")), rows)


def protocol_table(truth: Truth) -> Table:
    """The protocol, field by field."""
    rows = tuple((Cell(what), Cell(value)) for what, value in protocol_fields(truth.protocol).items())
    return Table("protocol", truth.protocol.name, (Column("Field"), Column("Value")), rows)


def build(
    record: RunRecord, truth: Truth, predictions: Predictions, rival: Rival | None, same_run: RunRecord | None
) -> ScorePage:
    """The page of a record, the persons it was scored against and its predictions.

    `same_run` is a run of ours that gave the very same predictions, if there is one.
    """
    persons = truth.persons
    judged, gains, why_not = _diagnosed(persons, predictions)
    cases, photographs = worst_cases(persons, predictions, judged)
    assert record.submission is not None
    scores = calibration_view.named([record], record.identity.variant)
    return ScorePage(
        name=record.identity.variant,
        protocol=record.identity.protocol,
        submission=record.submission,
        lead=lead_of(record),
        subset=bool(truth.file),
        notes=(*notes_of(record), *same_sentence(same_run)),
        headline=headline_table(record),
        versus=None if rival is None else versus_table(record, rival),
        groups=groups_table(record),
        joints=parts_table(record, "joints", "Joint by joint.", ("joint", "without")),
        figures=_figures(record, truth, predictions, rival),
        errors=() if judged is None else error_tables(persons, predictions, judged),
        gains=None if gains is None else gains_table(gains),
        no_diagnosis=why_not,
        cases=cases,
        photographs=photographs and isinstance(persons.images, FileImages),
        submitted=submission_table(record),
        conditions=protocol_table(truth),
        environment=provenance_view.environments([record]),
        calibration=calibration_view.tables(scores),
        reliability=calibration_view.figures(scores),
    )


def same_sentence(run: RunRecord | None) -> tuple[str, ...]:
    """That a run of ours gave the same predictions: then this is no other model (F26)."""
    if run is None:
        return ()
    i = run.identity
    return (f"These are, to the bit, the predictions of record {run.id}: {i.paper}/{i.variant}, {i.recipe} (F26).",)


def _diagnosed(persons: PersonSet, predictions: Predictions) -> tuple[Diagnosis | None, Gains | None, str]:
    """The diagnosis and what mending is worth, or why there is none."""
    try:
        check(persons, predictions)
    except ValueError as error:
        return None, None, str(error).removeprefix("diagnosis: ")
    found = diagnose(persons, predictions)
    return found, gains_of(persons, predictions, found) if found.found.any() else None, ""


def _figures(record: RunRecord, truth: Truth, predictions: Predictions, rival: Rival | None) -> tuple[Figure, ...]:
    """The curve of the headline metric, then its joint groups."""
    headline, persons = truth.protocol.metrics[0], truth.persons
    sets = [(record.identity.variant, THIS, predictions)]
    if rival is not None:
        sets.append((rival.name, OTHER, rival.predictions))
    found: list[Figure | None] = [group_dots(record)]
    if isinstance(headline, DistanceRate):
        rows = [(label, style, persons.subset(p.person), p.joints) for label, style, p in sets if p.person is not None]
        found.insert(0, rate_curves(headline, rows))
    elif isinstance(headline, OksAP):
        found.insert(0, precision_recall([(label, evaluate(persons, p)) for label, _, p in sets]))
    return tuple(f for f in found if f is not None)
