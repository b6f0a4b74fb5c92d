"""Runtimes, stopwatch, numerical check and memory: what is measured is what is said, faults stay in their row."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.commands import profile
from hpe_bench.commands.profile import ProfileRequest
from hpe_bench.commands.reproduce import costs_of
from hpe_bench.cost.energy import Meter, RaplMeter
from hpe_bench.cost.memory import activations_peak
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import fingerprint
from hpe_bench.inference.exporting import to_onnx
from hpe_bench.records import schema, store
from hpe_bench.records.schema import Timing
from hpe_bench.report.kit.latency_text import share_of_peak
from hpe_bench.report.kit.tables import latency_cell
from hpe_bench.run import costs, latency, pool
from hpe_bench.run.latency import Conditions, KeptTimes, LatencyRun, TimedNetwork
from hpe_bench.run.pool import Settings
from hpe_bench.timing import runtimes
from hpe_bench.timing.check import InBatches, ReferenceOutput, ranges
from hpe_bench.timing.interleave import FEWEST_ROUNDS, ROUNDS, WIDE_SPREAD, Plan, Times, interleave, warm_up
from hpe_bench.timing.onnx_input import input_sizes
from hpe_bench.timing.rows import NetworkTimes, rows
from hpe_bench.timing.runtimes import ON_CPU, ON_CUDA, Runtime, Workload
from hpe_bench.timing.runtimes.eager import ChannelsLast, Eager
from hpe_bench.timing.runtimes.folding import foldable_pairs, folded
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime
from hpe_bench.timing.runtimes.open_vino import OpenVino
from hpe_bench.timing.scopes import PHOTOGRAPH_HW, Decoding, photograph, pose_call, skeleton_of
from hpe_bench.timing.sources import OfCode, OfVariant, calibrate
from hpe_bench.timing.statistics import Latency, counts, ratio
from tests import fake_runtimes, onnx_files, synthetic_latency, synthetic_records
from tests.fake_runtimes import Scripted
from tests.synthetic_paper import BASE_FULL, FULL, PAPER

SLUGS = catalog.slugs()


def pocket(slug: str) -> tuple[nn.Module, OfVariant]:
    """A paper's pocket network, calibrated."""
    variant = catalog.find_variant(catalog.load(slug), "pocket")
    source = OfVariant(variant, variant.joints)
    module = source.fresh()
    calibrate(module, variant.input_hw)
    return module, source


def final(module: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(images)[-1]


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.std())


# ---------------------------------------------------------------------------------------- folding


