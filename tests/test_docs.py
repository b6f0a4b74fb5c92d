"""The documentation: links and anchors lead somewhere, tables list what there is, commands and examples work."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer._click.exceptions import BadOptionUsage, MissingParameter
from typer.main import get_command

from hpe_bench import catalog, declare, metrics
from hpe_bench.cli import app, main
from hpe_bench.inference.model_file import InputConvention
from hpe_bench.report import site
from hpe_bench.report.docs import contents, markup, reference
from hpe_bench.report.pages import docs_page
from tests.test_report import Page

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=[p.stem for p in DOCUMENTS])

# ---------------------------------------------------------------------------------------------------- pages


@pytest.fixture(scope="module")
def docs() -> docs_page.Docs:
    return docs_page.bundled()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation's pages."""
    return site.write_docs(tmp_path_factory.mktemp("reports")).parent


def test_every_document_is_a_page_and_the_index_gives_the_order(docs: docs_page.Docs) -> None:
    stems = [page.document.stem for page in docs.pages]
    assert sorted(stems) == sorted(p.stem for p in (ROOT / "docs").glob("*.md"))
    assert stems[:2] == ["index", "tutorial"]
    assert [name for name, _ in docs.sections][:4] == ["", "Use", "Extend", "Reference"]


def test_a_document_that_the_index_does_not_name_is_appended(tmp_path: Path) -> None:
    for name, text in {
        "index": "# I\n\n## Use\n\n- [B](b.md): b\n- [A](a.md)\n",
        "a": "# A",
        "b": "# B",
        "d": "# D d",
        "c": "# C c",
    }.items():
        (tmp_path / f"{name}.md").write_text(text)
    found = contents.documents(tmp_path)
    assert [(d.section, d.label) for d in found] == [
        ("", "Overview"),
        ("Use", "B"),
        ("Use", "A"),
        (contents.REST, "C c"),
        (contents.REST, "D d"),
    ]
    (tmp_path / "b.md").unlink()
    with pytest.raises(ValueError, match=r"links to b\.md"):
        contents.documents(tmp_path)


def test_links_and_anchors_of_documents_lead_somewhere(written: Path) -> None:
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in written.glob("*.html")}
    ids = {name: [a["id"] for _, a in page.elements if "id" in a] for name, page in pages.items()}
    checked = 0
    for name, page in pages.items():
        assert len(ids[name]) == len(set(ids[name])), name
        for href in {a["href"] or "" for a in page.all("a")} - {"../index.html"}:  # the leaderboard, which others write
            if not href.startswith(("https://", "http://")):
                file, _, anchor = href.partition("#")
                found = (written / (file or name)).resolve()
                assert found.parent == written.resolve(), (name, href)
                assert found.name in pages, (name, href)
                assert not anchor or anchor in ids[found.name], (name, href)
                checked += 1
    assert checked > 400


