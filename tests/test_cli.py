"""The command line as a stranger meets it: what it offers, what it says to bad input, one whole reproduction."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpe_bench import catalog
from hpe_bench.cli import main
from hpe_bench.commands import new
from tests.predicted import answers, coco_truth, persons, results, write_json

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "papers"

COMMANDS = {
    "list": {"--results"},
    "show": set(),
    "reproduce": {
        "--budget",
        "--colours",
        "--compile",
        "--data",
        "--device",
        "--devices",
        "--dry-run",
        "--exact",
        "--tensorboard",
        "--graphs",
        "--init",
        "--input",
        "--launcher",
        "--nodes",
        "--precision",
        "--protocol",
        "--recipe",
        "--reports",
        "--results",
        "--root",
        "--runs",
        "--samples",
        "--scale",
        "--seed",
        "--seeds",
        "--time",
        "--until",
        "--variant",
        "--weights",
        "--workers",
    },
    "ablate": {
        "--budgets",
        "--data",
        "--device",
        "--missing-only",
        "--reports",
        "--results",
        "--root",
        "--runs",
        "--seeds",
        "--study",
        "--until",
        "--workers",
    },
    "compare": {"--reports", "--results"},
    "leaderboard": {"--readme", "--reports", "--results"},
    "results": {
        "--csv",
        "--json",
        "--key",
        "--kind",
        "--paper",
        "--parquet",
        "--protocol",
        "--results",
        "--runtime",
        "--variant",
    },
    "profile": {
        "--all",
        "--batch",
        "--counts",
        "--inputs",
        "--predictor",
        "--protocol",
        "--quick",
        "--recipe",
        "--results",
        "--root",
        "--runs",
        "--runtime",
        "--scope",
        "--threads",
        "--time-limit",
        "--timing-runs",
        "--weights",
    },
    "predict": {
        "--activation",
        "--boxes",
        "--colours",
        "--device",
        "--draw",
        "--force",
        "--images",
        "--inputs",
        "--joints",
        "--mean",
        "--model",
        "--onnx",
        "--output",
        "--paper",
        "--predictor",
        "--protocol",
        "--recipe",
        "--results",
        "--root",
        "--runs",
        "--std",
        "--to",
        "--variant",
        "--weights",
    },
    "score": {
        "--against",
        "--by",
        "--map",
        "--name",
        "--origin",
        "--persons",
        "--protocol",
        "--reports",
        "--results",
        "--root",
        "--runs",
        "--sigmas",
        "--truth",
    },
    "evaluate": {
        "--activation",
        "--against",
        "--colours",
        "--device",
        "--inputs",
        "--joints",
        "--mean",
        "--model",
        "--name",
        "--onnx",
        "--output",
        "--paper",
        "--persons",
        "--predictor",
        "--protocol",
        "--recipe",
        "--reports",
        "--results",
        "--root",
        "--runs",
        "--std",
        "--variant",
        "--weights",
    },
    "export": {
        "--batch",
        "--crops",
        "--force",
        "--int8",
        "--joints",
        "--output",
        "--protocol",
        "--recipe",
        "--root",
        "--to",
        "--weights",
    },
    "ceilings": {"--data", "--reports", "--results", "--root"},
    "robustness": {
        "--activation",
        "--colours",
        "--corruptions",
        "--device",
        "--inputs",
        "--joints",
        "--mean",
        "--model",
        "--name",
        "--onnx",
        "--output",
        "--paper",
        "--predictor",
        "--protocol",
        "--recipe",
        "--reports",
        "--results",
        "--root",
        "--runs",
        "--severities",
        "--std",
        "--variant",
        "--weights",
    },
    "new": {"--predictor", "--to"},
    "doctor": {"--measure"},
    "data list": set(),
    "data check": {"--root"},
    "data fetch": {"--mirror", "--record-hash", "--sha256", "--to"},
    "data export": {"--layout", "--persons", "--sheet", "--split", "--to"},
    "protocols list": set(),
    "protocols show": set(),
    "protocols diff": set(),
    "weights list": set(),
    "weights fetch": {"--mirror", "--to"},
}


# Ctrl-C is heard even where the tests run in the background of a shell, which makes programs ignore it.
PROGRAM = """
import signal
from hpe_bench.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def start(*arguments: str, folder: Path, papers: Path | None = None) -> subprocess.Popen[str]:
    """`hpe-bench ...` in a folder, as a process of its own."""
    environment = {**os.environ, "HPE_BENCH_PAPERS": "" if papers is None else str(papers)}
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(*arguments: str, folder: Path, papers: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`hpe-bench ...` in a folder, to its end."""
    program = start(*arguments, folder=folder, papers=papers)
    output, errors = program.communicate(timeout=300)
    return subprocess.CompletedProcess(program.args, program.returncode, output, errors)


def call_here(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    """`hpe-bench ...` in this process, which has everything imported already."""
    monkeypatch.setattr(sys, "argv", ["hpe-bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(arguments, ended.value.code, *capfd.readouterr())


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one sentence with these words, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("hpe-bench: ")]
    assert len(ours) == 1


def test_commands_and_options_are_frozen() -> None:
    import typer

    from hpe_bench.cli import app

    found: dict[str, set[str]] = {}

    def walk(command: object, name: str) -> None:
        for child, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{name} {child}".strip())
        if not hasattr(command, "commands"):
            options = [o for p in command.params for o in p.opts if o.startswith("--")]  # type: ignore[attr-defined]
            found[name] = set(options) - {"--help"}

    walk(typer.main.get_command(app), "")
    assert found == COMMANDS


def test_help_answers_at_once(tmp_path: Path) -> None:
    """In seconds of the processor: what else runs beside the tests is not its fault."""

    def spent() -> float:
        times = os.times()
        return times.children_user + times.children_system

    seconds = []
    for _ in range(5):
        before = spent()
        assert call("--help", folder=tmp_path).returncode == 0
        seconds.append(spent() - before)
    assert min(seconds) < 0.4
    loaded = "import sys, hpe_bench.cli; print(sorted({'torch', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reproduce", "fasterpoze"], ["fasterpoze", "fasterpose"]),
        (["show", "hrnett"], ["hrnett", "hrnet"]),
        (["profile", "fasterpose", "d_r50_256x129"], ["d_r50_256x129", "d_r50_256x192"]),
        (["profile"], ["--all"]),
        (["profile", "--all", "--threads", "2"], ["--all stands alone"]),
        (["profile", "fasterpose", "pocket", "--runtime", "openvin"], ["'openvin'", "'openvino'"]),
        (["profile", "fasterpose", "pocket", "--threads", "two"], ["--threads", "'two'", "1,2"]),
        (["profile", "fasterpose", "pocket", "--inputs", "128"], ["'128'", "256x192"]),
        (["profile", "fasterpose", "pocket", "--scope", "all"], ["no scope 'all'", "end-to-end"]),
        (["profile", "fasterpose", "pocket", "--weights", "nowhere.pth"], ["nowhere.pth"]),
        (["profile", "fasterpose", "pocket", "--protocol", "mannequins-v1-dark"], ["--weights"]),
        (["profile", "nowhere.onnx"], ["nowhere.onnx: no such file"]),
        (["profile", "nowhere.py:build"], ["--inputs"]),
        (["profile", "nowhere.py:build", "--inputs", "64x48"], ["no such file"]),
        (["profile", "hrnet", "pocket", "--inputs", "130x96", "--runtime", "eager"], ["130x96", "stride"]),
        (["ablate", "fasterpose", "--study", "lossses"], ["lossses", "losses"]),
        (["reproduce", "fasterpose", "--data", "lsp", "--scale", "pocket"], ["--root"]),
        (["reproduce", "fasterpose", "--data", "lsp", "--root", "nowhere", "--scale", "pocket"], ["nowhere"]),
        (["reproduce", "fasterpose", "--data", "lsp", "--root", ".", "--scale", "pocket"], ["no LSP here"]),
        (["ceilings", "--data", "lsp"], ["--root"]),
        (["export", "fasterpose", "pockett", "--to", "onnx"], ["pockett", "pocket"]),
        (["export", "hrnet", "pocket", "--to", "onnx", "--output", "x.pt"], ["x.pt", ".onnx"]),
        (["export", "hrnet", "pocket", "--to", "torchscript", "--weights", "nowhere.pth"], ["nowhere.pth"]),
        (["ceilings", "--data", "coco-mini", "--root", "nowhere"], ["nowhere"]),
        (["compare", "fasterpose", "fasterpose"], ["two different"]),
        (["new", "My-Paper"], ["My-Paper", "lower-case"]),
        (["new", "class"], ["class"]),
        (["new", "fasterpose"], ["fasterpose", "another name"]),
        (["new", "there", "--to", "."], ["exists already"]),
        (["data", "check", "lsp"], ["--root"]),
        (["data", "check", "coco", "--root", "."], ["person_keypoints"]),
        (["data", "check", "mpii", "--root", "."], ["gt_valid.mat"]),
        (["data", "fetch", "lsp", "--to", "new"], ["--sha256 lsp_dataset.zip=HASH"]),
        (["data", "fetch", "lsp", "--to", "new", "--sha256", "lsp_dataset.zip"], ["64 digits"]),
        (["data", "fetch", "lsp", "--to", "new", "--sha256", "x.zip=00"], ["no such archive", "lsp_dataset.zip"]),
        (["protocols", "show", "mpi-val"], ["mpi-val", "mpii-val"]),
        (["data", "export", "lsp", "--to", "x"], ["mannequins"]),
        (["data", "export", "mannequins", "--to", "."], ["empty"]),
    ],
)
def test_bad_input_gets_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    (tmp_path / "something").touch()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(call_here(*arguments, monkeypatch=monkeypatch, capfd=capfd), *words)
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "reports").exists()


def contract(papers: Path, tests: str = "my_paper") -> str:
    """What the contract tests of this name say about the paper `my_paper` in a folder of papers."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_papers.py", "-k", tests, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "HPE_BENCH_PAPERS": str(papers)},
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_a_new_paper_keeps_the_contract_of_all_papers(tmp_path: Path) -> None:
    done = call("new", "my_paper", "--to", "mine", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"export HPE_BENCH_PAPERS={tmp_path / 'mine'}" in done.stdout
    made = sorted(p.name for p in (tmp_path / "mine" / "my_paper").iterdir())
    assert made == ["README.md", "claims.csv", "model.py", "paper.py"]
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["my_paper"]
    output = contract(tmp_path / "mine", "my_paper and nothing_is_left")
    assert re.search(r"\b1 failed, ", output), output
    assert "README.md: AUTHORS" in output
    for file in (tmp_path / "mine" / "my_paper").iterdir():
        text = file.read_text()
        for number, placeholder in enumerate(new.PLACEHOLDERS):
            text = text.replace(
                placeholder, f"https://arxiv.org/{number}" if "://" in placeholder else f"Said {number}"
            )
        file.write_text(text)
    output = contract(tmp_path / "mine")
    assert re.search(r"\b1[0-9] passed", output), output
    assert "failed" not in output
    style = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine")],
        capture_output=True,
        text=True,
    )
    assert style.returncode == 0, style.stdout