@pytest.mark.parametrize("slug", SLUGS)
def test_folding_changes_no_papers_maps_and_removes_norms(slug: str) -> None:
    module, source = pocket(slug)
    images = torch.randn(2, 3, *source.variant.input_hw, generator=torch.Generator().manual_seed(5))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flat = folded(module, images[:1])
    assert relative(final(flat, images), final(module, images)) < 1e-4
    norms, left = (sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (module, flat))
    assert left == norms - len(foldable_pairs(module, images[:1]))
    assert left <= 0.5 * norms
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Tricky(nn.Module):
    """A norm that may be folded, and three that may not: read twice, run twice, behind a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))
        self.up = nn.ConvTranspose2d(3, 3, 2, stride=2)
        self.up_norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> list[Tensor]:
        a = self.convs[0](x)
        a = self.norms[0](a) + a
        b = self.norms[1](self.convs[1](self.norms[1](self.convs[1](a))))
        c = self.norms[2](self.convs[2](a) + b)
        return [self.up_norm(self.up(self.norms[3](self.convs[3](c))))]


def test_only_norms_that_alone_read_a_convolution_are_folded() -> None:
    torch.manual_seed(0)
    module = Tricky()
    for norm in (*module.norms, module.up_norm):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias)
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    module.eval()
    images = torch.randn(1, 3, 4, 4)
    pairs = foldable_pairs(module, images)
    assert pairs == [(module.convs[3], module.norms[3]), (module.up, module.up_norm)]
    assert relative(final(folded(module, images), images), final(module, images)) < 1e-5


# ---------------------------------------------------------------------------------------- runtimes and their check


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workload, ReferenceOutput]:
    """A calibrated pocket network as every runtime gets it."""
    folder = tmp_path_factory.mktemp("staged")
    module, source = pocket("fasterpose")
    torch.save(module.state_dict(), folder / "weights.pt")
    file = to_onnx(module, (128, 96), folder / "network.onnx", 2)
    reference = ReferenceOutput.write(folder / "reference.pt", lambda images: final(module, images), (128, 96))
    torch.save(ranges((128, 96)), folder / "ranges.pt")
    return Workload(source, folder / "weights.pt", file, "", (128, 96), 2, folder / "ranges.pt"), reference


@pytest.mark.parametrize("runtime", [r for r in ON_CPU if r.name != "compile"], ids=lambda r: r.name)
def test_every_runtime_gives_the_maps_of_eager(runtime: Runtime, staged: tuple[Workload, ReferenceOutput]) -> None:
    if reason := runtime.missing():
        pytest.skip(reason)
    workload, reference = staged
    deviation = reference.deviation(runtime.build(workload, 1), workload.batch)
    assert deviation <= runtime.tolerance
    assert (deviation > 1e-3) == (runtime.precision != "fp32")  # fewer bits are really at work
    assert runtime.version()


@pytest.mark.parametrize("runtime", ON_CUDA, ids=lambda r: r.name)
def test_cuda_gives_the_maps_of_eager(runtime: Runtime, staged: tuple[Workload, ReferenceOutput]) -> None:
    if reason := runtime.missing():
        pytest.skip(reason)
    workload, reference = staged
    call = runtime.build(workload, 1)
    assert reference.deviation(call, workload.batch) <= runtime.tolerance
    placed = runtime.place(workload.images())
    assert 0 < runtime.time_ms(lambda: call(placed)) < 1e3


def test_the_check_refuses_a_wrong_runtime(staged: tuple[Workload, ReferenceOutput]) -> None:
    workload, reference = staged
    noisy = reference.deviation(fake_runtimes.Noisy().build(workload, 1), workload.batch)
    assert noisy == pytest.approx(0.01, rel=0.2)
    assert noisy > fake_runtimes.Noisy.tolerance
    eager = Eager().build(workload, 1)
    assert reference.deviation(eager, workload.batch) < 1e-6
    assert reference.deviation(lambda images: eager(images.flip(-1)), workload.batch) > 0.1
    with pytest.raises(ValueError, match="shape"):
        reference.deviation(lambda images: eager(images)[..., :-1], workload.batch)


def test_constant_maps_are_no_reference(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="constant or not finite"):
        ReferenceOutput.write(tmp_path / "r.pt", lambda images: images[:, :1] * 0 + 1, (64, 48))


def test_batches_are_filled_up_and_cut_again() -> None:
    sizes = []

    def call(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images[:, :1] * 2

    images = torch.randn(5, 3, 4, 4)
    (maps,) = InBatches(call, 2)(images)
    assert sizes == [2, 2, 2]
    assert torch.equal(maps, images[:, :1] * 2)


def test_calibration_is_deterministic_and_gives_maps_that_depend_on_the_image() -> None:
    one, source = pocket("hrnet")
    two, _ = pocket("hrnet")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    images = torch.randn(2, 3, *source.variant.input_hw)
    a, b = final(one, images)
    assert relative(a, b) > 0.1
    assert 1e-3 < float(a.std()) < 1e3


def test_unknown_runtimes_are_named() -> None:
    with pytest.raises(ValueError, match="no runtime 'onnxruntim'; did you mean 'onnxruntime'"):
        runtimes.named(["onnxruntim"])


def test_absent_packages_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "-e '.[onnx]'" in OnnxRuntime().missing()
    assert "-e '.[openvino]'" in OpenVino().missing()


# ---------------------------------------------------------------------------------------- scopes


def test_poses_from_pixels_and_from_jpeg_agree_and_are_in_image_pixels() -> None:
    """A network that answers with the red channel at a quarter of the size: its peak lies inside the person's crop."""

    class Red(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [nn.functional.avg_pool2d(x[:, :1], 4).expand(-1, 17, -1, -1)]

    found = []
    for encoded in (False, True):
        joints, _ = pose_call(Red(), (128, 96), 3, 17, Decoding(), encoded)()  # type: ignore[misc]
        assert joints.shape == (3, 17, 2)
        assert (joints >= -100).all()
        assert (joints <= max(PHOTOGRAPH_HW) + 100).all()
        found.append(joints)
    assert np.abs(found[0] - found[1]).mean() < 20  # JPEG moves peaks a little, not elsewhere
    persons = photograph(2, COCO_17, encoded=True)
    assert persons.images.read(0).shape == (*PHOTOGRAPH_HW, 3)
    assert persons.box[1, 0] == persons.box[0, 0] + 1


def test_maps_of_no_known_skeleton_have_no_flip() -> None:
    with pytest.raises(ValueError, match="21 maps belong to no skeleton"):
        skeleton_of(21)


# ---------------------------------------------------------------------------------------- the stopwatch


def test_subjects_take_turns_with_their_threads_set(tmp_path: Path) -> None:
    log = tmp_path / "log"
    subjects = [Scripted("a", log, threads=1), Scripted("b", log, threads=3)]
    before = os.environ.get("OMP_NUM_THREADS")
    found = interleave(subjects, Plan(seconds=0.03, builders=2))
    assert os.environ.get("OMP_NUM_THREADS") == before
    assert [p.facts["threads"] for p in found] == [1.0, 3.0]
    times = [p.parts["work"] for p in found]
    assert all(isinstance(t, Times) and t.settled and t.attempts == 1 for t in times)
    kept = 3  # 30 ms of calls of 1 ms in 10 rounds; each turn has one more, which is not kept
    assert all(t.rounds_ms == ((1.0,) * kept,) * ROUNDS for t in times)  # type: ignore[union-attr]
    played = log.read_text()[sum(t.warmup_calls for t in times) :]  # type: ignore[union-attr]
    assert played == ("a" * (kept + 1) + "b" * (kept + 1)) * ROUNDS
    assert all((p.peak_rss_bytes or 0) > 10e6 for p in found)


def test_whoever_crashes_raises_or_hangs_fails_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    subjects = [
        Scripted("a", log),
        Scripted("b", log, dies_at_call=12),
        Scripted("c", log, raises_at_call=9),
        Scripted("d", log, hangs_at_call=10),
    ]
    found = interleave(subjects, Plan(seconds=0.01, turn_limit_s=2.0, builders=4))
    assert isinstance(found[0].parts["work"], Times)
    assert "SIGABRT" in str(found[1].parts["work"])
    assert "tired" in str(found[2].parts["work"])
    assert "did not answer within 2 s" in str(found[3].parts["work"])


def test_wide_spreads_are_timed_again_and_said(tmp_path: Path) -> None:
    warm = (1.0,) * 6
    rough = tuple(1.0 + 2 * (i % 2) for i in range(ROUNDS))
    plan = Plan(seconds=0.001, attempts=3)
    wild = Scripted("w", tmp_path / "log", times_ms=(*warm, *(rough * plan.attempts)))
    calmed = Scripted("c", tmp_path / "log", times_ms=(*warm, *rough, 1.0))
    one, two = (p.parts["work"] for p in interleave([wild, calmed], plan))
    assert isinstance(one, Times)
    assert isinstance(two, Times)
    assert (one.attempts, one.settled) == (plan.attempts, False)
    assert one.spread > WIDE_SPREAD
    assert (two.attempts, two.settled, two.spread) == (2, True, 0.0)


def test_warming_up_ends_when_the_median_stands_still_or_the_time_is_up() -> None:
    log: list[float] = []

    def timed(times: list[float]) -> Callable[[], float]:
        return lambda: log.append(0.0) or times[min(len(log), len(times)) - 1]  # type: ignore[func-returns-value]

    still = warm_up(timed([20.0] * 4 + [4.0]))
    assert (still.settled, still.median_ms) == (True, 4.0)
    assert still.calls > 6
    log.clear()
    restless = warm_up(timed([1.2**k for k in range(100)]))
    assert (restless.settled, restless.calls) == (False, 30)
    log.clear()
    late = warm_up(timed([7.0]), seconds=0.0)
    assert (late.settled, late.calls, late.median_ms) == (False, 2, 7.0)


def test_a_share_of_the_time_binds_and_what_it_left_unsettled_says_so(tmp_path: Path) -> None:
    """Calls of 60 ms are far more than the share allows: the fewest rounds are taken, and nothing is repeated."""
    slow = Scripted("s", tmp_path / "log", times_ms=(60.0, 90.0), sleeps=True)
    quick = Scripted("q", tmp_path / "log", times_ms=(1.0,), sleeps=True)
    told: list[tuple[float, float]] = []
    plan = Plan(seconds=1.0, attempts=5, share_s=0.15, builders=2)
    one, two = (p.parts["work"] for p in interleave([slow, quick], plan, lambda *at: told.append(at)))
    assert isinstance(one, Times)
    assert isinstance(two, Times)
    assert len(one.rounds_ms) == len(two.rounds_ms) == FEWEST_ROUNDS
    assert (one.settled, one.attempts) == (False, 1)
    calls = sum(times.warmup_calls + sum(map(len, times.rounds_ms)) for times in (one, two))
    assert calls < 40


def test_the_time_left_is_told_by_what_rounds_really_take(tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    subject = Scripted("a", tmp_path / "log", times_ms=(50.0,), sleeps=True)
    interleave([subject], Plan(seconds=0.5, share_s=20.0), lambda done, total: told.append((done, total)))
    ends = [total for _, total in told[-ROUNDS + 1 :]]  # after each round but the last
    (last, _), *_ = told[::-1]
    assert last <= ends[-1] < last + 1.0
    assert max(ends) < min(ends) + 1.0  # foretold alike all along
    assert all(later[0] >= sooner[0] for sooner, later in pairwise(told))


@pytest.fixture
def with_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "ALL", fake_runtimes.ALL)


def test_a_records_rows_stand_whatever_happens_to_others(with_fakes: None) -> None:
    subject = TimedNetwork("own", "conv", "hash", (32, 24), source=OfCode("tests.fake_runtimes:two_maps"))
    names = ("eager", "noisy", "crashing", "raising", "hanging", "absent")
    run = LatencyRun(subject, tuple(Conditions(name, 1, 1, (32, 24)) for name in names))
    (record,) = latency.measure([run], Plan(seconds=0.01, limit_s=20.0, builders=5, share_s=1.0))
    rows = {t.runtime: t for t in record.timings}
    assert {name: row.status for name, row in rows.items()} == {
        **dict.fromkeys(("eager", "noisy"), "done"),
        **dict.fromkeys(("crashing", "raising", "hanging"), "failed"),
        "absent": "skipped",
    }
    assert "SIGABRT" in rows["crashing"].reason
    assert "no kernel for this network" in rows["raising"].reason
    assert "was not ready within 20 s" in rows["hanging"].reason
    assert "pip install absentpkg" in rows["absent"].reason
    assert counts(rows["eager"])
    assert not counts(rows["noisy"])
    assert "own/conv" not in [p.key for p in record.absent]
    assert record.get("macs").value == 3 * 2 * 9 * 32 * 24  # type: ignore[union-attr]
    assert record.get("memory/activations_peak").value == 4 * (3 + 2) * 32 * 24  # type: ignore[union-attr]
    assert record.get("peak/conv", "1 thread") is not None
    assert [a.key for a in record.absent] in (["energy"], [])
    text = "\n".join(profile.notes([record]))
    assert "noisy, 1 thread, network does not count" in text
    assert schema.RunRecord.model_validate_json(record.model_dump_json()) == record


# ---------------------------------------------------------------------------------------- statistics


def timing(rounds: list[tuple[float, ...]], **more: object) -> Timing:
    fields = {"runtime": "eager", "input_hw": (4, 4), "batch": 1, "threads": 1, "rounds_ms": tuple(rounds), **more}
    return Timing(**fields)  # type: ignore[arg-type]


DRIFT = tuple((10.0 + k, 10.0 + k) for k in range(10))


def scaled(factor: float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(factor * ms for ms in calls) for calls in DRIFT)


def test_ratios_cancel_what_hits_both_rows() -> None:
    found = ratio([("monday", scaled(2))], [("monday", DRIFT)])
    assert (found.value, *found.interval) == pytest.approx((2.0, 2.0, 2.0))
    assert found.paired
    apart = ratio([("monday", scaled(2))], [("tuesday", DRIFT)])
    assert not apart.paired
    assert apart.value == pytest.approx(2.0)
    assert apart.interval[0] < 1.8
    assert apart.interval[1] > 2.2


def test_ratios_are_taken_within_timing_runs() -> None:
    """Tuesday is four times slower for both; only their order within a day counts, and whose alone does not."""
    ours = [("monday", scaled(2)), ("tuesday", scaled(8 * 2)), ("friday", scaled(100))]
    theirs = [("monday", DRIFT), ("tuesday", scaled(8))]
    found = ratio(ours, theirs)
    assert (found.value, found.runs, found.paired) == (pytest.approx(2.0), 2, True)
    assert found.interval == pytest.approx((2.0, 2.0))
    mixed = ratio([("monday", scaled(2)), ("tuesday", scaled(4.5))], [("monday", DRIFT), ("tuesday", DRIFT)])
    assert mixed.value == pytest.approx(3.0)  # geometric mean
    low, high = mixed.interval  # 3 times or over exp(t * log(4.5 / 2) / 2), t of one degree of freedom
    assert (low * high, high / low) == (pytest.approx(9.0), pytest.approx(2.25**12.7062, rel=1e-4))


def test_the_interval_of_several_timing_runs_covers_runs_and_of_one_its_calls_alone() -> None:
    steady = ((100.0, 101.0, 102.0),) * 10
    slower = ((124.0, 125.0, 126.0),) * 10
    one, two = Latency((steady,)), Latency((steady, slower))
    assert (one.median_ms, one.interval_ms) == (101.0, (101.0, 101.0))
    assert (two.median_ms, two.n) == (pytest.approx((101 * 125) ** 0.5), 60)
    medians = 100.0 + np.arange(12) % 4
    many = Latency(tuple(((ms,) * 3,) * 10 for ms in medians))
    wanted = stats.t.interval(0.95, 11, np.log(medians).mean(), stats.sem(np.log(medians)))
    assert many.median_ms == pytest.approx(np.exp(np.log(medians).mean()))
    assert many.interval_ms == pytest.approx(tuple(np.exp(wanted)))


def test_rows_of_several_days_that_never_took_turns_are_told_apart_as_by_welch() -> None:
    ours, theirs = (2.0, 2.2, 2.1), (1.0, 1.3, 1.2, 0.9)
    found = ratio(
        [(f"a{k}", ((ms,) * 3,) * 10) for k, ms in enumerate(ours)],
        [(f"b{k}", ((ms,) * 3,) * 10) for k, ms in enumerate(theirs)],
    )
    wanted = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False).confidence_interval(0.95)
    assert (found.paired, found.runs) == (False, 3)
    assert found.interval == pytest.approx((np.exp(wanted.low), np.exp(wanted.high)))