@every_document
def test_links_in_the_sources_lead_to_files(path: Path) -> None:
    """As they stand, which is how a repository's browser shows them."""
    text = path.read_text(encoding="utf-8")
    for href in re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```|^    .*$", "", text, flags=re.DOTALL | re.MULTILINE)):
        if not href.startswith(("https://", "http://", "#")):
            assert (path.parent / href.partition("#")[0]).exists(), href


def test_pages_load_nothing_from_elsewhere_and_are_the_same_bytes_again(written: Path, tmp_path: Path) -> None:
    again = site.write_docs(tmp_path).parent
    assert {p.name: p.read_bytes() for p in written.iterdir()} == {p.name: p.read_bytes() for p in again.iterdir()}
    for path in written.glob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        loaded = [
            a for tag, a in page.elements if tag in ("script", "img", "link", "iframe") and ("src" in a or "href" in a)
        ]
        assert [a["href"] for a in loaded] == ["data:,"], path
    assert sum(p.stat().st_size for p in written.iterdir()) < 3_000_000


def test_a_document_that_is_gone_leaves_no_page(tmp_path: Path) -> None:
    folder = site.write_docs(tmp_path).parent
    (folder / "gone.html").write_text("old")
    site.write_docs(tmp_path)
    assert not (folder / "gone.html").exists()


# ---------------------------------------------------------------------------------------------------- markup


def html(text: str, *stems: str) -> str:
    return markup.rendered(text, stems).html


def test_headings_have_the_anchors_of_github() -> None:
    found = markup.rendered("# What's `F1`, then?\n\n## A\n\n## A\n\ntext", ())
    assert [h.id for h in found.headings] == ["whats-f1-then", "a", "a-1"]
    assert found.parts[-1].words == "text"


def test_links_lead_to_pages_and_what_the_site_does_not_hold_is_text() -> None:
    assert '<a href="costs.html#latency">times</a>' in html("[times](costs.md#latency)", "costs")
    assert '<a href="../index.html">board</a>' in html("[board](../reports/index.html)")
    assert html("[paper](../papers/x/README.md)") == "<p>paper</p>\n"
    assert '<a href="costs.html"><code>docs/costs.md</code></a>' in html("see `docs/costs.md`", "costs")
    assert "<a" not in html("see `docs/other.md`", "costs")


def test_cited_codes_lead_to_what_they_stand_for() -> None:
    shown = html("Speed (F20), turns (M3, M8), the F1 score, `(F2)`.", "footguns")
    assert re.findall(r'href="footguns.html#(\w+)"', shown) == ["F20", "M3", "M8"]
    assert '<li id="F9">' in html("- **F9**: text", "footguns")


def test_markup_in_a_document_stays_text() -> None:
    assert "<script" not in html("<script>alert(1)</script>\n\na <b>b</b>\n\n    <i>\n\n```python\n'<u>'\n```\n")
    assert "href" not in html("[x](javascript:alert(1))")


def test_tables_name_their_columns_for_phones() -> None:
    shown = html("| a | n |\n|---|---:|\n| x | 1 |\n")
    assert '<th scope="row">' in shown
    assert '<td data-label="n" class="num">' in shown or '<td class="num" data-label="n">' in shown


def test_a_reference_shows_signature_docstring_and_members() -> None:
    shown = reference.entry("hpe_bench.score")
    assert "predictions: Place" in shown
    assert "results: Place = 'results'" in shown
    assert "Score a file of predictions" in shown
    scored = reference.entry("hpe_bench.commands.answers.Scored")
    assert "- `frame`: Everything, one row a measurement" in scored  # the docstring of what it overrides
    assert "- `save(results: Path, runs: Path, reports: Path) -> tuple[Path, Path]`" in scored
    with pytest.raises(ValueError, match=r"hpe_bench\.nothing"):
        reference.entry("hpe_bench.nothing")


# ---------------------------------------------------------------------------------------------------- completeness


def first_column(name: str, heading: str) -> list[str]:
    """The first cells of a document's table, without code marks."""
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    table = next(part for part in text.split(f"{heading}\n", 1)[1].split("\n\n") if part.lstrip().startswith("|"))
    return [row.split("|")[1].strip().strip("`") for row in table.strip().splitlines()[2:]]


def test_the_columns_of_claims_are_all_described_in_order() -> None:
    assert first_column("claims", "## Columns") == [*catalog.CLAIM_COLUMNS, catalog.RECIPE_COLUMN]
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for word in (*declare.Status.__args__, *declare.ClaimKind.__args__):
        assert f"`{word}`" in text
    conventions = first_column("costs", "## Conventions")
    assert set(conventions) == set(declare.Convention.__args__) - {""}


def test_the_defaults_of_onnx_files_are_those_of_the_code() -> None:
    rows = first_column("onnx", "## What is assumed")
    assert rows == [f.name for f in fields(InputConvention) if f.name != "said"]
    text, assumed = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8"), InputConvention()
    for name in ("mean", "std"):
        assert f"| `{name}` | {', '.join(f'{v:g}' for v in getattr(assumed, name))} |" in text
    assert f"| `colours` | `{assumed.colours}` |" in text
    assert f"| `activation` | `{assumed.activation}` |" in text


