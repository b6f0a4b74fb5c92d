"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import re
import sys
import traceback
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hpe_bench.data.prediction_files import Origin
    from hpe_bench.run.pool import Settings

app = typer.Typer(
    help="Published claims about 2D human pose estimation meet measurement.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets: list, check, fetch, export.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
protocols_app = typer.Typer(help="Protocols: list, show, diff.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(protocols_app, name="protocols")
weights_app = typer.Typer(help="Released weights: list, fetch.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(weights_app, name="weights")


class ScaleName(StrEnum):
    """What is run: `cost` counts and times the full-size models, `pocket` trains the miniatures, `full` the models."""

    cost = "cost"
    pocket = "pocket"
    full = "full"


class Launcher(StrEnum):
    """Where full-size trainings are started."""

    local = "local"
    slurm = "slurm"


DEFAULT_SCALES = (ScaleName.cost, ScaleName.pocket)


class PrecisionName(StrEnum):
    """Precision of a full-size training."""

    fp32 = "fp32"
    bf16 = "bf16"


class ColourOrder(StrEnum):
    """Order of an image's colours."""

    rgb = "rgb"
    bgr = "bgr"


class DataName(StrEnum):
    """Data sets with a pocket protocol."""

    mannequins = "mannequins"
    lsp = "lsp"


class TrainedData(StrEnum):
    """Data sets that something is trained on: miniatures on the first two, full-size models on all."""

    mannequins = "mannequins"
    lsp = "lsp"
    mpii = "mpii"
    coco = "coco"


class CeilingData(StrEnum):
    """Data sets that codec ceilings are measured on."""

    mannequins = "mannequins"
    lsp = "lsp"
    coco_mini = "coco-mini"


class KnownData(StrEnum):
    """Data sets that can be checked."""

    mannequins = "mannequins"
    lsp = "lsp"
    coco = "coco"
    crowdpose = "crowdpose"
    mpii = "mpii"
    ochuman = "ochuman"
    coco_wholebody = "coco-wholebody"
    halpe = "halpe"
    aic = "aic"


class FetchedData(StrEnum):
    """Data sets that can be downloaded."""

    coco = "coco"
    mpii = "mpii"
    lsp = "lsp"


class FormatName(StrEnum):
    """Files that networks are exported to."""

    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"
    tflite = "tflite"
    coreml = "coreml"


class LayoutName(StrEnum):
    """Annotation layouts for export."""

    coco = "coco"
    mpii = "mpii"


PaperArg = Annotated[str, typer.Argument(help="A paper's folder name; see `hpe-bench list`.")]
DataOpt = Annotated[DataName, typer.Option("--data", help="Data set of the pocket comparison.")]
RootOpt = Annotated[Path | None, typer.Option("--root", help="Folder that holds the data set (not for mannequins).")]
SeedsOpt = Annotated[
    int | None, typer.Option("--seeds", min=1, help="Seeds per arm; the study's own number by default.")
]
UntilOpt = Annotated[
    float | None,
    typer.Option(
        "--until",
        help="Seeds until every difference to the control is known to so many points, 3 to 10 of them, or to --seeds.",
    ),
]
WorkersOpt = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trainings at a time; one per core by default.")
]
DeviceOpt = Annotated[str, typer.Option("--device", help="Device of the trainings: cpu, cuda or mps.")]


def _folders(given: Path | list[Path] | None) -> Path | list[Path] | None:
    """ValueError where a folder is named and a file is there."""
    for path in given if isinstance(given, list) else [given]:
        if path is not None and path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; name a folder")
    return given


ResultsOpt = Annotated[Path, typer.Option("--results", callback=_folders, help="Folder of the records.")]
ReportsOpt = Annotated[Path, typer.Option("--reports", callback=_folders, help="Folder of the pages.")]
RunsOpt = Annotated[
    Path, typer.Option("--runs", callback=_folders, help="Folder of checkpoints, weights and predictions.")
]
INTERRUPTED = 130  # what typer makes of Ctrl-C
RESULTS, REPORTS, RUNS = Path("results"), Path("reports"), Path("runs")
PAPERS = Path("papers")
WEIGHTS = Path("weights")


def _version(asked: bool) -> None:
    if asked:
        from hpe_bench import __version__

        print(f"hpe-bench {__version__}")
        raise typer.Exit()


@app.callback()
def about(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Published claims about 2D human pose estimation meet measurement."""


@app.command("list", epilog="Example: hpe-bench list")
def list_papers(results: ResultsOpt = RESULTS) -> None:
    """Papers with their variants, claims and verdicts."""
    from hpe_bench.commands import listing

    if listing.print_list(_console(), results):
        raise typer.Exit(2)


@app.command(epilog="Example: hpe-bench show my_paper")
def show(paper: PaperArg) -> None:
    """One paper: what it claims, its variants, its studies."""
    from hpe_bench.commands import show as pages

    pages.print_paper(_console(), paper)


@app.command(epilog="Example: hpe-bench reproduce my_paper --samples 2000 --seeds 1")
def reproduce(
    paper: PaperArg,
    scale: Annotated[
        list[ScaleName] | None, typer.Option("--scale", help="Repeatable; cost and pocket by default.")
    ] = None,
    data: Annotated[
        TrainedData, typer.Option("--data", help="Data set to train on; miniatures know mannequins and lsp.")
    ] = TrainedData.mannequins,
    root: RootOpt = None,
    seeds: SeedsOpt = None,
    until: UntilOpt = None,
    workers: WorkersOpt = None,
    device: DeviceOpt = "cpu",
    variant: Annotated[
        str | None, typer.Option("--variant", help="full: the variant; the paper's timed one by default.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="full: the recipe; that of the variant's input size by default.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--samples", "--budget", min=1, help="Training samples, fewer than the recipe's; in records of their own."
        ),
    ] = None,
    init: Annotated[
        str | None, typer.Option("--init", help="full: FILE of ImageNet weights; with --budget, random in their place.")
    ] = None,
    inputs: Annotated[
        str | None, typer.Option("--input", help="full: HEIGHTxWIDTH in place of the variant's; a variant of its own.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", help="full: score a training under this one alone; repeatable."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="full: VARIANT=FILE of released weights, in place of training; repeatable."),
    ] = None,
    colours: Annotated[
        ColourOrder | None, typer.Option("--colours", help="full: order that the weights were trained on; as declared.")
    ] = None,
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="full: fp32, or bf16 by autocast.")
    ] = PrecisionName.fp32,
    compiled: Annotated[bool, typer.Option("--compile", help="full: torch.compile.")] = False,
    graphed: Annotated[bool, typer.Option("--graphs", help="full, on a GPU: steps replayed as CUDA graphs.")] = False,
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="full: GPUs (or processes on a CPU) that share each training.")
    ] = 1,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="full: this seed alone.")] = None,
    launcher: Annotated[
        Launcher, typer.Option("--launcher", help="full: here, or as a Slurm job; an array of one a seed.")
    ] = Launcher.local,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="slurm: nodes, each with --devices.")] = 1,
    time: Annotated[str, typer.Option("--time", help="slurm: limit; a job goes on after it.")] = "12:00:00",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="full: say what it would take, hours and disk, and run nothing.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="full: the same bits however many processes share a training; slower.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="full: event files of TensorBoard as well, in the training's folder.")
    ] = False,
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Measure a paper's costs, train its headline comparison in miniature, judge its claims, write its page.

    With --scale full: train a full-size model by a recipe of the paper, or by one shortened with --budget; or judge
    released weights with --weights.
    """
    from hpe_bench.commands import reproduce as story
    from hpe_bench.commands.full import FullRequest
    from hpe_bench.training.execution import Execution

    scales = [s.value for s in scale or DEFAULT_SCALES]
    sizes = _sizes(inputs)
    if len(sizes) > 1:
        raise ValueError("--input: give one size, such as 256x192")
    asked = FullRequest(
        data=data.value,
        variant=variant,
        recipe=recipe,
        budget=budget,
        init=init,
        input_hw=sizes[0] if sizes else None,
        protocols=tuple(protocol or ()),
        weights=tuple(weights or ()),
        colours=None if colours is None else colours.value,
        seeds=seeds or 1,
        workers=workers or 1,
        execution=Execution(precision.value, compiled, graphed, exact=exact, tensorboard=tensorboard),
        seed=seed,
        devices=devices * nodes,
        dry_run=dry_run,
    )
    if launcher is Launcher.slurm:
        from hpe_bench.commands import full, slurm

        if scales != ["full"] or weights:
            raise ValueError("--launcher slurm runs full-size trainings: give --scale full alone, without --weights")
        slurm.check()
        planned = full.planned(paper, asked)
        slurm.submit(
            sys.argv[1:],
            seeds=len(planned),
            nodes=nodes,
            devices=devices,
            on_gpu=device.startswith("cuda"),
            minutes=slurm.minutes_of(time),
            folder=runs / "slurm",
            console=_console(),
        )
        return
    if nodes > 1:
        raise ValueError("--nodes is for --launcher slurm; torchrun starts processes on several machines by itself")
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun's or Slurm's
    if processes > 1:
        if devices not in (1, processes):
            raise ValueError(f"--devices {devices}, but {processes} processes were started; leave --devices out")
        asked = replace(asked, devices=processes)
    settings = _settings(results, runs, root, workers, device)
    _exit(story.reproduce(paper, scales, asked, seeds, until, settings, reports, _console()))


@app.command(epilog="Example: hpe-bench ablate my_paper --study headline")
def ablate(
    paper: PaperArg,
    study: Annotated[str | None, typer.Option("--study", help="One study by name; all of them by default.")] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="10000,20000,...: some of the study's budgets; all by default.")
    ] = None,
    missing_only: Annotated[
        bool,
        typer.Option("--missing-only", help="Train only what no record in --results of the present code is about."),
    ] = False,
    data: DataOpt = DataName.mannequins,
    root: RootOpt = None,
    seeds: SeedsOpt = None,
    until: UntilOpt = None,
    workers: WorkersOpt = None,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Train all arms of a paper's studies under one equal budget, or at several, and write its page."""
    from hpe_bench.commands import reproduce as story

    settings = replace(_settings(results, runs, root, workers, device), missing_only=missing_only)
    some = _numbers(budgets, "--budgets")
    _exit(story.ablate(paper, study, data.value, seeds, until, some, settings, reports, _console()))


@app.command(epilog="Example: hpe-bench compare my_paper other_paper")
def compare(
    papers: Annotated[list[str], typer.Argument(help="Two papers or more.")],
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
) -> None:
    """Set papers side by side: what was measured, with intervals and differences, as a table and a page."""
    from hpe_bench.commands import show as pages

    pages.print_comparison(_console(), papers, results, reports)


@app.command(epilog="Example: hpe-bench leaderboard --results results --results mine")
def leaderboard(
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", callback=_folders, help="Folder of records; repeatable, for one board of several."),
    ] = None,
    reports: ReportsOpt = REPORTS,
    readme: Annotated[
        Path | None, typer.Option("--readme", help="A README whose table of verdicts to refresh.")
    ] = None,
) -> None:
    """Write reports/index.html and every paper's page from the records."""
    from hpe_bench.commands import show as pages

    pages.write_all(_console(), results or [RESULTS], reports, readme)


@app.command(epilog="Example: hpe-bench results --paper my_paper --kind accuracy --key 'pckh@0.5*' --csv mine.csv")
def results(
    paper: Annotated[list[str] | None, typer.Option("--paper", help="Only this paper's; repeatable.")] = None,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="Only this variant's; repeatable.")] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="Only under this protocol.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only cost, accuracy, latency, ceiling or submission.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Only this measurement; * and ? as in file names: 'pckh@0.5/*'.")
    ] = None,
    runtime: Annotated[list[str] | None, typer.Option("--runtime", help="Only in this runtime.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File to write; - for the standard output.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="File to write.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File to write; - for the standard output.")] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--results", callback=_folders, help="Folder of records; repeatable."),
    ] = None,
) -> None:
    """Every measurement of the records, one a row: as a table, CSV, Parquet or JSON."""
    from hpe_bench.commands import results as rows

    filters = {"paper": paper, "variant": variant, "protocol": protocol, "kind": kind, "key": key, "runtime": runtime}
    files = {name: file for name, file in (("csv", csv), ("parquet", parquet), ("json", json)) if file is not None}
    rows.results(folders or [RESULTS], filters, files, _console())


