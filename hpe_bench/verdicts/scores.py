"""Verdicts on published scores: full-scale runs under the claim's own protocol decide them, never a miniature.

Two kinds of run speak. **Released weights** give one number that the paper's own must equal: both share the test
images, so nothing but the printed rounding and what decoding and arithmetic can move (`MOVED_POINTS`) may lie between
them; an interval over images has no part in it. **A training of ours** by a recipe that the paper declares, of its
whole budget, is one draw among the seeds, as the paper's own training was: the printed figure must lie where a further
seed would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from hpe_bench.declare import Claim, Paper, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.verdicts import commands, evidence
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.printed import decimals, figure
from hpe_bench.verdicts.verdict import Status, Verdict

MOVED_POINTS = 0.1
"""How far decoders of photographs, float32 kernels and image libraries may move a score of one network, in points: an
allowance of ours. Runtimes in float32 moved trained miniatures by 0.00 points on LSP; libraries were not measured."""


def judge_score(claim: Claim, paper: Paper, records: Records, elsewhere: Collection[str] = ()) -> list[Verdict]:
    """The verdict on a published score. `elsewhere` names the recipes that other claims of the paper are about."""
    runs = [r for r in query.of(records).full_runs(paper.slug, claim.variant) if _speaks(r, claim, paper, elsewhere)]
    if not runs:
        return [not_attempted(claim, paper)]
    same = [r for r in runs if r.identity.protocol == claim.protocol]
    if not same:
        return [_other_protocol(claim, paper, r) for r in _one_per_condition(runs)]
    if not (measured := [r for r in same if r.get(claim.metric) is not None]):
        reason = f"The runs under {claim.protocol} did not measure {claim.metric}."
        return [replace(not_attempted(claim, paper), reason=reason)]
    released = [r for r in measured if r.release is not None]
    return [_by_release(claim, _best(released))] if released else [_by_training(claim, measured)]


def _speaks(record: RunRecord, claim: Claim, paper: Paper, elsewhere: Collection[str]) -> bool:
    """Whether a run is of what the claim is about: the same variant, the weights or the recipe that it means.

    A training counts by a declared recipe, whole: a shorter budget is never held against a printed figure (F5).
    """
    declared = evidence.declared_variant(paper, paper.slug, claim.variant)
    if declared is None or record.identity.variant_hash != fingerprint(declared):
        return False
    if record.release is not None:
        return claim.is_of_release(record.release.checkpoint, record.release.trained_by)
    if claim.checkpoint:
        return False
    recipes = [r for r in paper.recipes if (r.name == claim.recipe if claim.recipe else r.name not in elsewhere)]
    if not claim.recipe and any(r.init == "imagenet" for r in recipes):  # whose figures papers print without saying so
        recipes = [r for r in recipes if r.init == "imagenet"]
    return any(
        record.identity.recipe_hash == fingerprint(r) and record.identity.samples_seen > r.samples - r.batch
        for r in recipes
    )


def _best(released: list[RunRecord]) -> RunRecord:
    """The record to hold against the claim: verified weights before others, then the newest."""
    return max(released, key=lambda r: (bool(r.release and r.release.checkpoint), *query.age(r)))


# ---------------------------------------------------------------------------------------------------- released weights


def _by_release(claim: Claim, record: RunRecord) -> Verdict:
    measured, release = record.get(claim.metric), record.release
    assert measured is not None
    assert release is not None
    assert claim.value is not None
    tolerance = 0.5 * 10.0 ** -decimals(claim) + MOVED_POINTS
    away = measured.value - claim.value
    status: Status = "confirmed" if abs(away) <= tolerance else "differs"
    reason = (
        f"{release.file} gives {measured.value:.2f}, {away:+.2f} of the {figure(claim)}; rounding, decoding and "
        f"arithmetic account for at most {tolerance:.2f}."
    )
    verdict = _verdict(claim, status, reason, [record], claim.protocol, measured)
    if release.checkpoint:
        return verdict
    return replace(verdict, caveat="Unverified weights: the file's SHA-256 is none of the declared ones.")


# ---------------------------------------------------------------------------------------------------- trainings


def _by_training(claim: Claim, runs: list[RunRecord]) -> Verdict:
    by_seed = list(query.by_seed(runs).values())
    found = [m for r in by_seed if (m := r.get(claim.metric)) is not None]
    mean = sum(m.value for m in found) / len(found)
    verdict = _verdict(claim, "inconclusive", "-", by_seed, claim.protocol, found[0])
    verdict = replace(verdict, value=mean, interval=None, n=len(found), over=f"seed{'s' if len(found) != 1 else ''}")
    if len(found) < 2:
        return replace(verdict, reason=f"One training gives {mean:.2f}: another seed may differ, by how much is open.")
    assert claim.value is not None
    low, high = bootstrap.next_value_interval([m.value for m in found])
    half = 0.5 * 10.0 ** -decimals(claim)
    status: Status = "confirmed" if low - half <= claim.value <= high + half else "differs"
    where = "inside" if status == "confirmed" else "outside"
    span = f"[{low:.2f}, {high:.2f}]"
    reason = f"The {figure(claim)} lies {where} {span}, where 95 % of further seeds would fall after {len(found)}."
    if status == "confirmed" and high - low > 2 * RESOLUTION_POINTS:
        status, reason = "inconclusive", f"{reason[:-1]}, which is too wide to confirm it."
    return replace(verdict, status=status, reason=reason, interval=(low, high))


RESOLUTION_POINTS = 1.0
"""A 95 % interval wider than twice this cannot tell neighbouring rows of a published table apart."""


# ---------------------------------------------------------------------------------------------------- neither


def _one_per_condition(runs: Iterable[RunRecord]) -> list[RunRecord]:
    return list({query.condition(r): r for r in query.oldest_first(runs)}.values())


def _other_protocol(claim: Claim, paper: Paper, run: RunRecord) -> Verdict:
    differing = [f"protocol {claim.protocol or 'unknown'} in the paper, {run.identity.protocol} here"]
    declared = evidence.declared_variant(paper, paper.slug, run.identity.variant)
    if declared is not None and claim.input_hw not in (None, declared.input_hw):
        assert claim.input_hw is not None
        sizes = ["x".join(map(str, hw)) for hw in (claim.input_hw, declared.input_hw)]
        differing.append(f"input {sizes[0]} in the paper, {sizes[1]} here")
    if run.get(claim.metric) is None:
        differing.append(f"metric {claim.metric} in the paper, {query.headline_key(run)} here")
    reason = f"Differing fields: {'; '.join(differing)}."
    return _verdict(claim, "not comparable", reason, [run], run.identity.protocol, run.get(claim.metric))


def not_attempted(claim: Claim, paper: Paper) -> Verdict:
    """No run of the claim's kind exists: what trying would take, as a command that exists."""
    command = ""
    if not claim.variant:
        reason = "The printed model is none of this paper's variants, and no full-scale run exists."
        needs = "Needs a variant that is the printed model, its data set, and training or weights."
    else:
        reason = "No full-scale run exists; a pocket score is never held against a published absolute value."
        needs, command = commands.full(claim, paper)
    return Verdict(
        claim.id,
        "not attempted",
        "full",
        reason,
        key=claim.metric,
        protocol=claim.protocol,
        needs=needs,
        command=command,
    )


def _verdict(
    claim: Claim, status: Status, reason: str, runs: list[RunRecord], protocol: str, measured: Measurement | None
) -> Verdict:
    verdict = Verdict(
        claim.id,
        status,
        "full",
        reason,
        key=claim.metric,
        protocol=protocol,
        records=tuple(sorted(r.id for r in runs)),
    )
    if measured is None:
        return verdict
    m = measured
    return replace(verdict, value=m.value, unit=m.unit, interval=m.interval, n=m.n, over="persons or joints")
