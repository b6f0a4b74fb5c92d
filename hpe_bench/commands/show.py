"""What the commands print about papers, costs, verdicts and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog, verdicts
from hpe_bench.catalog import BrokenPaper, LoadedPaper
from hpe_bench.ceilings.contenders import HEATMAP_HW
from hpe_bench.ceilings.measure import AS_ANNOTATED
from hpe_bench.records import store
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report.kit.text import span
from hpe_bench.terminal import plain_table
from hpe_bench.timing.rows import NetworkTime, NetworkTimes

if TYPE_CHECKING:
    from hpe_bench.commands.answers import Compared


# ---------------------------------------------------------------------------------------------------- papers


def print_broken(console: Console, paper: BrokenPaper) -> None:
    """A paper folder that does not load, in one sentence."""
    console.print(f"[bold]{paper.slug}[/bold] does not load: {escape(paper.message)}", highlight=False)


def print_paper(console: Console, slug: str) -> None:
    """One paper: what it says, how it is read, variants, studies."""
    loaded = catalog.load(slug)
    paper = loaded.paper
    console.print(f"[bold]{escape(paper.title)}[/bold]")
    console.print(f"{paper.authors}\n{paper.venue} {paper.year}, {paper.url}\n", markup=False)
    console.print(escape(paper.summary), highlight=False)
    console.print(escape(paper.reading), "\n", highlight=False)
    table = plain_table("variant", " input", " heatmap", " joints", "scale", "reading")
    for v in paper.variants:
        sizes = ["x".join(map(str, size)) for size in (v.input_hw, v.heatmap_hw)]
        table.add_row(v.name, *sizes, str(v.joints), v.scale, v.reading)
    console.print(table, "")
    table = plain_table("study", " arms", " seeds", " samples each", "question")
    for s in paper.studies:
        at = [s.arms[0].recipe.samples] if s.budgets is None else [s.budgets.every[0], s.budgets.every[-1]]
        samples = " to ".join(f"{n:,}" for n in at)
        table.add_row(s.name, str(len(s.arms)), str(s.seeds), samples, escape(s.question))
    for sweep in paper.sweeps:
        turned = f"{sweep.dial} {sweep.values[0]:g} to {sweep.values[-1]:g}"
        table.add_row(sweep.name, str(len(sweep.arms)), str(sweep.seeds), turned, escape(sweep.question))
    console.print(table)
    if loaded.checkpoints:
        from hpe_bench.commands.weights import print_list as print_weights

        console.print("")
        print_weights(console, slug)
    console.print(f"\n{len(loaded.claims)} claims; folder {loaded.folder.name}/", highlight=False)


# ---------------------------------------------------------------------------------------------------- results


def print_verdicts(console: Console, loaded: LoadedPaper, results: Path) -> None:
    """The verdicts that were reached, and how many claims wait for what."""
    judged = store.speaking(
        store.load_all(results), lambda records: verdicts.judge_all(loaded.claims, loaded.paper, records)
    )
    statements = {c.id: c.statement for c in loaded.claims}
    table = plain_table("verdict", "claim", "scale", "counted or scored as", " measured")
    for v in judged:
        if v.status != "not attempted":
            table.add_row(v.status, escape(statements[v.claim]), v.scale, v.convention or v.protocol, measured(v))
    if table.row_count:
        console.print(table)
    waiting = [v for v in judged if v.status == "not attempted"]
    if waiting:
        console.print(f"not attempted: {len(waiting)}; the page says what each would take", highlight=False)


def measured(v: verdicts.Verdict) -> str:
    """Value, unit and interval of a verdict."""
    if v.value is None:
        return ""
    interval = f" \\[{v.interval[0]:.2f}, {v.interval[1]:.2f}]" if v.interval else ""
    return f"{v.value:,.4g} {v.unit}{interval}"


def print_costs(console: Console, found: Sequence[RunRecord]) -> None:
    """Cost records as a table: MACs under every convention, beside them what latency records say (F20)."""
    counted, times = [r for r in found if r.identity.kind == "cost"], NetworkTimes(found)
    of_networks = times.together([(r.identity.paper, r.identity.variant_hash, counted_hw(r)) for r in counted])
    timed = {r.id: own for r, own in zip(counted, of_networks, strict=True)}
    threads = sorted({n for of_network in timed.values() for n in of_network})
    table = plain_table(
        *("model", " params M", " GMAC", " HRNet counter", " fvcore", " activations M"),
        *(f" ms, {n} thr." for n in threads),
    )
    for record in counted:
        i = record.identity
        numbers = [
            amount(record.get("params"), 1e6, 3),
            amount(record.get("macs"), 1e9, 3),
            amount(record.get("macs/hrnet_counter"), 2**30, 3),
            amount(record.get("macs/fvcore_default"), 1e9, 3),
            amount(record.get("activations"), 1e6, 2),
            *(milliseconds(timed[record.id].get(n)) for n in threads),
        ]
        table.add_row(f"{i.paper}/{i.variant}", *numbers)
    console.print(table)
    console.print(
        "GMAC: 1e9 multiply-adds, transposed convolutions at input resolution. HRNet counter: 2^30 multiply-adds, "
        "transposed convolutions at output resolution. fvcore: 1e9, with normalisation, resizing and pooling. Latency: "
        "median of eager PyTorch, 95 % interval; !: it did not settle; *: of an older record, timed in process.",
        highlight=False,
    )


def counted_hw(record: RunRecord) -> tuple[int, int] | None:
    """The input size that a model was counted at."""
    counted = record.get("params")
    return None if counted is None else counted.conditions.input_hw


def milliseconds(time: NetworkTime | None) -> str:
    """A latency with its interval, marked if it did not settle or is an older record's."""
    if time is None:
        return ""
    mark = ("" if time.settled else " !") + ("" if time.row is not None else " *")
    return f"{time.median_ms:,.1f} {escape(span(time.interval_ms, 1))}{mark}"


