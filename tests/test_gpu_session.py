"""The session for a machine with one GPU: a failing part costs nothing but itself, and all ends inside the limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks, parts, session
from benchmarks.gpu.budget import NETWORKS, budget_of
from benchmarks.gpu.session import Session, conduct
from benchmarks.gpu.setting import Reporter, Setting, report_file, reported
from hpe_bench.training import feeding

# A part that reports, leaves a record, and then behaves as the file `behaviour` says of it.
FAKE = """
import json, pathlib, signal, sys, time
part, setting = sys.argv[1], json.loads(sys.argv[2])
work, name = pathlib.Path(setting["work"]), setting["extra"]["report"]
how = json.loads((work / "behaviour").read_text()).get(name, "fine")
if how == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with (work / "parts" / f"{name}.jsonl").open("a") as file:
    file.write(json.dumps({"key": "seen", "value": setting["extra"].get("samples")}) + "\\n")
(work / "results" / "paper").mkdir(exist_ok=True)
(work / "results" / "paper" / f"{name}.json").write_text("{}")
print(name, how)
if how == "fails":
    raise ValueError("broken")
if how == "hangs":
    time.sleep(60)
"""


class FakeSession(Session):
    def command(self, part: str, setting: Setting) -> list[str]:
        return [sys.executable, "-c", FAKE, part, setting.to_text()]


class Clock:
    """A session's time: it runs ahead of ours while all that is waited for are parts that hang and have said so."""

    def __init__(self, held: Session, behaviour: dict[str, str]) -> None:
        self.held, self.behaviour, self.ahead = held, behaviour, 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        running = [child.name for child in self.held.children]
        hanging = [n for n in running if self.behaviour.get(n) == "hangs" and reported(self.held.work, n)]
        if running and hanging == running:
            self.ahead, seconds = self.ahead + seconds, 0.01
        time.sleep(seconds)


def held(folder: Path, limit: float, **behaviour: str) -> tuple[int, dict[str, dict[str, object]], float]:
    """A session of fake parts: its exit code, its parts and how long it took, by its own clock."""
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "behaviour").write_text(json.dumps(behaviour))
    setting = Setting("data", str(folder / "work"), "cuda", pocket="headline:fasterpose:lsp:0")
    fake = FakeSession(setting, folder / "out", folder / "work", limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "time", Clock(fake, behaviour))
        code = conduct(fake)
        return code, json.loads((folder / "out" / "figures.json").read_text())["parts"], fake.elapsed


def test_every_part_fails_alone_and_a_second_start_repeats_only_what_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PACKING_SECONDS", 1.0)
    code, found, _ = held(tmp_path, 60, rows="fails", speeds="fails", **{"train-hrnet": "fails"})
    assert code == 1
    assert {name for name, part in found.items() if part["state"] == "done"} == {
        *("machine", "prepare", "prepare-pocket", "counts", "checks", "compile", "pocket", "rows-energy"),
        *("train-simple_baseline", "train-fasterpose"),
    }
    assert all("failed with code 1" in str(found[name]["state"]) for name in ("rows", "speeds", "train-hrnet"))
    assert "broken" in (tmp_path / "out" / "log.txt").read_text()
    with tarfile.open(tmp_path / "out" / "records.tar.gz") as archive:
        assert len(archive.getnames()) == 13
    budgets = {found[f"train-{n.paper}"]["figures"]["seen"] for n in NETWORKS}  # type: ignore[index]
    assert len(budgets) == 1

    before = time.time()
    code, again, _ = held(tmp_path, 60)
    assert code == 0
    ran = {path.stem for path in (tmp_path / "work" / "parts").iterdir() if path.stat().st_mtime >= before}
    assert ran == {"rows", "speeds", "train-hrnet"}
    assert again["train-hrnet"]["figures"]["seen"] in budgets  # type: ignore[index]  # the budget of the first start
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figures.json", "log.txt", "records.tar.gz"]


