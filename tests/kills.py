"""The kill harness: every stage of the work is killed at random moments and started again.

    python -m tests.kills [--kills N] [--seed S] [STAGE ...]          # or `make torture`

A stage runs once undisturbed, which tells how long it takes and what it leaves. Then, again and again in an empty
folder, it is started, gets SIGKILL or SIGTERM in turn after a random share of that time, and is started once more. That
start must end well and leave what the undisturbed run left, to the bit (but for times and dates); no process of either
start may live on; no partial file, lock, workspace or damaged file may lie about. Only the process itself is killed,
not the ones it has started: those have to notice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "HPE_BENCH_TORTURE"  # an environment variable by which every process of a start is known
LINGER_SECONDS = 15.0  # for orphans to notice, on a busy machine
HANG_SECONDS = 120.0  # for what was killed to unwind
OF_TIME = ("s", "ms", "GMAC/s")  # units of what no two runs give alike
LEFTOVERS = (".*.part", ".*.lock", "*.damaged", "checkpoint*")


# ---------------------------------------------------------------------------------------------------- stages


def generation(folder: Path) -> None:
    """Mannequins, on two processes."""
    from hpe_bench.data.mannequins import Mannequins, source

    data = Mannequins(train_persons=4, test_persons=40)
    source.generate(data, "test", data.folder("test", str(folder / "out")), workers=2)


def cropping(folder: Path) -> None:
    """Crops of noise, into a cache."""
    from hpe_bench.data.crops import build_crops
    from tests.test_crops import Noise, make_persons

    build_crops(make_persons(Noise(3), count=1500), (128, 96), 1.25, 1.5, cache=folder / "out")


def training(folder: Path) -> None:
    """The small training, in a process of its own, and its scores under two protocols."""
    os.execv(sys.executable, [sys.executable, "-m", "tests.run_small", str(folder / "out"), "800"])


def scoring(folder: Path) -> None:
    """Predictions for an annotation file: table, record, page."""
    from tests.predicted import answers, coco_truth, persons, results

    truth = persons(40, 20)
    (folder / "truth.json").write_text(json.dumps(coco_truth(truth)))
    (folder / "mine.json").write_text(json.dumps(results(truth, answers(truth))))
    command("score", "mine.json", "--protocol", "coco-val2017-gtbox", "--truth", "truth.json", *places())


def export(folder: Path) -> None:
    """A network as a file."""
    command("export", "tiny", "tiny", "--to", "torchscript", "--output", "out/tiny.pt", "--force")


def profiling(folder: Path) -> None:
    """A network in two runtimes, one of which reads an exported file."""
    options = ("--runtime", "eager,onnxruntime", "--threads", "1", "--results", "out/results", "--runs", "out/runs")
    command("profile", "tiny", "tiny", *options)


def board(folder: Path) -> None:
    """Pages of a paper, its comparison and the leaderboard, of records made up."""
    from hpe_bench import catalog
    from hpe_bench.records import store
    from hpe_bench.report import site
    from tests import synthetic_records as make
    from tests.synthetic_records import Level

    paper = catalog.load("tiny").paper
    for arm in paper.headline.arms:
        store.save(make.accuracy(arm, 0, Level(70)), folder / "records")
    site.refresh(folder / "records", folder / "out", "tiny")


def places() -> tuple[str, ...]:
    return "--results", "out/results", "--reports", "out/reports", "--runs", "out/runs"


def command(*arguments: str) -> None:
    """`hpe-bench ...` in this process."""
    from hpe_bench.cli import main

    sys.argv = ["hpe-bench", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise


@dataclass(frozen=True)
class Stage:
    """Something to be killed; `share` of all kills are its."""

    work: Callable[[Path], None]
    share: int
    compared: Callable[[str], bool] = lambda name: True  # files that must be the same to the bit

    @property
    def name(self) -> str:
        return self.work.__name__


STAGES = {
    stage.name: stage
    for stage in (
        Stage(generation, 25),
        Stage(cropping, 25),
        Stage(training, 20),
        Stage(scoring, 15, lambda name: not name.endswith(".html")),  # which says when it was scored
        Stage(export, 10),
        Stage(profiling, 10, lambda name: not name.endswith(".sha256")),  # of a record with its times
        Stage(board, 15),
    )
}


# ---------------------------------------------------------------------------------------------------- one start


def start(stage: Stage, folder: Path, token: str) -> subprocess.Popen[bytes]:
    """A stage in a folder, as a process with a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, TOKEN: token, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"HPE_BENCH_CACHE": str(folder / "cache"), "HPE_BENCH_PAPERS": str(ROOT / "tests" / "papers")}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.kills", "--work", stage.name, str(folder)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def alive(token: str) -> list[int]:
    """Processes of a start that run, whoever their parents are."""
    mark = f"{TOKEN}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # gone, or somebody else's
    return found


