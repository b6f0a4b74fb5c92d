"""Verdicts: what the records say about each claim. Between `records` and `report` in the flow.

`judge(claim, paper, records)` gives one verdict for every way a claim can be tested: under the paper's counting
convention and under ours, at every scale, under every protocol that has records.
"""

from hpe_bench.verdicts.judge import judge, judge_all
from hpe_bench.verdicts.verdict import STATUSES, Scale, Status, Verdict, count

__all__ = ["STATUSES", "Scale", "Status", "Verdict", "count", "judge", "judge_all"]