def test_the_interval_of_one_run_resamples_rounds() -> None:
    low, high = Latency((tuple((float(k),) * 20 for k in range(10)),)).interval_ms
    assert low <= 2.0  # drift between rounds shows; resampling single calls would claim about +-0.5
    assert high >= 7.0


def test_rows_count_only_that_passed_the_check() -> None:
    assert counts(timing([(1.0,)], deviation=1e-4, tolerance=1e-3))
    assert not counts(timing([(1.0,)], deviation=2e-3, tolerance=1e-3))
    assert not counts(timing([(1.0,)]))


# ---------------------------------------------------------------------------------------- memory and energy


def test_peak_activations_by_hand() -> None:
    """Input 3, then 8 and (not in place) 8 more channels of 10x10: 19 alive; in place the last convolution decides."""
    image = torch.zeros(1, 3, 10, 10)
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    assert activations_peak(plain, image) == 4 * 100 * (3 + 8 + 8)
    inplace = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 1))
    assert activations_peak(inplace, image) == 4 * 100 * (3 + 8 + 4)


def test_views_cost_nothing_and_what_is_held_is_counted_on_the_meta_device() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> list[Tensor]:
            maps = [self.conv(x) for _ in range(5)]  # all kept
            self.conv(x)  # let go at once
            return [m.view(1, 3, -1).transpose(1, 2) for m in maps]

    module = Held()
    expected = 4 * 64 * 3 * (1 + 6)
    assert activations_peak(module, torch.zeros(1, 3, 8, 8)) == expected
    assert activations_peak(module.to("meta"), torch.zeros(1, 3, 8, 8, device="meta")) == expected