@app.command(epilog="Example: hpe-bench profile mine.py:build --inputs 256x192 --threads 1")
def profile(
    subject: Annotated[
        str | None,
        typer.Argument(help="A paper, FILE.onnx, .tflite or .xml, FILE.py:callable or package.module:callable."),
    ] = None,
    variant: Annotated[
        str | None, typer.Argument(help="A paper's variant; all of them by default, with runtimes the timed ones.")
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option("--predictor", help="FILE.py:function: time your own predictor from image to joints; no record."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="One variant a paper in every runtime at 1 thread; at all cores those that papers are timed against "
            "(in turns) in every runtime and scope, the others eager and in engines. What was finished here is not "
            "measured again.",
        ),
    ] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="Parameters and MACs alone, of any size with --inputs; nothing is timed.")
    ] = False,
    runtime: Annotated[
        str | None, typer.Option("--runtime", help="eager,onnxruntime,...; all of the processor's by default.")
    ] = None,
    threads: Annotated[str | None, typer.Option("--threads", help="1,2,...; 1 and all cores by default.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="1,8,...; 1 by default.")] = None,
    inputs: Annotated[str | None, typer.Option("--inputs", help="HEIGHTxWIDTH,...; the variant's by default.")] = None,
    scope: Annotated[str | None, typer.Option("--scope", help="network,flip,processed,end-to-end.")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Weights, released or ours.")] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="The weights' recipe, where the paper trains with several losses.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Score every runtime under a protocol, with --weights.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1, help="Seconds a runtime may take to build, and for each turn.")
    ] = 180.0,
    timing_runs: Annotated[
        int,
        typer.Option("--timing-runs", min=1, help="How often to time all of it anew, a record each; pages pool them."),
    ] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="A look in seconds: counts and one runtime; no record is kept.")
    ] = False,
    root: RootOpt = None,
    results: ResultsOpt = RESULTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Cost of a paper's networks; with runtime options, or for a network of your own, latency in every runtime.

    Without options: parameters, MACs under every convention, activations, eager CPU latency at 1 thread and at all.
    """
    if predictor is not None:
        if subject is not None or any((every, counts, runtime, inputs, scope, weights, recipe, protocol, quick)):
            raise ValueError("--predictor takes --threads, --batch (persons in the image) and --time-limit alone")
        from hpe_bench.commands import profile_predictor

        persons = _numbers(batch, "--batch")
        _exit(profile_predictor.profile(predictor, _numbers(threads, "--threads"), persons, time_limit, _console()))
        return
    if counts:
        if subject is None or any((every, runtime, threads, batch, scope, weights, recipe, protocol)):
            raise ValueError("--counts takes a network and perhaps --inputs; it times and scores nothing")
        from hpe_bench.commands.counts import print_counts

        print_counts(subject, variant, _sizes(inputs), _console())
        return
    from hpe_bench.commands import profile as profiling
    from hpe_bench.commands import reproduce as story

    settings = _settings(results, runs, root, None, "cpu")
    asked = profiling.ProfileRequest(
        subject=subject,
        variant=variant,
        runtimes=_words(runtime),
        threads=_numbers(threads, "--threads"),
        batches=_numbers(batch, "--batch"),
        inputs=_sizes(inputs),
        scopes=_words(scope),
        weights=weights,
        recipe=recipe,
        protocol=protocol,
        limit_s=time_limit,
        timing_runs=timing_runs,
        quick=quick,
    )
    if every:
        if subject is not None or not replace(asked, timing_runs=1).counts_only:
            raise ValueError("--all stands alone but for --timing-runs, --time-limit, --results and --runs")
        _exit(profiling.profile_all(time_limit, settings, _console(), timing_runs))
    elif subject is not None and asked.counts_only:
        _exit(story.profile(subject, variant, settings, _console()))
    else:
        _exit(profiling.profile(asked, settings, _console()))


ProtocolOpt = Annotated[str, typer.Option("--protocol", help="A protocol by its name.")]
PaperOpt = Annotated[str | None, typer.Option("--paper", help="The paper whose network it is.")]
VariantOpt = Annotated[str | None, typer.Option("--variant", help="The paper's variant.")]
RecipeOpt = Annotated[
    str | None, typer.Option("--recipe", help="The recipe, where the paper trains with several losses.")
]
WeightsOpt = Annotated[
    Path | None, typer.Option("--weights", help="Weights, released or ours; of our runs they tell the network.")
]
FileOpt = Annotated[
    Path | None,
    typer.Option(
        "--model", "--onnx", help="Somebody's network, .onnx, .tflite or .xml (IR); a .toml beside it may say the rest."
    ),
]
InputsOpt = Annotated[
    str | None, typer.Option("--inputs", help="HEIGHTxWIDTH, for a file that takes images of any size.")
]
PredictorOpt = Annotated[
    str | None,
    typer.Option("--predictor", help="FILE.py:function of your own; `hpe-bench new --predictor` writes one."),
]
MeanOpt = Annotated[str | None, typer.Option("--mean", help="File: subtracted from grey levels of 0..255: a,b,c.")]
StdOpt = Annotated[str | None, typer.Option("--std", help="File: what grey levels are then divided by: a,b,c.")]
ColoursOpt = Annotated[str | None, typer.Option("--colours", help="File: rgb or bgr.")]
ActivationOpt = Annotated[str | None, typer.Option("--activation", help="File: none or sigmoid, applied to its maps.")]
JointsOpt = Annotated[
    str | None, typer.Option("--joints", help="File: a skeleton's name, or its maps' joints: a,b,...")
]
OutputOpt = Annotated[str | None, typer.Option("--output", help="File: the output with the heatmaps.")]
ForceOpt = Annotated[bool, typer.Option("--force", help="Replace files that are there; never an input.")]
NameOpt = Annotated[
    str | None, typer.Option("--name", help="Who or what is scored; the file's or network's by default.")
]
PersonsOpt = Annotated[Path | None, typer.Option("--persons", help="CSV to write: the persons' scores one by one.")]
AgainstOpt = Annotated[Path | None, typer.Option("--against", help="Predictions to hold these against, pairwise.")]


@app.command(epilog="Example: hpe-bench predict --protocol mannequins-v1-dark --model pose.onnx --to pose.npz")
def predict(
    protocol: ProtocolOpt,
    to: Annotated[
        Path,
        typer.Option(
            "--to", help="File to write: .npz of ours, COCO results in .json, or what MPII's server takes in .mat."
        ),
    ],
    root: RootOpt = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder of your own images, with --boxes.")] = None,
    boxes: Annotated[
        Path | None, typer.Option("--boxes", help="CSV of boxes: image, x, y, width, height and perhaps score.")
    ] = None,
    paper: PaperOpt = None,
    variant: VariantOpt = None,
    recipe: RecipeOpt = None,
    weights: WeightsOpt = None,
    file: FileOpt = None,
    inputs: InputsOpt = None,
    predictor: PredictorOpt = None,
    mean: MeanOpt = None,
    std: StdOpt = None,
    colours: ColoursOpt = None,
    activation: ActivationOpt = None,
    joints: JointsOpt = None,
    output: OutputOpt = None,
    draw: Annotated[Path | None, typer.Option("--draw", help="Folder for the images with the poses drawn.")] = None,
    force: ForceOpt = False,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Predict poses in a protocol's boxes, or in boxes of your own, as the protocol crops and decodes.

    Boxes are in stored pixels: an image's EXIF orientation is not applied, but said.
    """
    from hpe_bench.commands import submit

    if (images is None) != (boxes is None):
        raise ValueError("images of your own need both --images FOLDER and --boxes FILE")
    own = None if images is None or boxes is None else (images, boxes)
    convention = _convention(mean, std, colours, activation, joints, output)
    model = submit.OutsideModel(weights, paper, variant, recipe, file, convention, predictor, _one_size(inputs))
    submit.predict(model, protocol, own, to, draw, _settings(results, runs, root, None, device), _console(), force)