def amount(measurement: Measurement | None, unit: float, digits: int) -> str:
    """A measurement in a unit, or nothing."""
    return "" if measurement is None else f"{measurement.value / unit:,.{digits}f}"


def print_ceilings(console: Console, made: Iterable[RunRecord], key: str) -> None:
    """What a perfect network loses, codec by codec, at every heatmap size."""
    table = plain_table("codec", *(f" {h}x{w}" for h, w in HEATMAP_HW))
    for record in made:
        lost = (record.get(key, condition.text) for condition in AS_ANNOTATED)
        table.add_row(record.identity.variant, *("" if m is None else f"{100 - m.value:.1f}" for m in lost))
    console.print(f"points of {key} that a perfect network loses, by heatmap size", highlight=False)
    console.print(table)


def compared(slugs: Sequence[str], results: Path) -> Compared:
    """Papers side by side, from their records; ValueError for a paper that there is not."""
    from hpe_bench.commands import answers
    from hpe_bench.report import site

    wanted = answers.names(slugs)
    for slug in wanted:
        catalog.load(slug)
    return answers.Compared(site.compare(wanted, results))


def print_comparison(console: Console, slugs: list[str], results: Path, reports: Path) -> None:
    """Papers side by side, as tables and a page."""
    from hpe_bench.report import site  # which draws, so it is slow to import

    slugs = list(dict.fromkeys(slugs))
    if len(slugs) < 2:
        raise ValueError("name at least two different papers to compare")
    comparison = compared(slugs, results).comparison
    page = site.write_comparison(slugs, results, reports)
    for line in (*comparison.wins, *comparison.missing):
        console.print(escape(line), highlight=False)
    console.print()
    for section in comparison.sections:
        table = plain_table(*section.columns)
        for row in section.rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(f"[bold]{escape(section.title)}[/bold]")
        console.print(table, "")
    console.print(f"page: {page}", highlight=False)


def write_all(console: Console, results: Sequence[Path], reports: Path, readme: Path | None) -> None:
    """The leaderboard, every paper's page and, if one is named, a README's table of verdicts."""
    from hpe_bench.report import site  # which draws, so it is slow to import

    written = site.write_site(results[0], reports, *results[1:])
    if readme is not None:
        site.refresh_readme(readme, *results)
        written.append(readme)
    for page in written:
        console.print(str(page), highlight=False)
    for paper in catalog.load_all()[1]:
        print_broken(console, paper)
