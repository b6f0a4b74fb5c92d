"""One measured number: what it is of, under what conditions, its value, n and interval.

`Name` and `MeasuredUnder` are shared between the measurements that have the same: thousands of records say the same few
things. Both can be had as the words that version 1 of the records stored, and are read from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,  # those that pydantic reads on Python 3.11
)

from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, with_config
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Scope = Literal["", "image", "network", "flip", "processed", "end-to-end", "training"]

RATES = ("percent", "points")  # units of accuracies, whose keys have parts, joints, groups and bins
PARTS = ("joint", "sides", "without", "part", "visible", "hidden", "on-threshold")
SPLITS = ("visible", "hidden")  # of the joints; each may have groups and joints of its own
DIAGNOSIS = "diagnosis"
BANDS = "stature"
KIND = "kind"
LESS = "less_"  # begins the last part of a difference's key: the runtime that it is to


# ---------------------------------------------------------------------------------------------------- what it is of


class Name(NamedTuple):
    """What a number is of.

    `metric` is the rate, count or time; `part` what of it: `joint`, `sides` (mean of left and right), `without` (one
    joint left out), `visible`, `hidden`, `stature`, `kind/<kind of error>` ...; `joint`, `group` (of joints, or a limb)
    and `bin` (a range of box heights) say of which. `against` is what a difference is to.
    """

    key: str
    metric: str
    part: str = ""
    joint: str = ""
    group: str = ""
    bin: str = ""
    against: str = ""


@lru_cache(maxsize=65536)
def name_of(key: str, rate: bool) -> Name:
    """A key's fields; `rate`: of an accuracy, whose keys have parts (others are their metric)."""
    metric, *rest = key.split("/")
    if not rate or not rest:
        return Name(key, key)
    if metric == DIAGNOSIS:
        return _diagnosis(key, rest)
    if rest[-1].startswith(LESS):
        return Name(key, "/".join([metric, *rest[:-1]]), against=rest[-1].removeprefix(LESS))
    split = rest.pop(0) if rest[0] in SPLITS else ""
    part = rest.pop(0) if rest and rest[0] in PARTS else ""
    whole = "/".join(filter(None, (split, part)))
    last = "/".join(rest)
    if part in ("joint", "without"):
        return Name(key, metric, whole, joint=last)
    return Name(key, metric, whole, group=last)


def _diagnosis(key: str, rest: list[str]) -> Name:
    if rest[0] == BANDS:
        return Name(key, DIAGNOSIS, BANDS, bin="/".join(rest[1:]))
    if rest[0] == KIND:
        return Name(key, DIAGNOSIS, "/".join(rest[:2]), group="/".join(rest[2:]))
    return Name(key, DIAGNOSIS, "/".join(rest))


def key_of(metric: str, part: str = "", joint: str = "", group: str = "", bin: str = "", against: str = "") -> str:
    """The key that fields make up."""
    return "/".join(filter(None, (metric, part, joint, group, bin, f"{LESS}{against}" if against else "")))


# ---------------------------------------------------------------------------------------------------- conditions

UNSETTLED = "warm-up not settled"
THREADS = re.compile(r"(\d+) threads?")
IMAGE = re.compile(r"one image of (\d+)x(\d+)(?:, (\S+), (fp32|bf16|fp16|int8))?")
NETWORK = re.compile(r"network only, batch (\d+), (\S+), float32, normal noise, (\d+) threads?")
MAPS = re.compile(r"maps of (\d+)x(\d+)(, flip merged)?(?:, box shifted by (\S+) %)?(?:, box scaled by (\S+))?")
PROCESS = re.compile(r"(\S+), (\d+)x(\d+), batch (\d+), (\d+) threads")
ACCURACY = re.compile(r"([^\s,]+)(?:, ([^\s,]+))?")


