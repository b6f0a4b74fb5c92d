"""The commands about predictions, told as lists of steps: predict, score, evaluate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpe_bench.catalog import find_predicted, find_protocol
from hpe_bench.commands.answers import Scored
from hpe_bench.data import own_images, prediction_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.joint_subsets import Mapped, read_mapping
from hpe_bench.data.prediction_files import Origin, PredictionFile, content_sha256
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import NAME, Protocol
from hpe_bench.files import require_free, write_atomically
from hpe_bench.inference import networks, overlays, predictor_process
from hpe_bench.inference.file_runners import SUFFIXES
from hpe_bench.inference.model_file import read_convention
from hpe_bench.metrics.own_metrics import BOX
from hpe_bench.protocols import mapped
from hpe_bench.records import frame, store
from hpe_bench.records.provenance import check_device
from hpe_bench.records.query import Records
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.pages import score_page
from hpe_bench.report.pages.score_page import Rival
from hpe_bench.run import prediction as predicting
from hpe_bench.run import scoring, submission, truths
from hpe_bench.run.pool import Settings
from hpe_bench.run.prediction import Task
from hpe_bench.run.truths import Truth
from hpe_bench.terminal import Board, plain_table

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class OutsideModel:
    """What the command line says about the network: a paper's variant, weights of a run, a file, or own code."""

    weights: Path | None = None
    paper: str | None = None
    variant: str | None = None
    recipe: str | None = None
    file: Path | None = None  # ONNX, TFLite or IR
    convention: tuple[tuple[str, Any], ...] = ()  # of the file, as far as it was given
    predictor: str | None = None  # FILE.py:function
    inputs: tuple[int, int] | None = None  # (h, w), for a file that takes images of any size

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from."""
        code = None if self.predictor is None else Path(self.predictor.rpartition(":")[0])
        return tuple(path for path in (self.weights, self.file, code) if path is not None)


def predict(
    model: OutsideModel,
    protocol_name: str,
    own: tuple[Path, Path] | None,
    to: Path,
    draw: Path | None,
    settings: Settings,
    console: Console,
    force: bool = False,
) -> None:
    """Boxes of a protocol's data, or of one's own images (folder, CSV of boxes), through a network into a file.

    The file is COCO results where it ends in .json, what MPII's server takes in .mat, else our .npz. Whatever would be
    overwritten is refused at once.
    """
    protocol = find_predicted(protocol_name)
    write = predicting.writer(to, protocol.data if own is None else None)
    inputs = [path for path in (*model.files, *(own or ())) if path is not None and path.is_file()]
    require_free([to], inputs, force)
    network = load(model, protocol.data.skeleton, settings)
    if own is None:
        task = prepared(protocol, settings, console)
    else:
        task = predicting.task_of_images(protocol, *own)
        warn_of_turned(task, console)
    if isinstance(task.truth.images, FileImages):
        inputs += task.truth.images.paths
    drawings = [] if draw is None else overlays.targets(task.truth.images, draw)
    if to.resolve() in {path.resolve() for path in drawings}:
        raise ValueError(f"{to} would be a drawing, too; name another target")
    require_free([to, *drawings], inputs, force)
    found = answered(task, network, settings, console)
    write_atomically(to, write(task, found, network))
    count = 0 if draw is None else overlays.draw_all(task.truth.images, found, task.truth.skeleton, draw)
    console.print(f"wrote {to}: {len(found):,} predictions", highlight=False, markup=False)
    if draw is not None:
        console.print(f"drew {count:,} images in {draw}", highlight=False, markup=False)


@dataclass(frozen=True)
class ScoreRequest:
    """A file of predictions to score: under which protocol, for whom, against what.

    Without a protocol the truth is a data set of one's own, which knows its joints; `sigmas` is a file of them, `by`
    what PCK and NME are relative to. `mapping` is for predictions in another skeleton's joints.
    """

    path: Path
    protocol: str | None
    name: str | None = None
    truth: Path | None = None
    origin: Origin | None = None
    against: Path | None = None
    sigmas: Path | None = None
    by: str | None = None
    mapping: str | None = None


def score(wish: ScoreRequest, persons: Path | None, settings: Settings, reports: Path, console: Console) -> None:
    """A file of predictions under a protocol: table, record, page."""
    conclude(scored_file(wish, settings, console), persons, settings, reports, console)


def scored_file(wish: ScoreRequest, settings: Settings, console: Console) -> Scored:
    """A file of predictions, scored; nothing is written."""
    started = datetime.now(UTC)
    name = checked_name(wish.name or wish.path.stem)
    truth = asked_truth(wish, settings, console)
    file = read_predictions(wish.path, truth, wish.origin)
    rival = None if wish.against is None else (wish.against, read_predictions(wish.against, truth, wish.origin))
    return scored(name, wish.path, truth, file, rival, settings, started)


def asked_truth(wish: ScoreRequest, settings: Settings, console: Console) -> Truth:
    """The persons to score against: of a protocol, or of a data set of one's own."""
    if wish.protocol is not None:
        if wish.sigmas is not None or wish.by is not None:
            raise ValueError(
                f"--sigmas and --by are for a data set of one's own; {wish.protocol} says both: leave --protocol out"
            )
        protocol = find_protocol(wish.protocol)
        if wish.mapping is not None:
            protocol = mapped(protocol, read_mapping(wish.mapping))
        return truth_of(protocol, wish.truth, settings, console)
    if wish.truth is None:
        raise ValueError("name a protocol with --protocol, or a data set of one's own with --truth FILE")
    if wish.mapping is not None:
        raise ValueError("--map is for the joints of a protocol; name it with --protocol")
    images = None if settings.root is None else Path(settings.root)
    truth = truths.of_own_data(wish.truth, images, wish.sigmas, wish.by or BOX)
    console.print(truth.told, highlight=False, markup=False)
    _print_remarks(truth, console)
    return truth


