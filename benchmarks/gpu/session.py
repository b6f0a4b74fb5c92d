"""The conductor: which part runs when, for how long, and what is kept when it ends. Imports neither torch nor numpy."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.gpu.budget import NETWORKS, budget_of
from benchmarks.gpu.setting import Setting, report_file, reported
from hpe_bench.files import write_atomically

PACKING_SECONDS = 12.0  # kept free at the end
CHECK_SHARE, ROWS_SHARE, SPEED_SHARE = 0.125, 0.17, 0.125  # of the limit, at most
TRAINING_SHARE = 0.4  # of the limit that parts before the trainings may not take
QUIET_SHARE = 0.14  # of the limit, after which latency is measured beside whatever still runs
POLL_SECONDS = 0.25


@dataclasses.dataclass
class Child:
    """A part that runs."""

    name: str
    process: subprocess.Popen[bytes]
    deadline: float
    began: float


class Session:
    """Where a session lies and what is known so far."""

    def __init__(self, setting: Setting, out: Path, work: Path, limit: float, began: float | None = None) -> None:
        self.setting, self.out, self.work, self.limit = setting, out, work, limit
        self.began = time.monotonic() if began is None else began
        self.children: list[Child] = []
        for folder in (out, work, setting.results, setting.runs):
            folder.mkdir(parents=True, exist_ok=True)
        self.figures: dict[str, Any] = self._known()
        self.figures.setdefault("starts", []).append(datetime.now(UTC).isoformat(timespec="seconds"))
        self.figures.setdefault("parts", {})

    def _known(self) -> dict[str, Any]:
        path = self.out / "figures.json"
        try:
            known = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError):
            return {}
        return known if isinstance(known, dict) else {}

    # ------------------------------------------------------------------------------------------------ time

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds for parts."""
        return self.limit - PACKING_SECONDS - self.elapsed

    # ------------------------------------------------------------------------------------------------ parts

    def state(self, name: str) -> str:
        """How a part ended, "" if it never ran."""
        return str(self.figures["parts"].get(name, {}).get("state", ""))

    def say(self, text: str) -> None:
        """A line for whoever watches, and for the log."""
        line = f"[{self.elapsed:6.1f} s] {text}"
        print(line, flush=True)
        with (self.out / "log.txt").open("a") as file:
            file.write(line + "\n")

    def start(self, name: str, seconds: float, part: str | None = None, **extra: Any) -> None:
        """Start a part in a process group of its own, unless it is finished or no time is left."""
        if not self.setting.wants(name):
            return
        if self.state(name) == "done":
            self.say(f"{name}: done by an earlier start")
            return
        seconds = min(seconds, self.left)
        if seconds < 1:
            self.figures["parts"][name] = {"state": "no time left"}
            self.say(f"{name}: no time left")
            return
        report_file(self.work, name).unlink(missing_ok=True)
        setting = self.setting.with_extra(report=name, seconds=seconds, **extra)
        with (self.out / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                self.command(part or name, setting),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=self._environment(),
            )
        now = time.monotonic()
        self.children.append(Child(name, process, now + seconds, now))
        self.say(f"{name}: started, {seconds:.0f} s at most")

    def command(self, part: str, setting: Setting) -> list[str]:
        """What runs a part."""
        return [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--setting", setting.to_text()]

    def _environment(self) -> dict[str, str]:
        """That of the parts: this source tree, a cache in the work folder, one thread unless a part says otherwise."""
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        more = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HPE_BENCH_CACHE": str(self.work / "cache")}
        return os.environ | more | {"PYTHONUNBUFFERED": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}

    def wait(self, *names: str, until: float = float("inf")) -> None:
        """Until these parts have ended or were ended at their limits, or so many seconds after the session's start."""
        while any(child.name in names for child in self.children) and self.elapsed < until:
            self.poll()
            time.sleep(POLL_SECONDS)

    def poll(self) -> None:
        """Look after every part once."""
        now = time.monotonic()
        for child in list(self.children):
            code = child.process.poll()
            if code is not None:
                self._keep(child, "done" if code == 0 else f"failed with code {code}; see log.txt")
        late = [child for child in self.children if now >= child.deadline]
        end(late)
        for child in late:
            self._keep(child, f"stopped at its limit of {child.deadline - child.began:.0f} s")

    def _keep(self, child: Child, state: str) -> None:
        self.children.remove(child)
        seconds = round(time.monotonic() - child.began, 1)
        self.figures["parts"][child.name] = {
            "state": state,
            "seconds": seconds,
            "figures": reported(self.work, child.name),
        }
        self.say(f"{child.name}: {state} after {seconds:.0f} s")
        self.save()

    def end_all(self) -> None:
        """End what still runs, keeping what it reported."""
        running = list(self.children)
        end(running)
        for child in running:
            self._keep(child, "stopped at the end of the session")

    # ------------------------------------------------------------------------------------------------ keeping

    def save(self) -> None:
        """Figures and records as they stand."""
        write_atomically(self.out / "figures.json", (json.dumps(self.figures, indent=1) + "\n").encode())
        pack(self.setting.results, self.out / "records.tar.gz")

    def summary(self) -> int:
        """Say how every part ended; 1 if one did not end well."""
        self.figures["seconds"] = round(self.elapsed, 1)
        self.save()
        for name, part in self.figures["parts"].items():
            self.say(f"{name}: {part['state']}")
        records = len(list(self.setting.results.glob("*/*.json")))
        self.say(f"{records} records in {self.out / 'records.tar.gz'}")
        return int(any(part["state"] != "done" for part in self.figures["parts"].values()))


def end(children: list[Child]) -> None:
    """End parts and whatever they started, all at once; they get a moment to put things down."""
    for kind, seconds in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 3.0)):
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, kind)  # a part's group has its number
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(child.process.poll() is None for child in children):
            time.sleep(0.05)