def test_rapl_adds_packages_and_survives_the_wrap(tmp_path: Path) -> None:
    def write(name: str, value: int) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999999\n")

    assert "RAPL" in str(RaplMeter.open(tmp_path))
    write("intel-rapl:0", 900_000)
    write("intel-rapl:1", 0)
    write("intel-rapl:0:0", 5)  # the cores of a package are part of it
    meter = RaplMeter.open(tmp_path)
    assert isinstance(meter, Meter)
    before = meter.joules()
    write("intel-rapl:0", 100_000)
    write("intel-rapl:1", 300_000)
    assert meter.joules() - before == pytest.approx(0.5)


# ---------------------------------------------------------------------------------------- one's own networks


def write_code(folder: Path, body: str) -> str:
    file = folder / "mine.py"
    file.write_text("import torch\nfrom torch import nn\n" + body)
    return f"{file}:build"


def own_asked(subject: str, **more: object) -> ProfileRequest:
    return ProfileRequest(
        **{"subject": subject, "inputs": ((32, 24),), "runtimes": ("eager",), "threads": (1,), **more}
    )  # type: ignore[arg-type]


DICTIONARY = """
class Net(nn.Module):
    def forward(self, x): return {"maps": x}
def build(): return Net()
"""
STRIDED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 3, 4, stride=4), nn.Upsample(scale_factor=4)
    def forward(self, x): return self.up(self.down(x)) + x