def read_predictions(path: Path, truth: Truth, origin: Origin | None) -> PredictionFile:
    """A file for some persons; of another skeleton's joints those that the protocol maps."""
    data = truth.protocol.data
    if not isinstance(data, Mapped):
        return prediction_files.read(path, truth.persons, origin)
    file = prediction_files.read(path, data.answering(truth.persons), origin)
    columns = data.mapping.columns
    found = file.predictions
    area = found.area if found.area is not None else np.prod(np.ptp(found.joints, axis=1), axis=-1).astype(float)
    kept = replace(found, joints=found.joints[:, columns], joint_scores=found.joint_scores[:, columns], area=area)
    layout = f"{file.layout}, joints of {data.mapping.source}"
    sha256 = content_sha256(kept, truth.persons.ids[kept.image], truth.persons.skeleton.joints)
    return replace(file, predictions=kept, layout=layout, sha256=sha256)


def evaluate(
    model: OutsideModel,
    protocol_name: str,
    name: str | None,
    against: Path | None,
    persons: Path | None,
    settings: Settings,
    reports: Path,
    console: Console,
) -> None:
    """Predict and score in one: the predictions go to `runs/predictions`."""
    started = datetime.now(UTC)
    protocol = find_protocol(protocol_name)
    network = load(model, protocol.data.skeleton, settings)
    name = checked_name(name or named_after(network))
    task = prepared(protocol, settings, console)
    found = answered(task, network, settings, console)
    truth = Truth(protocol, task.truth)
    path = settings.runs / "predictions" / f"{name}--{protocol.name}.npz"
    write_atomically(path, predicting.as_file(task, found, network))
    file = prediction_files.read(path, truth.persons)
    rival = None if against is None else (against, prediction_files.read(against, truth.persons))
    done = scored(name, path, truth, file, rival, settings, started, network.weights_sha256)
    conclude(done, persons, settings, reports, console)


# ---------------------------------------------------------------------------------------------------- steps


def warn_of_turned(task: Task, console: Console) -> None:
    """Say which images have an EXIF orientation: a viewer shows them turned, and boxes may have been drawn so."""
    assert isinstance(task.truth.images, FileImages)
    turned = own_images.turned(task.truth.images)
    if turned:
        name, orientation = next(iter(turned.items()))
        more = f", and {len(turned) - 1:,} more images have one" if len(turned) > 1 else ""
        console.print(
            f"warning: {name} has an EXIF orientation ({orientation}){more}; boxes and predictions are in stored "
            "pixels, which viewers show turned",
            highlight=False,
            markup=False,
        )


def named_after(network: predicting.Model) -> str:
    """The network's own name, or its file's without the ending."""
    suffix = next((s for s in SUFFIXES if network.name.endswith(s)), "")
    return network.name.removesuffix(suffix).replace("/", "-")


