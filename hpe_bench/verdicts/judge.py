"""Hand a claim to the rules for its kind of metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from hpe_bench.declare import Claim, Paper
from hpe_bench.records import query
from hpe_bench.verdicts.accuracy import judge_relation
from hpe_bench.verdicts.convergence import judge_convergence
from hpe_bench.verdicts.costs import judge_cost
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.families import over_suite, within_paper
from hpe_bench.verdicts.occluded import judge_occluded, occlusion_sweep
from hpe_bench.verdicts.pools import SeedPools
from hpe_bench.verdicts.scores import judge_score
from hpe_bench.verdicts.verdict import Verdict

COSTS = ("params", "macs", "latency")


def judge(
    claim: Claim,
    paper: Paper,
    records: Records,
    elsewhere: Collection[str] = (),
    pools: SeedPools | None = None,
) -> list[Verdict]:
    """Every verdict on one claim, at least one, as if it were the only one. `records` holds those of the suite.

    `elsewhere` names the recipes that other claims of the paper are about, and this one is not.
    """
    pools = SeedPools(records) if pools is None else pools
    if claim.status == "unknown" or (claim.value is None and claim.kind != "direction"):
        return [_nothing_printed(claim)]
    if claim.metric in COSTS:
        return judge_cost(claim, paper, records)
    if claim.metric == "convergence":
        return judge_convergence(claim, paper, records, pools)
    if claim.kind == "value":
        return judge_score(claim, paper, records, elsewhere)
    if (sweep := occlusion_sweep(claim, paper)) is not None:
        return judge_occluded(claim, paper, sweep, records)
    return judge_relation(claim, paper, records, pools)


def judge_all(claims: Iterable[Claim], paper: Paper, records: Records) -> list[Verdict]:
    """The verdicts on all claims of a paper, in the order of the claims, corrected for how many were tested."""
    claims, asked = list(claims), query.of(records)
    recipes, pools = {claim.recipe for claim in claims if claim.recipe}, SeedPools(asked)
    return within_paper([v for claim in claims for v in judge(claim, paper, asked, recipes, pools)])


def judge_suite(papers: Iterable[tuple[Paper, Sequence[Claim]]], records: Records) -> Mapping[str, list[Verdict]]:
    """The verdicts of several papers by slug, which also say what they are among all of them."""
    asked = query.of(records)
    return over_suite({paper.slug: judge_all(claims, paper, asked) for paper, claims in papers})


def _nothing_printed(claim: Claim) -> Verdict:
    return Verdict(
        claim.id,
        "not attempted",
        "cost" if claim.metric in COSTS else "full",
        "The paper's figure was not available to us, so there is nothing to hold ours against.",
        key=claim.metric,
        protocol=claim.protocol,
        needs="Needs the figure itself, read in the paper or its code.",
    )
