"""Verdicts: what the records say about each claim. Between `records` and `report` in the flow.

`judge(claim, paper, records)` gives one verdict for every way a claim can be tested: under the paper's counting
convention, at every scale, under every protocol that has records. `judge_suite` judges all claims of all papers and
corrects relations for the number of tests.
"""

from hpe_bench.verdicts.judge import judge, judge_all, judge_suite
from hpe_bench.verdicts.verdict import STATUSES, Recount, Scale, Status, Verdict, count

__all__ = ["STATUSES", "Recount", "Scale", "Status", "Verdict", "count", "judge", "judge_all", "judge_suite"]
