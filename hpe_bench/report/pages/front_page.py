"""The README's table of verdicts and its findings, each generated between two markers."""

from __future__ import annotations

from hpe_bench.records.marked import filled
from hpe_bench.report.pages.leaderboard import Leaderboard, PaperLine
from hpe_bench.verdicts import STATUSES

BY = "make leaderboard"


def refreshed(text: str, board: Leaderboard) -> str:
    """The text with what stands between the markers made anew; ValueError where they are missing."""
    return filled(filled(text, "verdicts", BY, verdict_table(board)), "findings", BY, findings(board))


def findings(board: Leaderboard) -> str:
    """What became of each paper's claims that were tested, as a Markdown list."""
    return "".join(_findings_of(line) for line in board.papers if line.findings)


def _findings_of(line: PaperLine) -> str:
    groups = "".join(f"  - {_plain(group.text)}\n" for group in line.findings)
    return f"- *{_plain(line.loaded.paper.name)}*\n{groups}"


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")


def verdict_table(board: Leaderboard) -> str:
    """Papers and their claims' verdicts as a Markdown table."""
    columns = ("paper", "year", "claims", *STATUSES)
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *(_row(line) for line in board.papers)]) + "\n"


def _row(line: PaperLine) -> str:
    paper = line.loaded.paper
    title = paper.title.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    counts = (str(line.counts[s]) if line.counts[s] else "" for s in STATUSES)
    link = f"[{title}](papers/{paper.slug}/README.md)"
    return "| " + " | ".join((link, str(paper.year), str(len(line.loaded.claims)), *counts)) + " |"