def build(): return Net()
"""


@pytest.mark.parametrize(
    ("body", "inputs", "message"),
    [
        (DICTIONARY, ((32, 24),), "gives a dict; return the heatmaps as a tensor, or as a list or tuple of tensors"),
        (STRIDED, ((30, 24),), "fails for images of 30x24"),
        ("def build(): return 3\n", ((32, 24),), "returned a int; it must return a torch.nn.Module"),
        ("def build(): raise KeyError('w')\n", ((32, 24),), "calling it failed: KeyError"),
        ("built = 3\n", ((32, 24),), "has no callable 'build'"),
        ("import nowhere_at_all\n", ((32, 24),), "importing .* failed: ModuleNotFoundError"),
        ("def build(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))\n", ((32, 24),), "heatmaps are"),
        ("def build(): return nn.Conv2d(3, 3, 1)\n", (), "say for which input size with --inputs"),
    ],
)
def test_own_code_that_cannot_be_timed_is_one_sentence(
    body: str, inputs: tuple[tuple[int, int], ...], message: str, tmp_path: Path
) -> None:
    asked = own_asked(write_code(tmp_path, body), inputs=inputs)
    settings = Settings(tmp_path / "results", tmp_path / "runs")
    with pytest.raises(ValueError, match=message) as error:
        profile.profile(asked, settings, Console(quiet=True))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_onnx_files_that_cannot_be_timed_are_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no protobuf")
    kernel = onnx_files.brightness(17)
    dynamic = onnx_files.write(tmp_path / "dynamic.onnx", kernel, ("n", 3, "h", "w"))
    fixed = onnx_files.write(tmp_path / "fixed.onnx", kernel, (1, 3, 64, 48))
    grey = onnx_files.write(tmp_path / "grey.onnx", kernel[:, :1], (1, 1, 64, 48))
    two = onnx_files.write(tmp_path / "two.onnx", kernel, extra_inputs=1)
    for path, asked, batches, message in (
        (tmp_path / "none.onnx", (), (1,), "no such file"),
        (broken, (), (1,), "not an ONNX file that onnxruntime can run"),
        (dynamic, (), (1,), "takes images of any size"),
        (fixed, ((32, 24),), (1,), "takes images of 64x48 only, not 32x24"),
        (fixed, (), (8,), "takes batches of 1 only, not 8; give --batch 1"),
        (grey, (), (1,), "expected float images"),
        (two, (), (1,), "takes 2 inputs, expected one"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            input_sizes(path, asked, batches)
        assert "\n" not in str(error.value)
    assert input_sizes(dynamic, ((64, 48), (32, 24)), (1, 8)) == ((64, 48), (32, 24))
    assert input_sizes(fixed, (), (1,)) == ((64, 48),)
    with pytest.raises(ValueError, match="eager runs no ONNX files; onnxruntime, openvino"):
        profile._own_run(ProfileRequest(subject=str(fixed), runtimes=("eager",)))


def test_somebodys_onnx_file_is_counted_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SECONDS", 0.02)
    monkeypatch.setattr(profile, "SHARE_S", 1.0)
    path = onnx_files.write(tmp_path / "My Net.onnx", onnx_files.brightness(17))
    settings = Settings(tmp_path / "results", tmp_path / "runs")
    asked = own_asked(str(path), inputs=(), runtimes=("onnxruntime",), scopes=("network", "end-to-end"))
    assert profile.profile(asked, settings, Console(quiet=True))
    (file,) = (tmp_path / "results" / "own").glob("*.json")
    record = store.load(file)
    assert file.name.startswith("my-net__latency-v1__")
    assert [t.scope for t in record.timings] == ["network", "end-to-end"]
    assert all(counts(t) for t in record.timings)
    assert record.get("macs").value == 17 * 3 * 16 * 16 * 12  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------- one variant a paper


@pytest.fixture
def tiny_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own paper alone, with one timed variant, in two runtimes."""
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(Path(__file__).parent / "papers"))
    loaded = catalog.load("tiny")
    monkeypatch.setattr(catalog, "load_all", lambda: ([loaded], []))
    few = (Eager(), ChannelsLast(), fake_runtimes.AbsentRuntime())
    monkeypatch.setattr(profile, "ALL", few)
    monkeypatch.setattr(profile, "ON_CPU", few)
    monkeypatch.setattr(runtimes, "ALL", few)
    monkeypatch.setattr(profile, "ALL_SECONDS", 0.02)
    monkeypatch.setattr(profile, "ALL_SHARE_S", 0.5)