@app.command(epilog="Example: hpe-bench score mine.json --protocol coco-val2017-gtbox --root DATA")
def score(
    file: Annotated[Path, typer.Argument(help="Predictions: .npz of ours, COCO results, or an array of joints.")],
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="A protocol by its name; none for a data set of your own (--truth)."),
    ] = None,
    root: RootOpt = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="An annotation file in place of the protocol's data; a root then holds images."),
    ] = None,
    origin: Annotated[
        int | None, typer.Option("--origin", min=0, max=1, help="Where a bare array counts pixels from: 0 or 1.")
    ] = None,
    sigmas: Annotated[
        Path | None, typer.Option("--sigmas", help="Own data: TOML or JSON with a sigma for every joint; 1/J without.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Own data: what PCK and NME are relative to: box, torso, or joint,joint.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--map", help="Predictions in other joints: source:target, or a TOML file of a table.")
    ] = None,
    against: AgainstOpt = None,
    name: NameOpt = None,
    persons: PersonsOpt = None,
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Score a file of predictions under a protocol: table with intervals, record, page."""
    from hpe_bench.commands import submit

    counted_from: Origin | None = None if origin is None else (1 if origin else 0)
    settings = _settings(results, runs, root, None, "cpu")
    wish = submit.ScoreRequest(file, protocol, name, truth, counted_from, against, sigmas, by, mapping)
    submit.score(wish, persons, settings, reports, _console())


@app.command(epilog="Example: hpe-bench evaluate --protocol mannequins-v1-dark --weights runs/RUN/weights.safetensors")
def evaluate(
    protocol: ProtocolOpt,
    root: RootOpt = None,
    paper: PaperOpt = None,
    variant: VariantOpt = None,
    recipe: RecipeOpt = None,
    weights: WeightsOpt = None,
    file: FileOpt = None,
    inputs: InputsOpt = None,
    predictor: PredictorOpt = None,
    mean: MeanOpt = None,
    std: StdOpt = None,
    colours: ColoursOpt = None,
    activation: ActivationOpt = None,
    joints: JointsOpt = None,
    output: OutputOpt = None,
    against: AgainstOpt = None,
    name: NameOpt = None,
    persons: PersonsOpt = None,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Predict and score in one."""
    from hpe_bench.commands import submit

    convention = _convention(mean, std, colours, activation, joints, output)
    model = submit.OutsideModel(weights, paper, variant, recipe, file, convention, predictor, _one_size(inputs))
    settings = _settings(results, runs, root, None, device)
    submit.evaluate(model, protocol, name, against, persons, settings, reports, _console())