def test_every_metric_is_defined() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for module in (ROOT / "hpe_bench" / "metrics").glob("*.py"):
        importlib.import_module(f"{metrics.__name__}.{module.stem}")
    found = [m for m in subclasses(declare.Metric) if m.__module__.startswith("hpe_bench.metrics")]
    keys = {m().key for m in found if not m.__abstractmethods__} | {
        key for m in found for key in (*getattr(m, "keys", ()), *getattr(m, "reported", ()))
    }
    assert len(keys) > 12
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def subclasses(of: type) -> Iterator[Any]:
    for found in of.__subclasses__():
        yield found
        yield from subclasses(found)


# ---------------------------------------------------------------------------------------------------- commands


@dataclass(frozen=True)
class Command:
    """A command of a document: its words, and whether it stands in a block or within a sentence."""

    words: tuple[str, ...]
    in_block: bool

    def __str__(self) -> str:
        return shlex.join(self.words)


SHELLS = ("", "bash", "sh", "shell", "console")
PROGRAMS = ("hpe-bench", "make", "python", "pip", "torchrun", "export")


def tokens_of(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def commands_in(token: Token) -> Iterator[Command]:
    """The commands of a block, with lines that go on joined, or the one that a code span is; comments left out."""
    shell = token.type == "code_block" or (
        token.type == "fence" and token.info in ("", "bash", "sh", "shell", "console")
    )
    if not shell and token.type != "code_inline":
        return
    for line in token.content.replace("\\\n", " ").splitlines() if shell else [token.content]:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a word with an apostrophe
            continue
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # variables before a command
            words.pop(0)
        if words and words[0] in PROGRAMS and "..." not in words:
            yield Command(tuple(words), shell)


@cache
def commands(path: Path) -> tuple[Command, ...]:
    return tuple(c for token in tokens_of(path.read_text(encoding="utf-8")) for c in commands_in(token))


@cache
def command_line() -> Any:
    return get_command(app)


load = cache(catalog.load)


def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The verb and the values of its parameters, as the command line itself reads them."""
    command = command_line()
    context = command.make_context("hpe-bench", list(words))
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context.command_path.removeprefix("hpe-bench "), context.params


PLACEHOLDER = re.compile(r"[A-Z]+|my_\w+|other_paper|\w+\.\w+(:\w+)?")  # FOLDER, my_paper, mine.py:build, model.onnx


def check(command: Command) -> None:
    """The verb, every option and every value exist, and so do the paper, variant and protocol that are named."""
    words = command.words[1:]
    try:
        _, values = parsed(words)
    except (MissingParameter, BadOptionUsage):
        if command.in_block:
            raise
        return  # a sentence may name a verb and an option alone; unknown ones are refused above
    papers = [values.get("paper"), values.get("subject"), *(values.get("papers") or ())]
    for slug in (p for p in papers if isinstance(p, str) and not PLACEHOLDER.fullmatch(p)):
        loaded = load(slug)
        variant = values.get("variant")
        if isinstance(variant, str) and not PLACEHOLDER.fullmatch(variant):
            catalog.find_variant(loaded, variant)
    for name in ("protocol", "first", "second"):
        if isinstance(values.get(name), str) and not PLACEHOLDER.fullmatch(values[name]):
            find = catalog.find_predicted if command.words[1] == "predict" else catalog.find_protocol
            find(values[name])


@every_document
def test_every_command_is_one_that_the_command_line_takes(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option, a value, a paper, a variant, a protocol, an extra or a module that does not exist fails."""
    monkeypatch.chdir(tmp_path)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for command in commands(path):
        match command.words[0]:
            case "hpe-bench" if len(command.words) > 1:
                try:
                    check(command)
                except Exception as error:
                    pytest.fail(f"{path.name}: {command}: {type(error).__name__}: {error}")
            case "python" if command.words[1:2] == ("-m",):
                assert importlib.util.find_spec(command.words[2]), command
            case "pip":
                assert all(extra in extras for extra in re.findall(r"\[(\w+)\]", str(command))), command


def test_commands_that_do_not_exist_are_seen() -> None:
    for line in (
        "hpe-bench reproduc hrnet",
        "hpe-bench profile hrnet --cont",
        "hpe-bench reproduce hrnet --scale huge",
        "hpe-bench show hrnett",
        "hpe-bench profile hrnet w33_256x192",
        "hpe-bench score x.json --protocol coco-val",
        "hpe-bench predict --to x.npz",
        "hpe-bench list more",
    ):
        with pytest.raises(Exception, match=r"\w"):
            check(Command(tuple(shlex.split(line)), in_block=True))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on PATH")
def test_every_make_verb_runs_commands_that_exist() -> None:
    """As make would run them: told, not done."""
    asked = {c.words for path in DOCUMENTS for c in commands(path) if c.words[0] == "make" and len(c.words) > 1}
    assert len(asked) >= 9
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k not in ("ARGS", "MFLAGS")}
    for words in sorted(asked):
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, env=plain, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
        for line in done.stdout.splitlines():
            if line.startswith(".venv/bin/hpe-bench"):
                check(Command(tuple(shlex.split(line)), in_block=True))


