"""Which protocols the files of a data set are enough for, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from hpe_bench import catalog
from hpe_bench.data.boxes import boxes_of
from hpe_bench.declare import Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Readiness(NamedTuple):
    """One use of a protocol: what stands in its way, or an empty string."""

    protocol: str
    use: str
    missing: str


def readiness(name: str, root: str | None) -> Iterator[Readiness]:
    """The protocols on a data set: can prediction files be scored, models run, models trained with what lies there?

    Each answer is found by loading, exactly as a run would; protocols that need the same files are asked once.
    """
    known: dict[tuple[object, ...], str] = {}
    for protocol in catalog.all_protocols().values():
        if protocol.data.name == name:
            for use, (split, load) in _uses(protocol, root).items():
                key = (use, protocol.data, split)
                if key not in known:
                    known[key] = _obstacle(load)
                yield Readiness(protocol.name, use, known[key])


def _uses(protocol: Protocol, root: str | None) -> dict[str, tuple[str, Callable[[], object]]]:
    """What a protocol can be used for, with the split that it needs and a call that loads it."""
    data, test, train = protocol.data, protocol.test_split, protocol.train_split
    return {
        "score a file": (test, lambda: data.truth(test, root)),
        "run a model": (test, lambda: boxes_of(data, data.load(test, root), test, root)),
        "train a model": (train, lambda: data.load(train, root)),
    }


def _obstacle(load: Callable[[], object]) -> str:
    try:
        load()
    except ValueError as error:
        return str(error)
    return ""


def print_readiness(console: Console, name: str, root: str | None) -> None:
    """For each protocol what it can be used for, and for what not, one line a reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for protocol, use, missing in readiness(name, root):
        grouped.setdefault((protocol, missing), []).append(use)
    for (protocol, missing), uses in grouped.items():
        text = f"{protocol}: cannot {', '.join(uses)}: {missing}" if missing else f"{protocol}: can {', '.join(uses)}"
        console.print(text, highlight=False, markup=False)
