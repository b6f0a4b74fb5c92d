"""`hpe-bench protocols`: list, show, diff."""

from __future__ import annotations

from rich.console import Console

from hpe_bench import catalog
from hpe_bench.declare import fingerprint
from hpe_bench.report.kit.protocol_text import differences, lines


def print_list(console: Console) -> None:
    """All protocols: name, hash, data set and split, boxes, metrics."""
    known = catalog.all_protocols()
    width = max(map(len, known)) + 2
    for name, p in known.items():
        keys = ", ".join(metric.key for metric in p.metrics)
        text = f"{name:<{width}}{fingerprint(p)}  {p.data.name} {p.test_split}, {p.boxes} boxes, {keys}"
        console.print(text, highlight=False, markup=False)


def print_protocol(console: Console, name: str) -> None:
    """Everything that a protocol says."""
    protocol = catalog.find_protocol(name)
    say = [*lines(protocol), f"hash: {fingerprint(protocol)}", *([f"note: {protocol.note}"] if protocol.note else [])]
    for line in say:
        console.print(line, highlight=False, markup=False)


def print_diff(console: Console, first: str, second: str) -> None:
    """How two protocols differ, in a sentence a field; scores under protocols that differ are not comparable."""
    one, other = catalog.find_protocol(first), catalog.find_protocol(second)
    found = [d for d in differences(one, other) if d.field != "name"]
    if not found:
        console.print(f"{first} and {second} do not differ", highlight=False, markup=False)
    for d in found:
        console.print(f"{d.field}: {d.first} in {first}, {d.second} in {second}", highlight=False, markup=False)