def test_all_measures_what_is_not_finished_here(
    tiny_papers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(tmp_path / "results", tmp_path / "runs")
    assert profile.profile_all(60.0, settings, Console(quiet=True))
    (file,) = (tmp_path / "results" / "tiny").glob("*.json")
    first = file.read_bytes()
    record = store.load(file)
    cores = latency.default_threads()
    assert {t.turns for t in record.timings if t.status == "done"} != {""}
    assert {t.threads for t in record.timings if t.runtime == "channels_last"} == {cores[0]}  # it is timed alone
    assert {t.threads for t in record.timings if t.runtime == "eager"} == set(cores)
    file.unlink()
    monkeypatch.setattr(latency, "measure", lambda *_: pytest.fail("it was finished"))
    assert profile.profile_all(60.0, settings, Console(quiet=True))
    assert file.read_bytes() == first  # put back from runs/
    monkeypatch.setattr(fake_runtimes.AbsentRuntime, "missing", lambda self: "")
    assert not latency.is_current(record)  # a runtime was installed since


def test_all_asks_less_of_those_that_no_ratio_is_claimed_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "default_threads", lambda: (1, 2))
    papers, _ = catalog.load_all()
    groups = profile.in_turns([p for p in papers if p.paper.timed])
    together = {p.paper.slug for p in groups[0]}
    assert together == {"simple_baseline", "hrnet", "fasterpose"}
    assert {len(group) for group in groups[1:]} == {1}
    rows = {p.paper.slug: profile._all_runs(p, len(g) > 1)[0].conditions for g in groups for p in g}
    for slug, conditions in rows.items():
        at_one, at_most = ({c.runtime for c in conditions if c.threads == n} for n in (1, 2))
        assert {"eager", "channels_last", "folded", "bf16", "onnxruntime", "openvino", "openvino_bf16"} <= at_one
        assert ("compile" in at_most) == (slug in together)
        scopes = {c.scopes for c in conditions if (c.runtime, c.threads) == ("eager", 2)}
        assert scopes == {profile.SCOPES if slug in together else ("network",)}
        assert {"eager", "onnxruntime", "openvino", "openvino_bf16", "cuda"} <= at_most