READING = {"list", "show", "results", "doctor", "data list", "weights list"}
READING |= {"protocols list", "protocols show", "protocols diff"}


def is_quick(words: tuple[str, ...]) -> bool:
    """Whether it takes seconds, and what it reads is at hand: made by the document itself, or bundled."""
    verb, values = parsed(words)
    if verb == "score":
        return values["file"].exists() and values["truth"] is not None
    if verb == "profile":
        return values["counts"] and (
            values["subject"].startswith("my_") or Path(values["subject"].split(":")[0]).exists()
        )
    if verb == "data export":
        return values["persons"] <= 12
    if verb in READING:
        return "my_paper" in words or shlex.join(("hpe-bench", *words)) not in RUN  # once is enough
    return verb == "new"


RUN: set[str] = set()  # what was run, over all documents


@every_document
def test_quick_commands_and_examples_work_in_the_order_they_stand_in(
    path: Path,
    committed_records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In a folder of their own, with some of the committed records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPE_BENCH_PAPERS", "")
    shutil.copytree(committed_records, tmp_path / "results")
    for token in tokens_of(path.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info == "python":
            run_python(token.content)
        for command in (c for c in commands_in(token) if c.in_block):
            if command.words[0] == "export":
                name, _, value = command.words[1].partition("=")
                monkeypatch.setenv(name, value.replace("$PWD", str(tmp_path)))
                Path(os.environ[name]).mkdir(exist_ok=True)
            elif command.words[0] == "hpe-bench" and is_quick(command.words[1:]):
                run_command(command, monkeypatch)
    capfd.readouterr()


@pytest.fixture(scope="module")
def committed_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two papers and of what they must beat."""
    folder = tmp_path_factory.mktemp("records")
    for slug in ("fasterpose", "simple_baseline", "mean_pose"):
        if not (ROOT / "results" / slug).is_dir():
            pytest.skip("no committed records beside the tests")
        shutil.copytree(ROOT / "results" / slug, folder / slug)
    return folder


def run_python(code: str) -> None:
    """An example; one that begins with a comment naming a file is that file."""
    if named := re.match(r"# (\w+\.py)\n", code):
        Path(named[1]).write_text(code, encoding="utf-8")
    module = ModuleType("example")  # which dataclasses look up
    sys.modules[module.__name__] = module
    try:
        exec(compile(code, "<example>", "exec"), module.__dict__)  # as a reader would run it
    finally:
        del sys.modules[module.__name__]


def run_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", list(command.words))
    with pytest.raises(SystemExit) as ended:
        main()
    fine = (0, 1) if command.words[1] == "doctor" else (0,)  # which says 1 on a machine that is not fit
    assert ended.value.code in fine, command
    RUN.add(str(command))


def test_many_commands_were_really_run() -> None:
    """Stands last: a rule that finds nothing to run would pass above."""
    if not RUN:
        pytest.skip("the documents were run by another process")
    assert len(RUN) >= 15, sorted(RUN)
