"""Every command that a claim's line names exists: it parses, and what it asks for can be planned."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from typing import Any

import pytest
import typer
from rich.console import Console

from hpe_bench import catalog
from hpe_bench.cli import app
from hpe_bench.commands import full, show
from hpe_bench.commands import weights as releases
from hpe_bench.plan import recipe_of
from hpe_bench.verdicts import Verdict, judge_all

SLUGS = [p.paper.slug for p in catalog.load_all()[0]]
UsageError: Any = typer.BadParameter.__mro__[1]  # what a wrong command line raises
PLACEHOLDER = re.compile(r"<[^>]*>")


@lru_cache
def waiting(slug: str) -> tuple[Verdict, ...]:
    """What is not attempted as long as there are no records at all: every claim of the paper."""
    loaded = catalog.load(slug)
    return tuple(judge_all(loaded.claims, loaded.paper, []))


def commands_of(verdict: Verdict) -> list[str]:
    """The commands in the words of a verdict and the one beside them."""
    named = re.findall(r"`(hpe-bench [^`]*)`", f"{verdict.needs} {verdict.reason}")
    return [*named, *([verdict.command] if verdict.command else [])]


@lru_cache
def verbs() -> dict[str, Any]:
    """Every verb of the command line by its name."""
    group: Any = typer.main.get_command(app)
    return group.commands


@lru_cache
def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """The verb of a command line and its options, as the command line tool reads them; nothing is run."""
    program, *words = shlex.split(PLACEHOLDER.sub("SOMETHING", command))
    assert program == "hpe-bench"
    context = verbs()[words[0]].make_context(words[0], words[1:])
    return words[0], context.params


@pytest.mark.parametrize("slug", SLUGS)
def test_every_claim_s_line_names_commands_that_parse(slug: str) -> None:
    found = {command for verdict in waiting(slug) for command in commands_of(verdict)}
    assert found
    for command in sorted(found):
        verb, options = parsed(command)
        assert verb in ("reproduce", "ablate", "score", "predict")
        if verb == "predict":
            catalog.find_predicted(options["protocol"])
        assert options.get("paper") in (None, slug)
        paper = catalog.load(slug).paper
        assert options.get("study") in (None, *(s.name for s in (*paper.studies, *paper.sweeps)))


@pytest.mark.parametrize("slug", SLUGS)
def test_a_training_that_a_line_names_can_be_planned(slug: str) -> None:
    loaded = catalog.load(slug)
    found = {c for verdict in waiting(slug) for c in commands_of(verdict) if "--variant" in c}
    for command in sorted(found):
        _, options = parsed(command)
        variant = full.variant_of(loaded, options["variant"])
        recipe = recipe_of(loaded.paper, variant, options["recipe"])
        assert (recipe.init == "imagenet") == (options["init"] is not None), command
        asked = full.FullRequest(options["data"].value, protocols=tuple(options["protocol"] or ()))
        scored = [p.name for p in full.scored_under(asked, variant.input_hw)]
        about = {v.protocol for v in waiting(slug) if command in commands_of(v)}
        assert about <= set(scored), command


@pytest.mark.parametrize("slug", SLUGS)
def test_weights_that_a_line_names_are_of_a_variant_and_a_protocol_that_can_be_run(slug: str) -> None:
    loaded, known = catalog.load(slug), catalog.all_protocols()
    for verdict in waiting(slug):
        for command in commands_of(verdict):
            for pair in parsed(command)[1].get("weights") or ():
                name = pair.partition("=")[0]
                catalog.find_variant(loaded, name)
                assert known[verdict.protocol].data.name == parsed(command)[1]["data"].value


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(UsageError):
        parsed("hpe-bench reproduce hrnet --weight w32=<file>")
    with pytest.raises(UsageError):
        parsed("hpe-bench reproduce hrnet --data posetrack")


def test_show_lists_checkpoints_and_what_each_decides(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_paper(Console(width=400), "hrnet")
    printed = capsys.readouterr().out
    loaded = catalog.load("hrnet")
    for checkpoint in loaded.checkpoints:
        (line,) = [text for text in printed.splitlines() if text.startswith(f"{checkpoint.name} ")]
        assert checkpoint.variant in line
        assert releases.decides(loaded, checkpoint) in line
    decided = [c for c in loaded.checkpoints if "figures under" in releases.decides(loaded, c)]
    assert len(decided) > 10