def test_other_conditions_make_another_record() -> None:
    subject = TimedNetwork("tiny", "tiny", "hash", (64, 48))
    runs = [
        LatencyRun(subject, (Conditions("eager", threads, batch, (64, 48)),)) for threads in (1, 2) for batch in (1, 2)
    ]
    assert len({run.id for run in runs}) == len({run.identity.protocol_hash for run in runs}) == 4
    assert runs[0].id == LatencyRun(subject, (Conditions("eager", 1, 1, (64, 48)),), root="elsewhere").id
    again = replace(runs[0], timing_run=1)
    assert (again.id != runs[0].id, again.identity.protocol_hash) == (True, runs[0].identity.protocol_hash)
    assert (runs[0].identity.timing_run, again.identity.timing_run) == (None, 1)
    assert replace(runs[0], timing_run=0).id == runs[0].id == "13eca6f2ebe41ec6"


# ---------------------------------------------------------------------------------------- timing runs, interruptions


def two_groups(name: str = "conv", code: str = "c0") -> LatencyRun:
    network = TimedNetwork(
        "own", name, f"hash of {name}", (32, 24), code, source=OfCode("tests.fake_runtimes:two_maps")
    )
    return LatencyRun(network, tuple(Conditions("eager", threads, 1, (32, 24)) for threads in (1, 2)))


QUICK = Plan(seconds=0.01, share_s=2.0, attempts=1, builders=2)