def wait_until_alone(token: str) -> list[int]:
    """Give what a start has left running a moment to end; what has not, is ended here and told."""
    deadline = time.monotonic() + LINGER_SECONDS
    while (left := alive(token)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def fingerprints(stage: Stage, folder: Path) -> dict[str, str]:
    """What a stage has left, by name: bytes, or of records what does not depend on the time."""
    found = {}
    for base in (folder / "out", folder / "cache"):
        for path in sorted(p for p in base.rglob("*") if p.is_file()):
            name = f"/{path.relative_to(folder)}"
            if stage.compared(name) and not name.endswith((".lock", ".json.sha256", "progress.jsonl")):
                found[name] = hashlib.sha256(timeless(path)).hexdigest()
    return found


def timeless(path: Path) -> bytes:
    """A file without when and how fast it was made."""
    data = path.read_bytes()
    if path.suffix != ".json":
        return data
    value = json.loads(data)
    if isinstance(value, dict) and "identity" in value:
        value.pop("provenance")
        value["curve"] = [{**point, "seconds": 0} for point in value.get("curve", [])]
        value["timings"] = sorted(f"{t['runtime']} {t['scope']} {t['status']}" for t in value.get("timings", []))
        value["measurements"] = [m for m in value["measurements"] if m["unit"] not in OF_TIME]
        value["absent"] = sorted(absent["key"] for absent in value.get("absent", []))
    if path.name == "history.json":
        value = [{**point, "seconds": 0} for point in value["curve"]]
    return json.dumps(value, sort_keys=True).encode()


def leftovers(folder: Path) -> list[str]:
    """What nobody needs and nobody would remove."""
    places = [folder / "out", folder / "cache"]
    found = {path for base in places for pattern in LEFTOVERS for path in base.rglob(pattern)}
    found |= set((folder / "cache" / "work").glob("*"))
    return sorted(str(path.relative_to(folder)) for path in found)


# ---------------------------------------------------------------------------------------------------- the harness


@dataclass
class Figures:
    """What came of a stage."""

    stage: str
    seconds: float = 0.0
    kills: int = 0
    before_it_ended: int = 0  # kills that found it at work
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        return f"| {self.stage} | {self.seconds:.1f} | {self.kills} | {self.before_it_ended} | {len(self.faults)} |"


HEADER = "| stage | seconds undisturbed | kills | of these at work | faults |\n|---|---:|---:|---:|---:|"


def torture(stage: Stage, kills: int, seed: int) -> Figures:
    """Kill a stage again and again; every fault as a sentence."""
    figures, dice = Figures(stage.name), random.Random(f"{seed} {stage.name}")
    with tempfile.TemporaryDirectory(prefix="torture-") as base:
        folder = Path(base) / "work"
        began = time.monotonic()
        undisturbed = start(stage, folder, f"{os.getpid()}-{stage.name}-whole")
        if undisturbed.wait(900):
            figures.faults.append(f"undisturbed, it ended with {undisturbed.returncode}: {tail(folder)}")
            return figures
        figures.seconds = time.monotonic() - began
        wanted = fingerprints(stage, folder)
        assert wanted, "a stage that leaves nothing proves nothing"
        for number in range(kills):
            shutil.rmtree(folder)
            moment = dice.uniform(0.05, 1.0) * figures.seconds
            kind = (signal.SIGKILL, signal.SIGTERM)[number % 2]
            for fault in one_kill(stage, folder, moment, kind, wanted, figures, number):
                figures.faults.append(f"kill {number} ({kind.name} after {moment:.2f} s): {fault}")
    return figures


def one_kill(
    stage: Stage,
    folder: Path,
    moment: float,
    kind: signal.Signals,
    wanted: dict[str, str],
    figures: Figures,
    number: int,
) -> Iterator[str]:
    """Start, kill, look for orphans; start again, compare, look for orphans and leftovers."""
    token = f"{os.getpid()}-{stage.name}-{number}"
    killed = start(stage, folder, token)
    try:
        killed.wait(moment)
    except subprocess.TimeoutExpired:
        killed.send_signal(kind)
        figures.before_it_ended += 1
    figures.kills += 1
    try:
        killed.wait(HANG_SECONDS)
    except subprocess.TimeoutExpired:
        killed.kill()
        killed.wait()
        yield f"did not end within {HANG_SECONDS:.0f} s"
    if orphans := wait_until_alone(token):
        yield f"{len(orphans)} processes outlived it"
    again = start(stage, folder, f"{token}-again")
    try:
        code = again.wait(900)
    except subprocess.TimeoutExpired:
        again.kill()
        code = again.wait()
    if code:
        yield f"the next start ended with {code}: {tail(folder)}"
        return
    if orphans := wait_until_alone(f"{token}-again"):
        yield f"{len(orphans)} processes outlived the next start"
    found = fingerprints(stage, folder)
    if differing := [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]:
        yield f"differs from an undisturbed run: {', '.join(differing[:5])}"
    if left := leftovers(folder):
        yield f"left lying about: {', '.join(left[:5])}"


def tail(folder: Path) -> str:
    """The end of what the starts have said."""
    return (folder / "log").read_text(errors="replace")[-800:]


def main() -> None:
    """Kill the stages named, or all, and print a table; exit code 1 for a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Kill and start again.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--kills", type=int, help="of each stage; by default 120 in all")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(HEADER)
    faults = []
    for name in asked.stages or STAGES:
        figures = torture(STAGES[name], asked.kills or STAGES[name].share, asked.seed)
        print(figures.row(), flush=True)
        faults += [f"{name}: {fault}" for fault in figures.faults]
    print("\n".join(faults))
    sys.exit(bool(faults))


def work(name: str, folder: Path) -> None:
    """One stage, in this process, unwinding as the command line does."""
    from hpe_bench.processes import unwinding_when_terminated

    with unwinding_when_terminated():
        STAGES[name].work(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
