"""What the commands find, as objects for a notebook: each has a `frame`, and shows itself as a table.

`hpe_bench.score`, `hpe_bench.compare` and `hpe_bench.profile` give these; the commands of the same names print and
write them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hpe_bench.files import write_atomically
from hpe_bench.records import frame, store
from hpe_bench.records.schema import RunRecord
from hpe_bench.run import scoring, submission

if TYPE_CHECKING:
    import pandas as pd

    from hpe_bench.data.prediction_files import PredictionFile
    from hpe_bench.report.pages.comparison import ComparisonPage
    from hpe_bench.report.pages.score_page import Rival, ScorePage
    from hpe_bench.run.truths import Truth

READ = ("key", "value", "unit", "interval_low", "interval_high", "n")  # columns that a reader wants of any measurement


class Shown(ABC):
    """Something with a tidy `frame`, of which a notebook shows `table`, a part fit for reading."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """What was found, in a sentence."""

    @property
    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """Everything, one row a measurement, at full precision."""

    @property
    def table(self) -> pd.DataFrame:
        """What is shown."""
        return self.frame

    def _repr_html_(self) -> str:
        body = self.table.to_html(index=False, border=0, na_rep="", float_format="{:,.4g}".format)
        return f"<p>{escape(self.caption)}</p>\n{body}"

    def __repr__(self) -> str:
        body = self.table.to_string(index=False, na_rep="", float_format="{:,.4g}".format)
        return f"{self.caption}\n{body}"


@dataclass(frozen=True, eq=False, repr=False)
class Scored(Shown):
    """Predictions scored under a protocol: the record, its page, and the persons one by one. Nothing is written yet."""

    record: RunRecord
    page: ScorePage
    truth: Truth
    file: PredictionFile
    rival: Rival | None = None
    known_as: RunRecord | None = None  # the record of the same predictions under another name

    @property
    def caption(self) -> str:
        assert self.record.submission is not None
        i = self.record.identity
        return f"{i.variant} under {i.protocol}; {self.record.submission.truth}"

    @cached_property
    def frame(self) -> pd.DataFrame:
        return frame.of_records([self.record])

    @property
    def table(self) -> pd.DataFrame:
        """The figures of the whole set."""
        whole = self.frame["key"] == self.frame["metric"]
        return self.frame.loc[whole, list(READ)]

    @cached_property
    def persons(self) -> pd.DataFrame:
        """A row a person to find; `scoring.per_person` says what the columns are."""
        rows = scoring.per_person(self.truth.protocol, self.truth.persons, self.file.predictions)
        return frame.from_flat(rows)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """These predictions less the ones they are held against, in points, a row a key; empty without such."""
        found = {} if self.rival is None else self.rival.differences
        rows = [
            {"key": k, "difference": d.value, "interval_low": d.low, "interval_high": d.high, "p_value": d.p_value}
            for k, d in found.items()
        ]
        return frame.from_flat(rows)

    def save(self, results: Path, runs: Path, reports: Path) -> tuple[Path, Path]:
        """Write predictions, record and page, with the persons as CSV beside it; returns record and page.

        ValueError, and nothing is written, where these very predictions stand there under another name (F26).
        """
        if self.known_as is not None:
            name = self.known_as.identity.variant
            raise ValueError(
                f"not recorded: these predictions were scored before as {name!r}, and one set has one name (F26); give "
                f"--name {name}, or remove {results / self.known_as.identity.paper / self.known_as.filename}"
            )
        from hpe_bench.report import site

        stored = submission.stored(self.truth, self.file)
        write_atomically(runs / "predictions" / f"{self.file.sha256}.npz", stored)
        path = store.save(self.record, results)
        return path, site.write_score(self.page, reports, frame.as_csv(self.persons))


@dataclass(frozen=True, eq=False, repr=False)
class Compared(Shown):
    """Papers side by side: accuracies a row a paper and condition, `differences` a row a pair and condition."""

    comparison: ComparisonPage

    @property
    def caption(self) -> str:
        told = " ".join((*self.comparison.wins, *self.comparison.missing))
        return told or "Nothing to compare yet."

    @cached_property
    def frame(self) -> pd.DataFrame:
        return frame.from_flat(list(self.comparison.rows))

    @cached_property
    def differences(self) -> pd.DataFrame:
        """First less second in points, paired image by image and seed by seed."""
        return frame.from_flat(list(self.comparison.gaps))


@dataclass(frozen=True, eq=False, repr=False)
class Profiled(Shown):
    """What networks cost: counts, and times in runtimes as far as they were asked for."""

    records: tuple[RunRecord, ...]

    @property
    def caption(self) -> str:
        names = dict.fromkeys(f"{r.identity.paper}/{r.identity.variant}" for r in self.records)
        machines = dict.fromkeys(r.machine for r in self.records)
        return f"{', '.join(names)}; {', '.join(machines)}"

    @cached_property
    def frame(self) -> pd.DataFrame:
        return frame.of_records(self.records)

    @property
    def table(self) -> pd.DataFrame:
        """Each number with its network and conditions."""
        where = ("scope", "runtime", "precision", "threads", "batch", "input_height", "input_width", "counts")
        return self.frame[["paper", "variant", *READ, *where]]


def names(slugs: Sequence[str]) -> list[str]:
    """Papers to compare, each once; ValueError for fewer than two."""
    found = list(dict.fromkeys(slugs))
    if len(found) < 2:
        raise ValueError("name at least two different papers to compare")
    return found