def pack(folder: Path, path: Path) -> None:
    """All records below a folder as one archive, written whole or not at all."""
    partial = path.with_suffix(".part")
    with tarfile.open(partial, "w:gz", compresslevel=6) as archive:
        for file in sorted(folder.glob("*/*.json")):
            archive.add(file, arcname=str(file.relative_to(folder)))
    partial.replace(path)


def conduct(session: Session) -> int:
    """The whole session, inside its limit; 1 if a part failed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        _parts(session)
    except KeyboardInterrupt:
        session.say("stopped; the same command goes on from what is finished")
    except Exception as error:  # whatever it is, what was measured is kept
        session.say(f"the conductor failed: {type(error).__name__}: {error}")
        session.figures["fault"] = f"{type(error).__name__}: {error}"
    finally:
        session.end_all()
    return session.summary()


def _parts(session: Session) -> None:
    """Checks beside the preparation of data; then, in quiet, latency; then speeds and trainings beside miniatures."""
    limit = session.limit
    most = limit * (1 - TRAINING_SHARE)
    session.start("machine", CHECK_SHARE * limit)
    session.start("prepare", most)
    if session.setting.pocket:
        session.start("prepare-pocket", most)
    session.start("counts", QUIET_SHARE * limit)
    session.start("checks", CHECK_SHARE * limit)
    session.start("compile", CHECK_SHARE * limit)
    session.wait("machine", "checks", "compile", "prepare", "counts")
    session.wait("prepare-pocket", until=QUIET_SHARE * limit)
    session.start("rows", min(ROWS_SHARE * limit, most - session.elapsed))
    session.wait("rows")
    if session.setting.pocket:
        session.wait("prepare-pocket")
        session.start("pocket", session.left)
    session.start("speeds", min(SPEED_SHARE * limit, max(most - session.elapsed, 20.0)))
    session.wait("speeds")
    _train(session)
    session.wait(*(f"train-{network.paper}" for network in NETWORKS))
    session.start("rows-energy", session.left)  # of the GPU alone, whatever the processor is doing
    session.wait("rows-energy", "pocket")


def _train(session: Session) -> None:
    """The full-size trainings side by side, at one budget that all can finish in the time left."""
    figures = session.figures
    if not any(session.setting.wants(f"train-{network.paper}") for network in NETWORKS):
        return
    speeds = figures["parts"].get("speeds", {}).get("figures", {})
    checks = figures["parts"].get("checks", {}).get("figures", {})
    if "budget" not in figures:
        graphs = checks.get("graphs", {}).get("state") == "passed"
        figures["budget"] = budget_of(speeds, session.left, graphs, session.setting)
        session.save()
    chosen = figures["budget"]
    session.say(f"trainings of {chosen['samples']:,} samples each: {chosen['why']}")
    for network in NETWORKS:
        execution = chosen["executions"][network.paper]
        session.start(
            f"train-{network.paper}", session.left, "train", paper=network.paper, samples=chosen["samples"], **execution
        )
