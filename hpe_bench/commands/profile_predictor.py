"""`hpe-bench profile --predictor`, told as steps: the time of somebody's predictor from image to joints; no record.

A predictor runs whatever it likes, so that its time is no network's: what the leaderboard shows of it is that of its
file, by `hpe-bench profile FILE`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpe_bench.report.kit.text import span
from hpe_bench.run.latency import default_threads
from hpe_bench.terminal import Board, plain_table
from hpe_bench.timing.interleave import Plan, Times, interleave
from hpe_bench.timing.predictors import SCOPES, PredictorSubject
from hpe_bench.timing.statistics import Latency

if TYPE_CHECKING:
    from rich.console import Console

SHARE_S = 10.0  # that a row may take


def profile(
    where: str,
    threads: Sequence[int],
    persons: Sequence[int],
    limit_s: float,
    console: Console,
    share_s: float = SHARE_S,
) -> bool:
    """Time it, in turns over threads and persons in the image, and print a table; False if a row failed."""
    if ":" not in where:
        raise ValueError(f"--predictor {where}: name the function, too: FILE.py:function")
    subjects = [PredictorSubject(where, t, n) for n in persons or (1,) for t in threads or default_threads()]
    plan = Plan(
        seconds=share_s / 5, limit_s=limit_s, turn_limit_s=limit_s, builders=os.cpu_count() or 1, share_s=share_s
    )
    with Board(console, f"latency of {where}", 1) as board:
        measured = interleave(subjects, plan, board.set_done)
    table = plain_table("scope", " persons", " threads", " ms, median", " p90", " spread", " persons/s")
    failed = []
    for subject, found in zip(subjects, measured, strict=True):
        for scope in SCOPES:
            times = found.parts.get(scope, found.failure)
            if isinstance(times, Times):
                table.add_row(scope, str(subject.persons), str(subject.threads), *_cells(times, subject.persons))
            else:
                failed.append(f"{scope}, {subject.threads} threads failed: {times}")
    console.print(table)
    for text in dict.fromkeys(failed):
        console.print(text, highlight=False, markup=False)
    console.print(
        "no record: a predictor's time is its own; `hpe-bench profile FILE` measures its network", highlight=False
    )
    return not failed


def _cells(times: Times, persons: int) -> list[str]:
    found = Latency((times.rounds_ms,))
    return [
        f"{found.median_ms:.2f} {span(found.interval_ms, 2)}".replace("[", "\\["),
        f"{found.percentile_ms(90):.2f}",
        f"{100 * times.spread:.0f} %" + ("" if times.settled else " !"),
        f"{1e3 * persons / found.median_ms:.1f}",
    ]