@app.command(epilog="Example: hpe-bench robustness runs/RUN/weights.safetensors --protocol lsp-pc-v1-dark --root DATA")
def robustness(
    protocol: ProtocolOpt,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Weights of a run, a file as of --model, or FILE.py:function; in place of those options.",
        ),
    ] = None,
    root: RootOpt = None,
    corruptions: Annotated[
        str | None, typer.Option("--corruptions", help="Comma-separated kinds, such as box_jitter,fog; all by default.")
    ] = None,
    severities: Annotated[
        str | None, typer.Option("--severities", help="Comma-separated, 1 to 5; all by default.")
    ] = None,
    paper: PaperOpt = None,
    variant: VariantOpt = None,
    recipe: RecipeOpt = None,
    weights: WeightsOpt = None,
    file: FileOpt = None,
    inputs: InputsOpt = None,
    predictor: PredictorOpt = None,
    mean: MeanOpt = None,
    std: StdOpt = None,
    colours: ColoursOpt = None,
    activation: ActivationOpt = None,
    joints: JointsOpt = None,
    output: OutputOpt = None,
    name: NameOpt = None,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Score a model clean and under corruptions of boxes and images: record, page."""
    from hpe_bench.commands import robustness as command
    from hpe_bench.commands import submit

    convention = _convention(mean, std, colours, activation, joints, output)
    named = submit.OutsideModel(weights, paper, variant, recipe, file, convention, predictor, _one_size(inputs))
    settings = _settings(results, runs, root, None, device)
    levels = _numbers(severities, "--severities")
    asked = command.model_of(model, named)
    command.measure(asked, protocol, name, _words(corruptions), levels, settings, reports, _console())


@app.command(epilog="Example: hpe-bench export my_paper pocket --to onnx")
def export(
    paper: PaperArg,
    variant: Annotated[str, typer.Argument(help="The paper's variant.")],
    to: Annotated[FormatName, typer.Option("--to", help="The kind of file.")],
    recipe: RecipeOpt = None,
    weights: WeightsOpt = None,
    joints: Annotated[
        int | None, typer.Option("--joints", min=1, help="How many; the variant's own if left out.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a call.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", help="File to write; named after the variant.")] = None,
    force: ForceOpt = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="In 8 bits, with ranges taken from training crops of --protocol.")
    ] = False,
    protocol: Annotated[str | None, typer.Option("--protocol", help="With --int8: a protocol by its name.")] = None,
    root: RootOpt = None,
    crops: Annotated[int, typer.Option("--crops", min=8, help="With --int8: how many training crops.")] = 200,
) -> None:
    """Write a network for another runtime, checked against eager PyTorch; its last output is the heatmaps."""
    from hpe_bench import catalog
    from hpe_bench.commands import export as export_command

    if int8 != (protocol is not None):
        raise ValueError("--int8 and --protocol go together: the protocol names the training crops that ranges are of")
    eight = None
    if protocol is not None:
        eight = export_command.Int8(catalog.find_protocol(protocol), None if root is None else str(root), crops)
    wish = export_command.ExportRequest(paper, variant, recipe, weights, joints, batch, eight)
    export_command.export(wish, to.value, output, _console(), force)


@app.command(epilog="Example: hpe-bench ceilings --data lsp --root DATA")
def ceilings(
    data: Annotated[CeilingData, typer.Option("--data", help="Data set.")] = CeilingData.mannequins,
    root: RootOpt = None,
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
) -> None:
    """Score a perfect network: what each codec loses at each heatmap size, and to moved boxes; write the page."""
    from hpe_bench.commands import reproduce as story

    _exit(story.ceilings(data.value, None if root is None else str(root), results, reports, _console()))


@app.command(epilog="Example: hpe-bench new my_paper --to my_papers")
def new(
    slug: Annotated[
        str | None, typer.Argument(help="Name of the paper's folder: lower-case letters, digits, '_'.")
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option("--predictor", help="In place of a paper: name of a predictor, for a model of your own."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to put it in; papers/ for a paper, here for a predictor.")
    ] = None,
) -> None:
    """Start a paper, or a predictor: a folder that runs and has contract tests, to be filled in."""
    from hpe_bench.commands import new as scaffold

    if (slug is None) == (predictor is None):
        raise ValueError("name a paper to start, or a predictor with --predictor NAME")
    if predictor is not None:
        folder = scaffold.new_predictor(predictor, to or Path())
        where = f"{folder / 'predictor.py'}:{predictor}"
        print(f"wrote {folder}; fill in predictor.py. Next:\n  pytest {folder}")
        print(f"  hpe-bench evaluate --protocol mannequins-v1 --predictor {where} --name {predictor}")
        return
    assert slug is not None
    folder = scaffold.new_paper(slug, to or PAPERS)
    print(f"wrote {folder}; fill in paper.py, model.py, claims.csv and README.md. Next:")
    for line in scaffold.next_steps(folder):
        print(f"  {line}")


@app.command(epilog="Example: hpe-bench doctor --measure")
def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Also how fast it multiplies, decodes crops and writes; some seconds.")
    ] = False,
) -> None:
    """Check this machine: packages, processor, load, disk."""
    from hpe_bench.commands import doctor as examination

    if not examination.examine(_console(), measure):
        raise typer.Exit(1)


@data_app.command("list", epilog="Example: hpe-bench data list")
def data_list() -> None:
    """Data sets this version can read."""
    from hpe_bench.data import check

    check.print_list(_console())


@data_app.command("check", epilog="Example: hpe-bench data check lsp --root DATA")
def data_check(
    name: Annotated[KnownData, typer.Argument(help="Data set.")],
    root: RootOpt = None,
) -> None:
    """Count and hash what lies under a root, and say which protocols it is enough for."""
    from hpe_bench.data import check
    from hpe_bench.run import readiness

    console, folder = _console(), None if root is None else str(root)
    whole = check.print_check(console, name.value, folder)
    if name is not KnownData.mannequins:  # which are generated when they are needed
        readiness.print_readiness(console, name.value, folder)
    _exit(whole)


@data_app.command("fetch", epilog="Example: hpe-bench data fetch coco --to DATA")
def data_fetch(
    name: Annotated[FetchedData, typer.Argument(help="Data set.")],
    to: Annotated[Path, typer.Option("--to", help="Folder that will hold the data set; the --root of other commands.")],
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Address of a folder with the archives, in place of the authors'.")
    ] = None,
    sha256: Annotated[
        list[str] | None, typer.Option("--sha256", help="FILE=HASH of an archive that you trust; repeatable.")
    ] = None,
    record_hash: Annotated[
        bool, typer.Option("--record-hash", help="Take what arrives, and hold later downloads to its hash.")
    ] = False,
) -> None:
    """Download a data set from its authors, verify and unpack it; an interrupted download goes on."""
    from hpe_bench.data import fetch

    pairs = dict(text.partition("=")[::2] for text in sha256 or ())
    console = _console()
    folder = fetch.fetch(console, name.value, to, mirror, pairs, record_hash)
    console.print(f"{folder} is there", highlight=False, markup=False)


@data_app.command("export", epilog="Example: hpe-bench data export mannequins --to some_folder --persons 100 --sheet")
def data_export(
    name: Annotated[DataName, typer.Argument(help="Data set; only mannequins can be exported.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write; must not exist or be empty.")],
    layout: Annotated[LayoutName, typer.Option("--layout", help="Annotation layout.")] = LayoutName.coco,
    split: Annotated[str, typer.Option("--split", help="train or test.")] = "test",
    persons: Annotated[int, typer.Option("--persons", min=1, help="How many persons.")] = 1000,
    sheet: Annotated[bool, typer.Option("--sheet", help="Add a contact sheet with the joints drawn.")] = False,
) -> None:
    """Write mannequins as images and annotations that other tools read."""
    from hpe_bench.data import export

    if name is not DataName.mannequins:
        raise ValueError("only mannequins can be exported; the photographs of lsp are not ours to pass on")
    export.export_mannequins(to, layout.value, split, persons, with_sheet=sheet)
    _console().print(f"wrote {to}", highlight=False)


@weights_app.command("list", epilog="Example: hpe-bench weights list my_paper")
def weights_list(paper: Annotated[str | None, typer.Argument(help="A paper; all of them by default.")] = None) -> None:
    """Released weights that papers declare, and which claims each would decide."""
    from hpe_bench.commands import weights

    weights.print_list(_console(), paper)


@weights_app.command("fetch", epilog="Example: hpe-bench weights fetch my_paper my_variant")
def weights_fetch(
    paper: PaperArg,
    variant: Annotated[str, typer.Argument(help="The paper's variant.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")] = WEIGHTS,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Address of a folder with the files, in place of their own.")
    ] = None,
) -> None:
    """Download a variant's released weights and verify them; an interrupted download goes on."""
    from hpe_bench.commands import weights

    console = _console()
    for path in weights.fetch(console, paper, variant, to, mirror):
        console.print(str(path), highlight=False, markup=False)