def test_what_was_timed_before_an_interruption_is_kept_and_the_rest_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, kept, groups = [two_groups("a"), two_groups("b")], KeptTimes(tmp_path), []
    measure_group = latency._measure_group

    def stopped_at_the_second(group: list[latency.Entry], *more: Any) -> None:
        groups.append({c.threads for _, c in group})
        if len(groups) == 2:
            raise KeyboardInterrupt
        measure_group(group, *more)

    monkeypatch.setattr(latency, "_measure_group", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        latency.measure(runs, QUICK, kept=kept, peak=False)
    assert len(list(tmp_path.iterdir())) == 2
    records = latency.measure(runs, QUICK, kept=kept, peak=False)
    assert groups == [{1}, {2}, {2}]  # the first group was not timed again
    assert list(tmp_path.iterdir()) == []
    for record in records:
        assert [t.threads for t in record.timings] == [1, 2]
        assert record.get("macs") is not None
    assert len({t.turns for r in records for t in r.timings}) == 2
    first, second = rows(records)[0], rows(records)[2]
    assert first.against(second).paired


def test_what_was_kept_of_other_code_is_measured_again(tmp_path: Path) -> None:
    run, kept = two_groups(), KeptTimes(tmp_path)
    (record,) = latency.measure([run], QUICK, peak=False)
    kept.save(run, record)
    assert kept.load(run) == record
    assert kept.load(replace(run, subject=replace(run.subject, code="c1"))) is None
    elsewhere = record.provenance.model_copy(update={"device": "Another CPU"})
    kept.save(run, record.model_copy(update={"provenance": elsewhere}))
    assert kept.load(run) is None
    (tmp_path / f"{run.id}.json").write_text("{ half")
    assert kept.load(run) is None


def test_a_quick_look_takes_one_runtime_and_keeps_no_record(tmp_path: Path) -> None:
    asked = ProfileRequest(
        subject=write_code(tmp_path, "def build(): return nn.Conv2d(3, 17, 3)\n"), inputs=((32, 24),), quick=True
    )
    console = Console(record=True, width=200, file=io.StringIO())
    assert profile.profile(asked, Settings(tmp_path / "results", tmp_path / "runs"), console)
    text = console.export_text()
    assert text.index("0.00 M parameters, 0.00 GMAC (true count)") < text.index("ms, median")
    assert "eager" in text
    assert "onnxruntime" not in text
    assert not (tmp_path / "results").exists()


def test_several_timing_runs_are_told_as_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SECONDS", 0.02)
    monkeypatch.setattr(profile, "SHARE_S", 1.0)
    asked = own_asked(write_code(tmp_path, "def build(): return nn.Conv2d(3, 17, 3)\n"), timing_runs=2)
    console = Console(record=True, width=200, file=io.StringIO())
    assert profile.profile(asked, Settings(tmp_path / "results", tmp_path / "runs"), console)
    records = [store.load(path) for path in (tmp_path / "results" / "own").glob("*.json")]
    assert sorted(r.identity.timing_run or 0 for r in records) == [0, 1]
    (row,) = rows(records)
    assert (row.runs, len({t.turns for _, t in row.found})) == (2, 2)
    lines = [line for line in console.export_text().splitlines() if line.startswith("eager")]
    assert len(lines) == 1


def test_rows_that_did_not_settle_stand_in_one_line_and_more_than_the_peak_is_explained() -> None:
    restless = [
        timing([(1.0,)], runtime=name, deviation=0.0, tolerance=1e-3, settled=False) for name in ("eager", "folded")
    ]
    record = synthetic_latency.latency("tiny", FULL, 100.0, 400.0, 4.0).model_copy(update={"timings": tuple(restless)})
    found = list(profile.notes([record]))
    assert sum("did not settle" in line for line in found) == 1
    assert "eager, 1 thread, network; folded, 1 thread, network" in found[0]
    fast = synthetic_latency.latency("tiny", FULL, 100.0, 40.0, 4.0)  # 400 GMAC/s where the machine reaches 100
    assert any(line.startswith("*: More than 100 % of the peak") for line in profile.notes([fast]))
    eager = next(row for row in rows([fast]) if row.timing.runtime == "eager")
    assert share_of_peak(eager).endswith("%*")
    on_gpu = fast.model_copy(update={"timings": tuple(t.model_copy(update={"runtime": "cuda"}) for t in fast.timings)})
    assert all(row.share_of_peak is None for row in rows([on_gpu]) if row.timed)  # the peak is the processor's


def test_the_cost_stage_of_a_reproduction_goes_on_where_it_was(
    tiny_papers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "SECONDS", 0.02)
    settings, console = Settings(tmp_path / "results", tmp_path / "runs"), Console(quiet=True)
    (run,) = costs_of(catalog.load("tiny"))
    measure_group, threads = latency._measure_group, []

    def stopped_at_the_second(group: list[latency.Entry], *more: Any) -> None:
        threads.append({c.threads for _, c in group})
        if len(threads) == 2:
            raise KeyboardInterrupt
        measure_group(group, *more)

    monkeypatch.setattr(latency, "_measure_group", stopped_at_the_second)
    monkeypatch.setattr(costs, "default_threads", lambda: (1, 2))
    with pytest.raises(KeyboardInterrupt):
        pool.run_costs([run], settings, console)
    monkeypatch.setattr(costs, "run_counts", lambda *_: pytest.fail("it was counted"))
    outcome = pool.run_costs([run], settings, console)
    assert threads == [{1}, {2}, {2}]
    assert (outcome.kept, [r.identity.kind for r in outcome.made]) == (1, ["latency"])
    records = store.load_all(settings.results)
    assert {r.identity.kind: bool(r.timings) for r in records} == {"cost": False, "latency": True}
    assert not any(m.key.startswith("latency/") for r in records for m in r.measurements)
    eager = NetworkTimes(records).eager("tiny", fingerprint(run.variant), run.variant.input_hw)
    assert list(eager) == [1, 2]
    assert all(t.row is not None and t.row.counts for t in eager.values())
    assert list((settings.runs / "timing").iterdir()) == []
    monkeypatch.setattr(latency, "measure", lambda *_, **__: pytest.fail("it was timed"))
    assert pool.run_costs([run], settings, console).kept == 2


def test_times_of_older_records_stand_only_where_no_timing_run_does() -> None:
    older = synthetic_records.cost("tiny", FULL, 1, 1, 1, 90.0)
    base = synthetic_records.cost("base", BASE_FULL, 1, 1, 1, 100.0)
    run = synthetic_latency.latency("tiny", FULL, 110.0, 4.0, 4.0)
    alone, both = NetworkTimes([older, base]), NetworkTimes([older, base, run])
    of_tiny, of_base = ("tiny", fingerprint(FULL), (256, 192)), ("base", fingerprint(BASE_FULL), (256, 192))
    assert [(n, t.median_ms, t.row) for n, t in alone.eager(*of_tiny).items()] == [(1, 90.0, None)]
    assert list(both.eager(*of_tiny)) == [1, 2]
    assert both.eager(*of_tiny)[1].median_ms == pytest.approx(110, rel=0.05)
    assert "timed in process" in latency_cell(alone.shown(*of_tiny)).note
    assert "1 timing run" in latency_cell(both.shown(*of_tiny)).note.replace("\N{NO-BREAK SPACE}", " ")
    old_tiny, new_tiny, old_base = alone.shown(*of_tiny), both.shown(*of_tiny), both.shown(*of_base)
    assert old_tiny is not None
    assert new_tiny is not None
    assert old_base is not None
    against = old_tiny.against(old_base)
    assert against is not None
    assert (against.value, against.paired) == (0.9, False)
    assert new_tiny.against(old_base) is None  # two methods on one page are not held against each other


def test_papers_that_declare_one_another_take_turns() -> None:
    def paper(slug: str, *against: str) -> LoadedPaper:
        timed = replace(PAPER, slug=slug, timed=(FULL.name,), timed_against=against)
        return LoadedPaper(timed, (), Path(slug))

    found = profile.in_turns([paper("a", "c/x"), paper("b"), paper("c"), paper("d", "b/x", "gone/x"), paper("e")])
    assert [[p.paper.slug for p in group] for group in found] == [["a", "c"], ["b", "d"], ["e"]]
    with pytest.raises(ValueError, match="timed_against names 'hrnet'; write paper/variant"):
        paper("f", "hrnet")
    with pytest.raises(ValueError, match="about a variant in timed"):
        replace(PAPER, timed=(), timed_against=("hrnet/w32_256x192",))
