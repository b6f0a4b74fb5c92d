"""The verdict: one outcome of holding one claim against the records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Status = Literal["confirmed", "differs", "inconclusive", "not comparable", "not attempted"]
STATUSES: tuple[Status, ...] = get_args(Status)
Scale = Literal["cost", "pocket", "full"]


@dataclass(frozen=True)
class Recount:
    """A cost counted by another convention than the claim's: a note beside the verdict, no part of it (F19)."""

    convention: str
    value: float
    unit: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """One outcome. Every verdict says why; one that could not be tried says what trying would take.

    `convention` names the counter of a cost; `protocol` the measuring of an accuracy; `caveat` is set where agreement
    proves less than it seems. `interval` is 95 %; `n` counts what the value is over (images, seeds, runs).

    Relations have p values: alone, among those of the paper and among those of the suite (`families`); `family` is one
    and the same for verdicts that count as one test.
    """

    claim: str
    status: Status
    scale: Scale
    reason: str
    convention: str = ""
    protocol: str = ""
    key: str = ""
    value: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    n: int = 0
    over: str = ""  # what n counts: "images x seeds", "variants", "seeds"
    needs: str = ""
    caveat: str = ""
    records: tuple[str, ...] = ()
    command: str = ""
    p_value: float | None = None
    p_paper: float | None = None
    p_suite: float | None = None
    family: str = ""
    recount: Recount | None = None

    def __post_init__(self) -> None:
        assert self.reason, f"verdict on {self.claim} gives no reason"
        assert (self.status == "not attempted") == bool(self.needs), f"{self.claim}: 'not attempted' goes with 'needs'"
        assert (self.p_value is None) == (not self.family), f"{self.claim}: a test has a p value and a family"


def count(verdicts: Iterable[Verdict]) -> dict[Status, int]:
    """Verdicts by status, every status present, in the order of `STATUSES`."""
    found = [v.status for v in verdicts]
    return {status: found.count(status) for status in STATUSES}