@dataclass(frozen=True, kw_only=True)
class MeasuredUnder:
    """Under what a number was measured; what is empty plays no part.

    `scope` is "image" for what one image costs, "training" for what a training took, else the scope of a timing.
    Sizes are (height, width) in pixels. `flip`, `box_shift` (of the box's size) and `box_scale` belong to codec
    ceilings. `settled` is False where a latency's median still moved after the warm-up. `note` holds the words of
    version 1 that no field holds.
    """

    scope: Scope = ""
    protocol: str = ""
    runtime: str = ""
    precision: Precision | Literal[""] = ""
    threads: int | None = None
    batch: int | None = None
    input_hw: tuple[int, int] | None = None
    heatmap_hw: tuple[int, int] | None = None
    flip: bool = False
    box_shift: float = 0.0
    box_scale: float = 1.0
    settled: bool = True
    note: str = ""

    @cached_property
    def text(self) -> str:
        """In the words of version 1."""
        return self.apart + ("" if self.settled else f", {UNSETTLED}")

    @cached_property
    def apart(self) -> str:
        """The same, without whether a warm-up settled."""
        if self.note:
            return self.note
        if self.scope == "image":
            runtime = (self.runtime, self.precision) if self.runtime else ()
            return ", ".join((f"one image of {_size(self.input_hw)}", *runtime))
        if self.scope == "network":
            timed = f"network only, batch {self.batch}, {self.runtime}, float32, normal noise"
            return f"{timed}, {_threads(self.threads)}"
        if self.heatmap_hw is not None:
            return self._maps()
        if self.input_hw is not None:
            return f"{self.runtime}, {_size(self.input_hw)}, batch {self.batch}, {self.threads} threads"
        words = (self.scope, self.protocol, self.runtime, "" if self.threads is None else _threads(self.threads))
        return ", ".join(filter(None, words))

    def _maps(self) -> str:
        told = [f"maps of {_size(self.heatmap_hw)}"]
        told += ["flip merged"] * self.flip
        told += [f"box shifted by {100 * self.box_shift:g} %"] if self.box_shift else []
        told += [f"box scaled by {self.box_scale:g}"] if self.box_scale != 1 else []
        return ", ".join(told)

    def given(self) -> dict[str, Any]:
        """The fields that play a part."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}


ALWAYS = MeasuredUnder()


def _size(hw: tuple[int, int] | None) -> str:
    return "" if hw is None else f"{hw[0]}x{hw[1]}"


def _threads(threads: int | None) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


@lru_cache(maxsize=65536)
def conditions_of(text: str) -> MeasuredUnder:
    """The conditions that words of version 1 tell; words that the fields would not give back are kept as a note."""
    plain = text.removesuffix(f", {UNSETTLED}")
    settled = plain == text
    for read in (_read_image, _read_network, _read_maps, _read_process, _read_threads, _read_accuracy):
        found = read(plain)
        if found is not None and (made := MeasuredUnder(**found, settled=settled)).text == text:
            return made
    return MeasuredUnder(**_loosely(plain), settled=settled, note=plain) if text else ALWAYS


def _read_image(text: str) -> dict[str, Any] | None:
    if (m := IMAGE.fullmatch(text)) is None:
        return None
    runtime = {} if m[3] is None else {"runtime": m[3], "precision": m[4]}
    return {"scope": "image", "batch": 1, "input_hw": (int(m[1]), int(m[2])), **runtime}


def _read_network(text: str) -> dict[str, Any] | None:
    if (m := NETWORK.fullmatch(text)) is None:
        return None
    return {"scope": "network", "batch": int(m[1]), "runtime": m[2], "precision": "fp32", "threads": int(m[3])}


def _read_maps(text: str) -> dict[str, Any] | None:
    if (m := MAPS.fullmatch(text)) is None:
        return None
    shift = 0.0 if m[4] is None else round(float(m[4]) / 100, 12)
    scale = 1.0 if m[5] is None else float(m[5])
    hw = (int(m[1]), int(m[2]))
    return {"heatmap_hw": hw, "flip": m[3] is not None, "box_shift": shift, "box_scale": scale}


def _read_process(text: str) -> dict[str, Any] | None:
    if (m := PROCESS.fullmatch(text)) is None:
        return None
    return {"runtime": m[1], "input_hw": (int(m[2]), int(m[3])), "batch": int(m[4]), "threads": int(m[5])}


def _read_threads(text: str) -> dict[str, Any] | None:
    return None if (m := THREADS.fullmatch(text)) is None else {"threads": int(m[1])}


def _read_accuracy(text: str) -> dict[str, Any] | None:
    """A protocol, perhaps with the runtime whose predictions were scored; or a training."""
    if text == "training":
        return {"scope": "training"}
    return None if (m := ACCURACY.fullmatch(text)) is None else {"protocol": m[1], "runtime": m[2] or ""}


def _loosely(text: str) -> dict[str, Any]:
    """What can be told from other words, part by part."""
    found: dict[str, Any] = {}
    for part in text.split(", "):
        if m := THREADS.fullmatch(part):
            found["threads"] = int(m[1])
        elif m := re.fullmatch(r"batch (\d+)", part):
            found["batch"] = int(m[1])
        elif part == "network only":
            found["scope"] = "network"
        elif m := re.fullmatch(r"(eager)(?: (fp32))?", part):
            found["runtime"] = m[1]
    return found


# ---------------------------------------------------------------------------------------------------- the number

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@with_config(STRICT)
class ConditionsFields(TypedDict, total=False):
    """Conditions as version 2 stores them: those that play a part."""

    scope: Scope
    protocol: str
    runtime: str
    precision: Precision
    threads: int
    batch: int
    input_hw: tuple[int, int]
    heatmap_hw: tuple[int, int]
    flip: bool
    box_shift: float
    box_scale: float
    settled: bool
    note: str


@with_config(STRICT)
class Fields(TypedDict):
    """A measurement as files hold it: `key` and `scope` in version 1, the other fields in version 2."""

    value: float
    unit: str
    n: int
    interval: NotRequired[tuple[float, float] | None]
    key: NotRequired[str]
    scope: NotRequired[str]
    metric: NotRequired[str]
    part: NotRequired[str]
    joint: NotRequired[str]
    group: NotRequired[str]
    bin: NotRequired[str]
    against: NotRequired[str]
    conditions: NotRequired[ConditionsFields]


FIELDS: TypeAdapter[Fields] = TypeAdapter(Fields)


@lru_cache(maxsize=65536)
def _conditions(given: tuple[tuple[str, Any], ...]) -> MeasuredUnder:
    return MeasuredUnder(**dict(given))


@dataclass(frozen=True, slots=True, init=False)
class Measurement:
    """One measured number with its unit, what it is of (`name`) and under what (`conditions`); `interval` is 95 %.

    Made from fields, or from a key and a scope in the words of version 1. ValueError for values of other types, for NaN
    and infinity, and for a value that its own interval does not know.
    """

    name: Name
    value: float
    unit: str
    n: int
    interval: tuple[float, float] | None = field(default=None)
    conditions: MeasuredUnder = field(default=ALWAYS)

    def __init__(
        self,
        *,
        value: float,
        unit: str,
        n: int,
        key: str | None = None,
        scope: str | None = None,
        interval: tuple[float, float] | None = None,
        name: Name | None = None,
        conditions: MeasuredUnder | None = None,
    ) -> None:
        if name is None and key is None:
            raise ValueError("a measurement says what it is of: give its key, or its name")
        given: dict[str, Any] = {"value": value, "unit": unit, "n": n, "interval": interval}
        given |= {} if key is None else {"key": key}
        given |= {} if scope is None else {"scope": scope}
        known = FIELDS.validate_python(given)
        self._fill(
            known,
            name_of(key, unit in RATES) if key is not None or name is None else name,
            conditions_of(scope) if scope is not None else conditions or ALWAYS,
        )

    @classmethod
    def of(cls, known: Fields) -> Measurement:
        """From the fields of a file."""
        if ("key" in known) == ("metric" in known):
            raise ValueError("a measurement has either a key (version 1) or a metric (version 2)")
        if "key" in known:
            name = name_of(known["key"], known["unit"] in RATES)
            conditions = conditions_of(known.get("scope", ""))
        else:
            get = known.get
            name = _name(
                known["metric"], get("part", ""), get("joint", ""), get("group", ""), get("bin", ""), get("against", "")
            )
            given = known.get("conditions")
            conditions = ALWAYS if given is None else _conditions(tuple(given.items()))
        made = object.__new__(cls)
        made._fill(known, name, conditions)
        return made

    def _fill(self, known: Mapping[str, Any], name: Name, conditions: MeasuredUnder) -> None:
        n, value, unit, interval = known["n"], known["value"], known["unit"], known.get("interval")
        if n < 0:
            raise ValueError(f"{name.key}: n is {n}; it counts, so it is 0 or more")
        if unit == "percent" and not -EPSILON <= value <= 100 + EPSILON:
            raise ValueError(f"{name.key}: {value} percent is outside of 0 to 100")
        if interval is not None:
            _check_interval(name.key, value, interval)
        put = object.__setattr__
        put(self, "name", name)
        put(self, "value", value)
        put(self, "unit", unit)
        put(self, "n", n)
        put(self, "interval", interval)
        put(self, "conditions", conditions)

    @property
    def key(self) -> str:
        """What it is of, as a path: metric, part, joint or group or bin."""
        return self.name.key

    @property
    def scope(self) -> str:
        """The conditions in words."""
        return self.conditions.text

    def stored(self) -> dict[str, Any]:
        """As version 2 stores it: fields that say something."""
        found: dict[str, Any] = {k: v for k, v in zip(Name._fields[1:], self.name[1:], strict=True) if v}
        found |= {"value": self.value, "unit": self.unit, "n": self.n}
        found |= {} if self.interval is None else {"interval": self.interval}
        given = self.conditions.given()
        return found | ({"conditions": given} if given else {})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from_fields = core_schema.no_info_after_validator_function(cls.of, handler.generate_schema(Fields))
        return core_schema.json_or_python_schema(
            json_schema=from_fields,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_fields]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda m: m.stored()),
        )


@lru_cache(maxsize=65536)
def _name(*parts: str) -> Name:
    return Name(key_of(*parts), *parts)


EPSILON = 1e-9


def _check_interval(key: str, value: float, interval: tuple[float, float]) -> None:
    """An interval is the right way round, and where its value is: no further from it than it is wide.

    A bootstrap's percentiles may just miss a value; an interval elsewhere belongs to another number.
    """
    low, high = interval
    if low <= value <= high:
        return
    if low > high:
        raise ValueError(f"{key}: interval {interval} is the wrong way round")
    reach = (high - low) + EPSILON * max(1.0, math.fabs(value))
    if not low - reach <= value <= high + reach:
        raise ValueError(f"{key}: the interval [{low:g}, {high:g}] is not where the value {value:g} is")