ProtocolArg = Annotated[str, typer.Argument(help="A protocol's name; see `hpe-bench protocols list`.")]


@protocols_app.command("list", epilog="Example: hpe-bench protocols list")
def protocols_list() -> None:
    """All protocols by name, with their hashes."""
    from hpe_bench.commands import protocols

    protocols.print_list(_console())


@protocols_app.command("show", epilog="Example: hpe-bench protocols show coco-val2017-gtbox")
def protocols_show(name: ProtocolArg) -> None:
    """Everything that a protocol says."""
    from hpe_bench.commands import protocols

    protocols.print_protocol(_console(), name)


@protocols_app.command("diff", epilog="Example: hpe-bench protocols diff coco-val2017-gtbox coco-val2017-det56")
def protocols_diff(first: ProtocolArg, second: ProtocolArg) -> None:
    """How two protocols differ, field by field."""
    from hpe_bench.commands import protocols

    protocols.print_diff(_console(), first, second)


# ---------------------------------------------------------------------------------------------------- helpers


def _console() -> Console:
    from hpe_bench.terminal import PlainConsole

    follows = os.environ.get("RANK", "0") != "0"  # of several processes that share a training the first one tells
    return PlainConsole(width=None if sys.stdout.isatty() else 160, quiet=follows)


def _settings(results: Path, runs: Path, root: Path | None, workers: int | None, device: str) -> Settings:
    from hpe_bench.run.pool import Settings

    return Settings(
        results=results,
        runs=runs,
        root=None if root is None else str(root),
        workers=workers or os.cpu_count() or 1,
        device=device,
    )


