"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hpe_bench.runner import Settings

app = typer.Typer(
    help="Published claims about 2D human pose estimation meet measurement.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets: list, check, export.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


class Scale(StrEnum):
    """What is run: `cost` counts and times the full-size models, `pocket` trains the miniatures."""

    cost = "cost"
    pocket = "pocket"


class DataName(StrEnum):
    """Data sets with a pocket protocol."""

    mannequins = "mannequins"
    lsp = "lsp"


class Layout(StrEnum):
    """Annotation layouts for export."""

    coco = "coco"
    mpii = "mpii"


PaperArg = Annotated[str, typer.Argument(help="A paper's folder name; see `hpe-bench list`.")]
DataOpt = Annotated[DataName, typer.Option("--data", help="Data set of the pocket comparison.")]
RootOpt = Annotated[Path | None, typer.Option("--root", help="Folder that holds the data set (not for mannequins).")]
SeedsOpt = Annotated[
    int | None, typer.Option("--seeds", min=1, help="Seeds per arm; the study's own number by default.")
]
WorkersOpt = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trainings at a time; one per core by default.")
]
DeviceOpt = Annotated[str, typer.Option("--device", help="Device of the trainings: cpu, cuda or mps.")]
ResultsOpt = Annotated[Path, typer.Option("--results", help="Folder of the records.")]
ReportsOpt = Annotated[Path, typer.Option("--reports", help="Folder of the pages.")]
RunsOpt = Annotated[Path, typer.Option("--runs", help="Folder of checkpoints, weights and predictions.")]
INTERRUPTED = 130  # what typer makes of Ctrl-C
RESULTS, REPORTS, RUNS = Path("results"), Path("reports"), Path("runs")
PAPERS = Path("papers")


@app.command("list")
def list_papers(results: ResultsOpt = RESULTS) -> None:
    """Papers with their variants, claims and verdicts."""
    from hpe_bench import show

    broken = show.print_list(_console(), results)
    if broken:
        raise typer.Exit(2)


@app.command()
def show(paper: PaperArg) -> None:
    """One paper: what it claims, its variants, its studies."""
    from hpe_bench import show as pages

    pages.print_paper(_console(), paper)


@app.command()
def reproduce(
    paper: PaperArg,
    scale: Annotated[list[Scale] | None, typer.Option("--scale", help="Repeatable; both by default.")] = None,
    data: DataOpt = DataName.mannequins,
    root: RootOpt = None,
    seeds: SeedsOpt = None,
    workers: WorkersOpt = None,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Measure a paper's costs, train its headline comparison in miniature, judge its claims, write its page."""
    from hpe_bench import reproduce as story

    scales = [s.value for s in scale or list(Scale)]
    settings = _settings(results, runs, root, workers, device)
    _exit(story.reproduce(paper, scales, data.value, seeds, settings, reports, _console()))


@app.command()
def ablate(
    paper: PaperArg,
    study: Annotated[str | None, typer.Option("--study", help="One study by name; all of them by default.")] = None,
    data: DataOpt = DataName.mannequins,
    root: RootOpt = None,
    seeds: SeedsOpt = None,
    workers: WorkersOpt = None,
    device: DeviceOpt = "cpu",
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Train all arms of a paper's studies under one equal budget and write its page."""
    from hpe_bench import reproduce as story

    settings = _settings(results, runs, root, workers, device)
    _exit(story.ablate(paper, study, data.value, seeds, settings, reports, _console()))


@app.command()
def compare(
    papers: Annotated[list[str], typer.Argument(help="Two papers or more.")],
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
) -> None:
    """Set papers side by side: what was measured, with intervals and differences, as a table and a page."""
    from hpe_bench import show as pages

    pages.print_comparison(_console(), papers, results, reports)


@app.command()
def leaderboard(
    results: ResultsOpt = RESULTS,
    reports: ReportsOpt = REPORTS,
    readme: Annotated[
        Path | None, typer.Option("--readme", help="A README whose table of verdicts to refresh.")
    ] = None,
) -> None:
    """Write reports/index.html and every paper's page from the records."""
    from hpe_bench import show as pages

    pages.write_all(_console(), results, reports, readme)


@app.command()
def profile(
    paper: PaperArg,
    variant: Annotated[str | None, typer.Argument(help="One variant; all of them by default.")] = None,
    results: ResultsOpt = RESULTS,
    runs: RunsOpt = RUNS,
) -> None:
    """Parameters, MACs under both conventions, activations, eager CPU latency at 1 thread and at all."""
    from hpe_bench import reproduce as story

    _exit(story.profile(paper, variant, _settings(results, runs, None, None, "cpu"), _console()))


@app.command()
def new(
    slug: Annotated[str, typer.Argument(help="Name of the paper's folder: lower-case letters, digits, '_'.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to put it in.")] = PAPERS,
) -> None:
    """Start a paper: a folder that loads, trains and passes the contract tests, to be filled in."""
    from hpe_bench import scaffold

    folder = scaffold.new_paper(slug, to)
    print(f"wrote {folder}; fill in paper.py, model.py, claims.csv and README.md. Next:")
    for line in scaffold.next_steps(folder):
        print(f"  {line}")


@app.command()
def doctor() -> None:
    """Check this machine: packages, processor, load, disk."""
    from hpe_bench import doctor as examination

    if not examination.examine(_console()):
        raise typer.Exit(1)


@data_app.command("list")
def data_list() -> None:
    """Data sets this version can read."""
    from hpe_bench.data import check

    check.print_list(_console())


@data_app.command("check")
def data_check(
    name: Annotated[DataName, typer.Argument(help="Data set.")],
    root: RootOpt = None,
) -> None:
    """Count and hash what lies under a root against what the protocols need."""
    from hpe_bench.data import check

    if not check.print_check(_console(), name.value, None if root is None else str(root)):
        raise typer.Exit(1)


@data_app.command("export")
def data_export(
    name: Annotated[DataName, typer.Argument(help="Data set; only mannequins can be exported.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write; must not exist or be empty.")],
    layout: Annotated[Layout, typer.Option("--layout", help="Annotation layout.")] = Layout.coco,
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


# ---------------------------------------------------------------------------------------------------- helpers


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def _settings(results: Path, runs: Path, root: Path | None, workers: int | None, device: str) -> Settings:
    from hpe_bench.runner import Settings

    return Settings(
        results=results,
        runs=runs,
        root=None if root is None else str(root),
        workers=workers or os.cpu_count() or 1,
        device=device,
    )


def _exit(ok: bool) -> None:
    if not ok:
        raise typer.Exit(1)


def main() -> None:
    """Console entry: one sentence and an exit code instead of a traceback (`HPE_BENCH_DEBUG=1` shows it)."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _say("interrupted; the same command goes on from what is finished", INTERRUPTED)
        raise
    except (ValueError, OSError) as error:
        from hpe_bench.errors import sentence

        _say(sentence(error), 2)
    except Exception as error:
        _say(f"this should not have happened: {type(error).__name__}: {error} (HPE_BENCH_DEBUG=1 shows where)", 1)


def _say(message: str, code: int) -> None:
    if os.environ.get("HPE_BENCH_DEBUG"):
        traceback.print_exc()
    print(f"hpe-bench: {message}", file=sys.stderr)
    sys.exit(code)