def checked_name(name: str) -> str:
    """A name fit for a file; ValueError with what to do."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name {name!r}: give one of lower-case letters, digits, '.', '_' and '-' with --name")
    return name


def load(model: OutsideModel, skeleton: Skeleton, settings: Settings) -> predicting.Model:
    """The network that the command line names, ready to answer for the joints of a skeleton."""
    check_device(settings.device)
    if sum(given is not None for given in (model.file, model.weights, model.predictor)) != 1:
        raise ValueError(
            "name the network, once: --model FILE, --predictor FILE.py:function, or --weights FILE with --paper and "
            "--variant"
        )
    if model.predictor is not None:
        estimator = predictor_process.opened(model.predictor)
        estimator.order(skeleton)  # what it lacks is said before an image is read
        return estimator
    if model.file is not None:
        return networks.of_file(
            model.file, read_convention(model.file, **dict(model.convention)), skeleton, model.inputs
        )
    assert model.weights is not None
    if model.paper is None:
        return networks.of_run(model.weights, run_records(settings), skeleton)
    if model.variant is None:
        raise ValueError(f"name a variant of {model.paper} with --variant; `hpe-bench show {model.paper}` lists them")
    return networks.of_paper(model.paper, model.variant, model.recipe, model.weights, skeleton)


def run_records(settings: Settings) -> Records:
    """The records of this checkout's runs and those under `results/`."""
    own = store.load_files(sorted((settings.runs / "records").glob("*.json")))
    return Records((*own, *store.load_all(settings.results)))


def prepared(protocol: Protocol, settings: Settings, console: Console) -> Task:
    """The protocol's own data, generated first where they are generated."""
    with Board(console, f"{protocol.data.name}, {protocol.test_split} split", 1) as board:
        return predicting.task_of_protocol(protocol, settings.root, board.set_done)


def answered(task: Task, network: predicting.Model, settings: Settings, console: Console) -> Predictions:
    """The network's or the function's predictions, with progress."""
    with Board(console, f"{network.name} on {len(task.boxes):,} boxes", 1) as board:
        return predicting.answer(task, network, settings.device, board.set_done)


def truth_of(protocol: Protocol, file: Path | None, settings: Settings, console: Console) -> Truth:
    """The persons to score against: those of an annotation file if one is named (then the root holds its images)."""
    if file is not None:
        truth = truths.of_file(protocol, file, None if settings.root is None else Path(settings.root))
        _print_remarks(truth, console)
        return truth
    with Board(console, f"{protocol.data.name}, {protocol.test_split} split", 1) as board:
        return truths.of_protocol(protocol, settings.root, board.set_done)


def _print_remarks(truth: Truth, console: Console) -> None:
    for remark in truth.remarks:
        console.print(f"warning: {remark}; scored as pycocotools does", highlight=False, markup=False)


def scored(
    name: str,
    path: Path,
    truth: Truth,
    file: PredictionFile,
    rival: tuple[Path, PredictionFile] | None,
    settings: Settings,
    started: datetime,
    weights_sha256: str = "",
) -> Scored:
    """Predictions, scored and held against others."""
    found = scoring.scores(truth.protocol, truth.persons, file.predictions, f"{path} ({file.layout})")
    record = submission.record(name, path, truth, file, found, started, weights_sha256)
    there = store.load_all(settings.results)
    other = None if rival is None else held_against(truth, path, file, *rival)
    same = submission.same_run(truth, file, there)
    page = score_page.build(record, truth, file.predictions, other, same)
    return Scored(record, page, truth, file, other, submission.under_another_name(record, there))


def conclude(found: Scored, persons: Path | None, settings: Settings, reports: Path, console: Console) -> None:
    """Write everything (`persons`: a file for their scores one by one), then print the table and where things lie.

    Of predictions that stand there under another name the scores are printed, and nothing is written (ValueError).
    """
    if found.known_as is not None:
        print_score(found.record, found.rival, console)  # which is as true as under the other name
    record, page = found.save(settings.results, settings.runs, reports)
    if persons is not None:
        write_atomically(persons, frame.as_csv(found.persons).encode())
    print_score(found.record, found.rival, console)
    console.print(f"record: {record}", highlight=False, markup=False)
    console.print(f"page: {page}", highlight=False, markup=False)
    if persons is not None:
        console.print(f"persons: {persons}", highlight=False, markup=False)


def held_against(truth: Truth, path: Path, file: PredictionFile, against: Path, other: PredictionFile) -> Rival:
    """Another file on the same persons."""
    found = submission.differences(truth, file, other, (str(path), str(against)))
    return Rival(against.stem, other.predictions, found)


def print_score(record: RunRecord, rival: Rival | None, console: Console) -> None:
    """The table, as on the page."""
    assert record.submission is not None
    console.print(f"{record.identity.protocol}; {record.submission.truth}", highlight=False, markup=False)
    shown = [score_page.headline_table(record), score_page.groups_table(record)]
    if rival is not None:
        shown.append(score_page.versus_table(record, rival))
    for table in shown:
        if table is None:
            continue
        printed = plain_table(*(f" {c.name}" if c.numeric else c.name for c in table.columns))
        for row in table.rows:
            printed.add_row(*(" ".join(filter(None, (c.text, c.note))).replace("[", "\\[") for c in row))
        console.print(printed, "")