def _convention(
    mean: str | None,
    std: str | None,
    colours: str | None,
    activation: str | None,
    joints: str | None,
    output: str | None,
) -> tuple[tuple[str, object], ...]:
    """What was said about a file; numbers as they are written, since its own check names what is wrong."""
    triples = {name: text.split(",") for name, text in (("mean", mean), ("std", std)) if text is not None}
    words = {"colours": colours, "activation": activation, "joints": joints, "output": output}
    return tuple((triples | {name: text for name, text in words.items() if text is not None}).items())


def _words(text: str | None) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(text: str | None, option: str) -> tuple[int, ...]:
    """Comma-separated positive whole numbers, in order, each once."""
    words = _words(text)
    if bad := [word for word in words if not word.isdecimal() or int(word) < 1]:
        raise ValueError(f"{option}: {bad[0]!r} is no positive whole number; give such as 1,2")
    return tuple(sorted({int(word) for word in words}))


def _sizes(text: str | None) -> tuple[tuple[int, int], ...]:
    """Comma-separated sizes (height, width)."""
    found = [(word, re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word)) for word in _words(text)]
    if bad := [word for word, match in found if match is None]:
        raise ValueError(f"--inputs: {bad[0]!r} is no size; write height x width, such as 256x192")
    return tuple((int(match[1]), int(match[2])) for _, match in found if match is not None)


