"""The commands as Python calls: `hpe_bench.score`, `hpe_bench.compare` and `hpe_bench.profile`.

They do what the commands of the same names do, print nothing and give objects with a pandas `frame`, which a notebook
shows as tables. What they find is written only where a call says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from hpe_bench.commands.answers import Compared, Profiled, Scored
    from hpe_bench.data.prediction_files import Origin

Place = str | Path


def score(
    predictions: Place,
    protocol: str | None = None,
    *,
    truth: Place | None = None,
    root: Place | None = None,
    origin: Origin | None = None,
    against: Place | None = None,
    name: str | None = None,
    sigmas: Place | None = None,
    by: str | None = None,
    mapping: str | None = None,
    results: Place = "results",
) -> Scored:
    """Score a file of predictions under a protocol, as `hpe-bench score` does; nothing is written before `.save()`.

    Without a protocol `truth` is a data set of one's own, which names its joints; `sigmas` is a file of them, `by` what
    PCK is relative to: box, torso, or two joints. `mapping` is for predictions in another skeleton's joints:
    "coco-17:mpii-16", or a TOML file.

    `truth` is an annotation file in place of the protocol's own data, `root` the folder of those (or of the images),
    `origin` 0 or 1 where a bare array counts pixels from. `results` are the records that the same predictions may stand
    in under another name, which is refused (F26). ValueError says what is wrong with a file.
    """
    from hpe_bench.commands import submit

    settings = submit.Settings(Path(results), Path("runs"), root=None if root is None else str(root))
    wish = submit.ScoreRequest(
        *(Path(predictions), protocol, name, _path(truth), origin, _path(against), _path(sigmas), by, mapping)
    )
    return submit.scored_file(wish, settings, _silence())


def compare(*papers: str, path: Place = "results") -> Compared:
    """Set two papers or more side by side, from the records under `path`, as `hpe-bench compare` does."""
    from hpe_bench.commands import show

    return show.compared(papers, Path(path))


def profile(
    subject: str,
    variant: str | None = None,
    *,
    runtimes: Sequence[str] = (),
    threads: Sequence[int] = (),
    batches: Sequence[int] = (),
    inputs: Sequence[tuple[int, int]] = (),
    scopes: Sequence[str] = (),
    weights: Place | None = None,
    recipe: str | None = None,
    protocol: str | None = None,
    root: Place | None = None,
    time_limit: float = 180.0,
    results: Place | None = None,
    runs: Place | None = None,
) -> Profiled:
    """Count and time a paper's networks, an ONNX file or `FILE.py:callable`, as `hpe-bench profile` does.

    Sizes are (height, width). Records are kept only where `results` and `runs` name folders; with them, what was
    finished there is not measured again.
    """
    from hpe_bench.commands import profile as profiling
    from hpe_bench.commands import reproduce as story
    from hpe_bench.commands.answers import Profiled
    from hpe_bench.run.pool import Settings

    asked = profiling.ProfileRequest(
        subject=subject,
        variant=variant,
        runtimes=tuple(runtimes),
        threads=tuple(threads),
        batches=tuple(batches),
        inputs=tuple(inputs),
        scopes=tuple(scopes),
        weights=_path(weights),
        recipe=recipe,
        protocol=protocol,
        limit_s=time_limit,
    )
    with ExitStack() as stack:
        passing = Path(stack.enter_context(TemporaryDirectory(prefix="hpe-bench-")))
        settings = Settings(
            _path(results) or passing / "results", _path(runs) or passing / "runs", None if root is None else str(root)
        )
        if asked.counts_only:
            found = story.costed(subject, variant, settings, _silence())
        else:
            found = profiling.profiled(asked, settings, _silence())
        return Profiled(tuple(record.whole() for record in found))


def _path(place: Place | None) -> Path | None:
    return None if place is None else Path(place)


def _silence() -> Console:
    """A console that prints nothing."""
    from rich.console import Console

    return Console(quiet=True)
