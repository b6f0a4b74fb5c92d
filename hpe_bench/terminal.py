"""Progress with an estimate of the time left: live bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from hpe_bench.data.names import printable

LOG_SECONDS = 15.0
LEAST_SHARE, LEAST_SECONDS = 0.01, 30.0  # of work or of time before an estimate is more than a guess


def minutes(seconds: float) -> str:
    """'3:07' from 187 seconds, '17 h 27 min' from an hour on."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60}:{whole % 60:02d}"


def plain_table(*columns: str) -> Table:
    """A table without frames: it reads the same in a terminal, a log and an e-mail."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(" ")
        table.add_column(column.strip(), justify="right" if right else "left", no_wrap=column == columns[0])
    return table


class PlainConsole(Console):
    """A console on which names from files cannot act: their control characters are printed as what they are."""

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Text and cells of tables alike come through here."""
        return super().render_str(printable(text), *args, **options)


class Board:
    """A stage of work in units, and the jobs that run in it.

    Units already done before this start (a resumed run) do not count towards the speed that the estimate is made from.
    """

    def __init__(self, console: Console, title: str, total: float) -> None:
        self.console = console
        self.title = title
        self.total = total
        self.done = 0.0
        self.credited = 0.0  # done before we started timing
        self.started = time.monotonic()
        self.logged = self.started
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self.jobs: dict[str, tuple[TaskID, float]] = {}
        self.main = self.bars.add_task(title, total=total, note="estimating")

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self.bars.start()
        else:
            self.console.print(f"{self.title} ...", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.bars.stop()
        elapsed = minutes(time.monotonic() - self.started)
        word = "done" if error is None else "stopped"
        self.console.print(f"{self.title}: {word} in {elapsed}", highlight=False)

    def eta(self) -> str:
        """Time left, from the speed so far."""
        fresh, elapsed = self.done - self.credited, time.monotonic() - self.started
        if fresh <= 0 or (fresh < LEAST_SHARE * self.total and elapsed < LEAST_SECONDS):
            return "estimating"
        left = (self.total - self.done) * elapsed / fresh
        return f"about {minutes(left)} left"

    def credit(self, units: float) -> None:
        """Count units that were done before this start."""
        self.credited += units
        self.advance(units)

    def advance(self, units: float) -> None:
        """Move the whole stage forward."""
        self.done += units
        self.bars.update(self.main, completed=self.done, note=self.eta())
        now = time.monotonic()
        if not self.console.is_terminal and now - self.logged > LOG_SECONDS:
            self.logged = now
            share = 100 * self.done / self.total if self.total else 100
            self.console.print(f"{self.title}: {share:.0f} %, {self.eta()}", highlight=False)

    def set_done(self, done: float, total: float) -> None:
        """Move the stage to `done` of `total` (for callbacks that count for themselves)."""
        self.total = total
        self.bars.update(self.main, total=total)
        self.advance(done - self.done)

    def job(self, key: str, label: str, total: float) -> None:
        """A job has started."""
        self.jobs[key] = (self.bars.add_task(f"  {label}", total=total, note=""), 0.0)

    def job_at(self, key: str, completed: float, weight: float, note: str | None = None) -> None:
        """A job has come to `completed` of its own units, each worth `weight` of the stage's; first report: resumed."""
        task, before = self.jobs[key]
        self.jobs[key] = (task, completed)
        if note is None:
            self.bars.update(task, completed=completed)
        else:
            self.bars.update(task, completed=completed, note=note)
        if before == 0.0 and completed * weight > 0.02 * self.total:
            self.credit((completed - before) * weight)
        else:
            self.advance((completed - before) * weight)

    def job_done(self, key: str, text: str) -> None:
        """A job has ended; `text` stays on the screen."""
        task, _ = self.jobs.pop(key)
        self.bars.remove_task(task)
        self.console.print(f"  {text}", highlight=False, markup=False)
