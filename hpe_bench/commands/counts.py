"""`hpe-bench profile --counts`, told as a list of steps: parameters and MACs of networks, without timing anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog
from hpe_bench.cost import counts
from hpe_bench.cost.count_cache import cached_count
from hpe_bench.cost.model_cost import Cost
from hpe_bench.cost.onnx_counts import count_onnx
from hpe_bench.errors import sentence
from hpe_bench.terminal import plain_table
from hpe_bench.timing.sources import OfCode

Size = tuple[int, int]


def print_counts(subject: str, variant: str | None, inputs: tuple[Size, ...], console: Console) -> None:
    """Count a paper's networks, or somebody's own, at one or several input sizes; a table, and what it leaves out."""
    found = list(_counted(subject, variant, inputs))
    columns = (
        "network",
        " input",
        " parameters",
        " MMAC",
        " HRNet counter, MMAC/2^20",
        " fvcore, MFLOP",
        " activations",
    )
    table = plain_table(*columns, " activations", " MiB")
    for name, cost in found:
        table.add_row(escape(name), *_cells(cost))
    console.print(table)
    if len(found) == 1:
        print_kinds(console, *found[0])
    for name, cost in found:
        for text in _notes(cost):
            console.print(f"{name}: {text}", highlight=False, markup=False)


def print_kinds(console: Console, name: str, cost: Cost) -> None:
    """Which kinds of layers the multiply-adds of a network are in, under two counters."""
    table = plain_table(f"{name}, by kind of layer", " layers", " MMAC", " %", " HRNet counter, MMAC/2^20")
    for k in cost.kinds:
        share = f"{100 * k.macs / cost.macs:.1f}"
        table.add_row(k.kind, str(k.layers), f"{k.macs / 1e6:,.1f}", share, f"{k.macs_hrnet_counter / 2**20:,.1f}")
    console.print(table)


def _counted(subject: str, variant: str | None, inputs: tuple[Size, ...]) -> Iterator[tuple[str, Cost]]:
    """Names and costs, in the order they are printed."""
    if subject.endswith(".onnx"):
        for input_hw in inputs or (None,):
            yield Path(subject).name, count_onnx(Path(subject), input_hw)
    elif ":" in subject:
        if not inputs:
            raise ValueError(f"{subject}: say for which input size with --inputs, such as 256x192")
        for input_hw in inputs:
            yield subject, _count_code(subject, input_hw)
    else:
        loaded = catalog.load(subject)
        variants = [catalog.find_variant(loaded, variant)] if variant else loaded.paper.variants
        for v in variants:
            for input_hw in inputs or (v.input_hw,):
                yield f"{subject}/{v.name}", cached_count(v.builder, v.joints, input_hw)


def _count_code(where: str, input_hw: Size) -> Cost:
    """Somebody's network, whatever it gives."""
    module = OfCode(where).fresh()
    try:
        return counts.count(module, input_hw)
    except Exception as error:  # it is somebody's code and may raise anything
        size = "x".join(map(str, input_hw))
        raise ValueError(
            f"{where}: fails for images of {size} ({sentence(error)}); give a size it takes with --inputs"
        ) from error


def _cells(cost: Cost) -> list[str]:
    """Input size, parameters, MACs under three conventions, activations, weights."""
    least = ">=" if cost.is_lower_bound else ""
    default = cost.macs_fvcore_default
    return [
        "x".join(map(str, cost.input_hw)),
        f"{cost.params:,}",
        f"{least}{cost.macs / 1e6:,.3f}",
        f"{least}{cost.macs_hrnet_counter / 2**20:,.3f}",
        "" if default is None else f"{default / 1e6:,.3f}",
        f"{cost.activations:,}",
        f"{cost.weight_bytes / 2**20:.2f}",
    ]


def _notes(cost: Cost) -> Iterator[str]:
    if cost.is_lower_bound:
        yield f"no known cost for {', '.join(cost.uncounted)}; the MACs are a lower bound without it"
    if cost.disagreement:
        yield cost.disagreement