def test_a_broken_folder_is_named_and_the_others_still_list(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    shutil.copytree(TINY / "tiny", papers / "broken")
    shutil.copytree(TINY / "tiny", papers / "misprint")
    file = papers / "broken" / "paper.py"
    file.write_text(file.read_text().replace("seeds=1", "seeds=tow"))
    claims = papers / "misprint" / "claims.csv"
    claims.write_text(claims.read_text().replace("direction", "direktion"))
    shutil.copy(papers / "misprint" / "paper.py", papers / "misprint" / "paper.py.bak")
    text = (papers / "misprint" / "paper.py").read_text().replace('SLUG = "tiny"', 'SLUG = "misprint"')
    (papers / "misprint" / "paper.py").write_text(text)
    done = call("list", folder=tmp_path, papers=papers)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    flat = " ".join(done.stdout.split())
    assert "paper.py:" in flat
    assert "tow" in flat
    assert "claims.csv:2" in flat
    assert "fasterpose" in flat


def names(command: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its name."""
    for child, sub in getattr(command, "commands", {}).items():
        yield from names(sub, f"{name} {child}".strip())
    if not hasattr(command, "commands"):
        yield name, command


def test_the_help_of_every_command_shows_an_example() -> None:
    import typer

    from hpe_bench.cli import app

    for name, command in names(typer.main.get_command(app)):
        options = {option for parameter in command.params for option in parameter.opts}
        words = (command.epilog or "").split()
        assert words[:2] == ["Example:", "hpe-bench"], name
        assert " ".join(words[2:]).startswith(name), name
        assert {word for word in words if word.startswith("--")} <= options, name


def test_a_console_that_lacks_characters_gets_the_whole_table(tmp_path: Path) -> None:
    """A real one; test_cases does so with other encodings in this process."""
    truth = persons(8, 4)
    write_json(tmp_path / "gt.json", coco_truth(truth))
    write_json(tmp_path / "dt.json", results(truth, answers(truth)))
    arguments = ["score", "dt.json", "--protocol", "coco-val2017-gtbox", "--truth", "gt.json"]
    done = subprocess.run(
        [sys.executable, "-m", "hpe_bench", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "gbk", "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode("gbk")
    assert "?" not in printed
    assert "AP" in printed
    pages = [p for p in tmp_path.glob("reports/scores/*.html") if ".part." not in p.name]
    assert len(list(tmp_path.glob("results/submitted/*.json"))) == len(pages) == 1


def test_a_file_in_the_place_of_a_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for arguments in (["list", "--results", "file"], ["leaderboard", "--results", "file"]):
        refused(call_here(*arguments, monkeypatch=monkeypatch, capfd=capfd), "file is a file; name a folder")


def test_a_narrow_terminal_gets_a_list_it_can_hold(tmp_path: Path) -> None:
    from rich.console import Console

    from hpe_bench.commands import listing

    console = Console(width=60, file=io.StringIO())
    listing.print_list(console, tmp_path)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert any(line.startswith("fasterpose (2022): 23 claims") for line in lines)
    assert max(map(len, lines)) <= 60
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("slug", sorted(catalog.RESERVED))
def test_a_paper_never_takes_a_name_of_the_suite(
    tmp_path: Path, slug: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(call_here("new", slug, monkeypatch=monkeypatch, capfd=capfd), slug, "another name")
    shutil.copytree(TINY / "tiny", tmp_path / "papers" / slug)
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(tmp_path / "papers"))
    with pytest.raises(catalog.CatalogError, match="rename the folder"):
        catalog.load(slug)


def test_a_damaged_record_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "fasterpose").mkdir(parents=True)
    (tmp_path / "results" / "fasterpose" / "x.json").write_text('{"id": 3')
    done = call_here("list", monkeypatch=monkeypatch, capfd=capfd)
    assert done.returncode == 0, done.stderr
    assert "x.json" in done.stderr


@dataclass(frozen=True)
class Reproduction:
    """What a command did that was stopped twice and went on, and where."""

    folder: Path
    stopped: list[tuple[int, str]]  # exit code, what was said on stderr
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Reproduction:
    """The tiny paper on photographs, by the command line: interrupted, terminated, and gone on to its end."""
    folder, stopped = tmp_path_factory.mktemp("reproduced"), []
    arguments = ("reproduce", "tiny", "--data", "lsp", "--root", str(shared_data))
    records = folder / "runs" / "records"  # first of two mean poses, then of two trainings under both protocols

    def stop(program: subprocess.Popen[str], number: int) -> None:
        program.send_signal(number)
        _, errors = program.communicate(timeout=60)
        stopped.append((program.returncode, errors))

    program = start(*arguments, folder=folder, papers=TINY)
    assert program.stdout is not None
    assert "Tiny" in program.stdout.readline()  # it is at work
    stop(program, signal.SIGINT)
    program = start(*arguments, "--scale", "pocket", "--workers", "1", folder=folder, papers=TINY)
    while len(list(records.glob("*.json"))) < 4:
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    stop(program, signal.SIGTERM)
    return Reproduction(folder, stopped, call(*arguments, folder=folder, papers=TINY))


def test_ctrl_c_and_being_terminated_end_in_a_sentence_and_the_same_command_goes_on(reproduced: Reproduction) -> None:
    going_on = "the same command goes on from what is finished\n"
    assert reproduced.stopped == [
        (130, f"hpe-bench: interrupted; {going_on}"),
        (143, f"hpe-bench: terminated; {going_on}"),
    ]
    assert reproduced.done.returncode == 0, reproduced.done.stderr
    kept = re.search(r"(\d+) runs were finished already, 0 failed", reproduced.done.stdout)
    assert kept
    assert int(kept[1]) == 3  # the two mean poses and the first training


def test_a_reproduction_leaves_records_and_a_page(reproduced: Reproduction) -> None:
    from hpe_bench.records import store

    found = store.load_all(reproduced.folder / "results")
    kinds = [(r.identity.paper, r.identity.kind, r.identity.seed) for r in found]
    assert kinds.count(("tiny", "cost", None)) == kinds.count(("tiny", "latency", None)) == 1
    assert kinds.count(("mean_pose", "accuracy", None)) == 2  # one a protocol
    assert kinds.count(("tiny", "accuracy", 0)) == 4  # two arms, two protocols
    scored = [r for r in found if r.identity.kind == "accuracy"]
    assert all(r.measurements[0].key == "pck@0.2" and r.measurements[0].interval for r in scored)
    assert all(sum(r.tallies[0].counts) == r.measurements[0].n == 14_000 for r in scored)
    assert "report: reports/tiny/index.html" in reproduced.done.stdout
    page = (reproduced.folder / "reports" / "tiny" / "index.html").read_text()
    assert "A Tiny Paper" in page
    assert "Mean training pose" in page


def test_it_is_not_run_again_and_the_pages_are_the_same_bytes(
    reproduced: Reproduction, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reproduced.folder)
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(TINY))
    page = reproduced.folder / "reports" / "tiny" / "index.html"
    before = page.read_bytes()
    arguments = ["reproduce", "tiny", "--data", "lsp", "--root", str(shared_data)]
    done = call_here(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert "0 records made, 6 runs were finished already, 0 failed" in done.stdout
    assert page.read_bytes() == before


def test_a_truncated_photograph_stops_before_anything_is_written(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "lsp" / "images").mkdir(parents=True)
    shutil.copy(shared_data / "lsp" / "joints.mat", tmp_path / "lsp")
    for image in (shared_data / "lsp" / "images").iterdir():
        (tmp_path / "lsp" / "images" / image.name).symlink_to(image)
    (tmp_path / "lspet_crops").symlink_to(shared_data / "lspet_crops")
    broken = tmp_path / "lsp" / "images" / "im0007.jpg"
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    done = call(
        *("reproduce", "tiny", "--data", "lsp", "--root", str(tmp_path), "--scale", "pocket"),
        folder=tmp_path,
        papers=TINY,
    )
    refused(done, "im0007.jpg")
    assert not (tmp_path / "results").exists()