def test_hanging_parts_end_at_their_limits_and_the_session_inside_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PACKING_SECONDS", 12.0)
    code, found, took = held(tmp_path, 60, checks="hangs", pocket="hangs", **{"train-fasterpose": "hangs"})
    assert code == 1
    assert 48 <= took < 60
    for name in ("checks", "pocket", "train-fasterpose"):
        assert "stopped at its limit" in str(found[name]["state"])
        assert "seen" in found[name]["figures"]  # type: ignore[operator]
    assert found["train-simple_baseline"]["state"] == "done"


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    command = [sys.executable, "-m", "benchmarks.gpu", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------------- budgets


def speeds(**found: float) -> dict[str, object]:
    return {key.replace("__", "/"): {"samples_per_second": value} for key, value in found.items()}


def test_the_budget_lets_all_networks_finish() -> None:
    measured = speeds(
        simple_baseline__bf16__eager=2000.0,
        simple_baseline__bf16__graphed=3000.0,
        fasterpose__bf16__graphed=4000.0,
        hrnet__bf16__graphed=1500.0,
        hrnet__bf16__eager=800.0,
    )
    setting = Setting("data", "work", "cuda")
    chosen = budget_of(measured, 300.0, True, setting)
    taken = chosen["samples"] * (1 / 3000 + 1 / 4000 + 1 / 1500)
    assert 0.7 * 245 < taken <= 0.8 * 245
    assert chosen["samples"] % 128 == 0
    assert all(execution == {"precision": "bf16", "graphed": True} for execution in chosen["executions"].values())
    cautious = budget_of(measured, 300.0, False, setting)
    assert not any(execution["graphed"] for execution in cautious["executions"].values())
    assert cautious["samples"] < chosen["samples"]
    assert budget_of({}, 300.0, True, setting)["samples"] >= 1280  # speeds that could not be measured are guessed
    assert budget_of(measured, 10.0, True, setting)["samples"] == 1280


# ---------------------------------------------------------------------------------------------------- what is asked


def test_miniatures_are_named_by_study_paper_data_and_seeds() -> None:
    runs = parts.pocket_runs(Setting("d", "w", "cpu", "headline:fasterpose:lsp:3-4 headline:simple_baseline:lsp:0"))
    assert [run.seed for run in runs] == [0, 0, 3, 3, 4, 4]
    assert len({run.id for run in runs}) == 6
    assert {run.protocols[0].data.name for run in runs} == {"lsp"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("headline:fasterpose:lsp", "study:paper:data:seeds"),
        ("tail:fasterpose:lsp:0", "has the studies headline"),
        ("headline:fasterpose:mpii:0", "data sets mannequins, lsp"),
        ("headline:fasterpose:lsp:two", "write such as"),
        ("headline:nobody:lsp:0", "nobody"),
    ],
)
def test_a_miniature_that_is_not_there_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts.pocket_runs(Setting("d", "w", "cpu", text))


def test_a_report_cut_off_by_its_end_keeps_the_lines_before(tmp_path: Path) -> None:
    report = Reporter(report_file(tmp_path, "x"))
    report("a", 1)
    report("b", {"c": 2})
    with report.path.open("a") as file:
        file.write('{"key": "d", "val')
    assert reported(tmp_path, "x") == {"a": 1, "b": {"c": 2}}


# ---------------------------------------------------------------------------------------------------- checks


def made(found: tuple[checks.Check, ...], device: str, folder: Path) -> dict[str, dict[str, object]]:
    checks.run(found, device, Reporter(report_file(folder, "checks")))
    return reported(folder, "checks")


def test_checks_hold_on_the_cpu_and_say_what_they_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PAPERS", checks.PAPERS[:1])
    found = made((checks.batches, checks.steps, checks.graphs, checks.energy), "cpu", tmp_path)
    assert [found[name]["state"] for name in ("batches", "steps", "graphs", "energy")] == [
        *["passed"] * 2,
        *["skipped"] * 2,
    ]


def test_a_feed_that_is_off_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(feeding.Feed):
        def make(self, step: int, index: int = 0) -> feeding.Batch:
            return super().make(step + 1, index)

    monkeypatch.setattr(checks, "feed_class", lambda device: Shifted)
    found = made((checks.batches,), "cpu", tmp_path)
    assert found["batches"]["state"] == "failed"
    assert "differs by" in str(found["batches"]["reason"])


@pytest.mark.parametrize("check", [*checks.ALL, *checks.COMPILED], ids=lambda check: check.__name__)
def test_cuda_agrees_with_the_cpu(check: checks.Check, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    found = made((check,), "cuda", tmp_path)[check.__name__]
    assert found["state"] in ("passed", "skipped"), found