def _one_size(text: str | None) -> tuple[int, int] | None:
    """One size (height, width), if any."""
    found = _sizes(text)
    if len(found) > 1:
        raise ValueError("--inputs: give one size, such as 256x192")
    return found[0] if found else None


def _exit(ok: bool) -> None:
    if not ok:
        raise typer.Exit(1)


def main() -> None:
    """Console entry: one sentence and an exit code instead of a traceback (`HPE_BENCH_DEBUG=1` shows it)."""
    from hpe_bench.errors import notices_to, sentence
    from hpe_bench.processes import terminated_by, unwinding_when_terminated

    _print_what_can_be_printed()
    try:
        with unwinding_when_terminated(), notices_to(_note):
            app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            number = terminated_by(ended)
            word, code = ("interrupted", INTERRUPTED) if number is None else ("terminated", 128 + number)
            _say(f"{word}; the same command goes on from what is finished", code)
        raise
    except (ValueError, OSError) as error:
        _say(sentence(error), 2)
    except Exception as error:
        _say(f"this should not have happened: {type(error).__name__}: {error} (HPE_BENCH_DEBUG=1 shows where)", 1)


PLAIN = {
    0xA0: " ",
    0x2009: " ",
    0x202F: " ",
    0x2013: "-",
    0x2014: "-",
    0x2212: "-",
    0xD7: "x",
    0xB7: "*",
    0x2026: "...",
}


def _print_what_can_be_printed() -> None:
    """Characters that a stream's encoding lacks are printed as plain ones, else as '?': printing never fails."""
    import codecs

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return "".join(PLAIN.get(ord(c), "?") for c in error.object[error.start : error.end]), error.end

    codecs.register_error("hpe-bench-plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="hpe-bench-plain")


def _note(text: str) -> None:
    print(f"hpe-bench: {text}", file=sys.stderr)


def _say(message: str, code: int) -> None:
    if os.environ.get("HPE_BENCH_DEBUG"):
        traceback.print_exc()
    from hpe_bench.data.names import printable

    print(f"hpe-bench: {printable(message)}", file=sys.stderr)
    sys.exit(code)
