"""Numbers and names as text: fixed decimals, a true minus sign, full precision for the title attribute."""

from __future__ import annotations

import hashlib
import re

from hpe_bench.declare import Arm, Protocol, canonical
from hpe_bench.records.query import ScoringCondition

MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
HYPHEN_MINUS = re.compile(r"(?<![\w.)])-(?=\d)")
PERCENT = re.compile(r"(?<=\d) ?%")


def identifier(name: str) -> str:
    """A name as part of an id, an address and a file name; one that had to be changed stays unique by a digest.

    Records and claims come from anywhere: a protocol named `../x` must not become a path, nor one named `"><b` markup.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def number(value: float, digits: int) -> str:
    """Fixed decimals with thousands separators."""
    return f"{value:,.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    """Fixed decimals with the sign always written."""
    return f"{value:+,.{digits}f}".replace("-", MINUS)


def significant(value: float, figures: int = 4) -> str:
    """A measured value next to a printed one: a few significant figures, never exponent notation for usual sizes."""
    if value == int(value) and abs(value) >= 1000:
        return f"{int(value):,}".replace("-", MINUS)
    return f"{value:,.{figures}g}".replace("-", MINUS)


def span(interval: tuple[float, float] | None, digits: int = 1, sign: bool = False) -> str:
    """An interval in brackets, or an empty string."""
    if interval is None:
        return ""
    write = signed if sign else number
    return f"[{write(interval[0], digits)},{NO_BREAK}{write(interval[1], digits)}]"


def exact(value: float | None, unit: str = "") -> str:
    """Full precision, for the hover title."""
    return "" if value is None else f"{value!r} {unit}".strip()


def unit_text(unit: str) -> str:
    """A unit as readers write it: %, and powers of two set high."""
    return {"percent": "%"}.get(unit, unit).replace("2^30", "2³⁰").replace("2^20", "2²⁰")


def size(hw: tuple[int, int] | None) -> str:
    """Height x width."""
    return "" if hw is None else f"{hw[0]}×{hw[1]}"


def plural(count: int, noun: str) -> str:
    """`3 seeds`, `1 seed`; kept on one line."""
    return f"{count:,}{NO_BREAK}{noun}{'' if count == 1 else 's'}"


def typeset(sentence: str) -> str:
    """A sentence of a verdict with true minus signs, units and metrics as readers write them."""
    sentence = PERCENT.sub(f"{NO_BREAK}%", HYPHEN_MINUS.sub(MINUS, sentence))
    return unit_text(sentence).replace("pckh@", "PCKh@").replace("pck@", "PCK@")


def change(value: float, base: float) -> str:
    """A relative change in percent, with its sign."""
    return f"{signed(100 * (value / base - 1), 1)}{NO_BREAK}%"


def arm_label(arm: Arm) -> str:
    """What a reader calls an arm."""
    return arm.label or arm.name


def where(condition: ScoringCondition) -> str:
    """A condition in words."""
    return f"{condition.protocol}, {condition.scale} scale"


def metric(key: str) -> str:
    """A metric key as readers know it: pckh@0.5 is PCKh@0.5."""
    names = {"pckh": "PCKh", "pck": "PCK", "ap": "AP", "ar": "AR"}
    key = key.replace("_crowding_", ", crowding ").replace("_medium", ", medium").replace("_large", ", large")
    head, at, rest = key.partition("@")
    for short, name in names.items():
        if head == short or (
            head.startswith(short)
            and (head[len(short) :].replace("/", "").isalnum() or head[len(short)] == ",")
            and short in ("ap", "ar")
        ):
            return name + head[len(short) :] + at + rest
    return key


def protocol_fields(protocol: Protocol) -> dict[str, str]:
    """A protocol, field by field, in words."""
    codec = canonical(protocol.codec)
    detail = ", ".join(f"{k} {v}" for k, v in codec.items() if k != "is")
    return {
        "Data set": f"{protocol.data.name}, train on {protocol.train_split}, test on {protocol.test_split}",
        "Boxes": protocol.boxes,
        "Crop": f"box extended by {protocol.padding:g}{', pixel centre to pixel centre' * protocol.between_centres}",
        "Target and decoding": f"{codec['is']} ({detail})",
        "Test-time flip": "yes" if protocol.flip_test else "no",
        "Metrics": ", ".join(metric(m.key) for m in protocol.metrics),
        **({"Corruption": f"{c.kind}, severity {c.severity}, level {c.level:g}"} if (c := protocol.corruption) else {}),
    }
