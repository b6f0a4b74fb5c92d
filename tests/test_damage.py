"""What a later step trusts carries a digest: a flipped bit anywhere is noticed, said, set aside and made again."""

from __future__ import annotations

import hashlib
import json
import random
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hpe_bench import files
from hpe_bench.data.crops import build_crops
from hpe_bench.data.mannequins import Mannequins, source
from hpe_bench.errors import Notice, notice, notices_to
from hpe_bench.inference import weights
from hpe_bench.records import store
from hpe_bench.run import pool, training
from hpe_bench.run.pool import Settings
from hpe_bench.training import checkpoints
from tests import small

RUN = small.training(recipe=small.BRIEF)


def flip_a_bit(path: Path, seed: int = 0) -> None:
    """One bit, anywhere; the size and the names stay."""
    data = bytearray(path.read_bytes())
    at = random.Random(seed).randrange(8 * len(data))
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)


# ---------------------------------------------------------------------------------------------------- the tools


def test_a_file_and_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    assert files.state(path) == "missing"
    files.write_with_digest(path, b"content")
    beside = (tmp_path / "x.bin.sha256").read_text()
    assert beside == f"{hashlib.sha256(b'content').hexdigest()}  x.bin\n"  # what `sha256sum -c` reads
    assert files.state(path) == "sound"
    files.write_with_digest(path, b"other")
    assert files.state(path) == "sound"
    assert len((tmp_path / "x.bin.sha256").read_text().splitlines()) == 1
    (tmp_path / "x.bin.sha256").unlink()
    assert files.state(path) == "unsealed"
    files.seal(path)
    assert files.state(path) == "sound"
    for seed in range(20):
        files.write_with_digest(path, b"content")
        flip_a_bit(path, seed)
        assert files.state(path) == "damaged"


def test_a_kill_between_digest_and_name_leaves_the_old_file_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bin"
    files.write_with_digest(path, b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    partial = tmp_path / "partial"
    partial.write_bytes(b"new")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _replace_but(killed, partial))
        with pytest.raises(KeyboardInterrupt):
            files.name_with_digest(partial, path)
    assert path.read_bytes() == b"old"
    assert files.state(path) == "sound"
    partial.replace(path)
    assert files.state(path) == "sound"  # and so is the new one, had it been killed just after


def _replace_but(killed: object, partial: Path) -> object:
    real = Path.replace

    def replace_(self: Path, target: Path) -> Path:
        if self == partial:
            killed()  # type: ignore[operator]
        return real(self, target)

    return replace_


def test_what_is_damaged_is_said_and_set_aside_once(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    for content in (b"first", b"second"):
        files.write_with_digest(path, content)
        flip_a_bit(path)
        with pytest.warns(Notice, match=r"x.bin is damaged .* set aside as x.bin.damaged, and made again"):
            files.set_aside(path, "and made again")
        assert [p.name for p in tmp_path.iterdir()] == ["x.bin.damaged"]
    files.write_with_digest(path, b"third")
    assert files.state(path) == "sound"


def test_notices_are_said_once_and_other_warnings_go_where_they_went() -> None:
    said: list[str] = []
    with warnings.catch_warnings(record=True) as elsewhere:
        warnings.simplefilter("always")
        with notices_to(said.append):
            for _ in range(2):
                notice("a sentence")
            warnings.warn("not ours", UserWarning, stacklevel=1)
    assert said == ["a sentence"]
    assert [str(w.message) for w in elsewhere] == ["not ours"]


# ---------------------------------------------------------------------------------------------------- caches


def test_damaged_crops_are_cut_again(tmp_path: Path) -> None:
    persons = replace(small.DATA, train_persons=4, test_persons=6).load("test", str(tmp_path))
    cache = tmp_path / "crops"
    whole = np.array(build_crops(persons, (64, 48), 1.25, cache=cache).pixels)
    (path,) = cache.glob("*.npy")
    for seed in range(5):
        flip_a_bit(path, seed)
        with pytest.warns(Notice, match="set aside as .*, and cut again"):
            again = build_crops(persons, (64, 48), 1.25, cache=cache)
        np.testing.assert_array_equal(again.pixels, whole)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(Notice, match="cut again"):
        np.testing.assert_array_equal(build_crops(persons, (64, 48), 1.25, cache=cache).pixels, whole)


@pytest.mark.parametrize("name", [source.IMAGES, source.ANNOTATIONS, source.ABOUT])
def test_damaged_mannequins_are_generated_again(tmp_path: Path, name: str) -> None:
    data = Mannequins(train_persons=4, test_persons=2)
    data.prepare("test", str(tmp_path))
    folder = data.folder("test", str(tmp_path))
    whole = (folder / name).read_bytes()
    flip_a_bit(folder / name)
    with pytest.warns(Notice, match="set aside as .*, and generated again"):
        data.prepare("test", str(tmp_path))
    assert (folder / name).read_bytes() == whole
    data.load("test", str(tmp_path)).images.read(0)


def test_images_damaged_under_a_command_stop_it_and_the_next_start_makes_them_again(tmp_path: Path) -> None:
    data = Mannequins(train_persons=4, test_persons=2)
    data.prepare("test", str(tmp_path))
    images = data.folder("test", str(tmp_path)) / source.IMAGES
    persons = data.load("test", str(tmp_path))
    flip_a_bit(images)
    with pytest.warns(Notice), pytest.raises(ValueError, match="run the same command again"):
        persons.images.read(0)
    data.load("test", str(tmp_path)).images.read(0)


# ---------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[str]]:
    """A folder in which the small training has run, and the hashes of its records."""
    folder = tmp_path_factory.mktemp("trained")
    settings = Settings(results=folder / "results", runs=folder / "runs")
    made = pool.run_trainings([RUN], settings, Console(quiet=True), lambda _: 1.0).made
    assert {files.state(p) for p in folder.glob("runs/*/*.*") if p.suffix in (".json", ".safetensors")} == {"sound"}
    return settings, hashes(made)


def hashes(made: list[store.RunRecord]) -> list[str]:
    return [f"{r.weights_sha256} {r.predictions_sha256}" for r in made]


@pytest.mark.parametrize("name", [training.WEIGHTS, training.HISTORY])
def test_damaged_weights_and_history_are_trained_again(
    trained: tuple[Settings, list[str]], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, wanted = trained
    folder = settings.runs / RUN.folder
    flip_a_bit(folder / name)
    if name == training.WEIGHTS:  # nothing loads them, however they are asked for
        with pytest.raises(ValueError, match="is damaged"):
            weights.read_weight_file(folder / name)
        with pytest.raises(ValueError, match="is damaged"):
            checkpoints.load_trained_weights(folder / name, torch.nn.Linear(1, 1))
    for path in settings.runs.glob("records/*"):
        path.unlink()
    outcome = pool.run_trainings([RUN], settings, Console(width=400), lambda _: 1.0)
    assert hashes(outcome.made) == wanted
    assert f"{name} is damaged" in capsys.readouterr().out
    assert (folder / f"{name}.damaged").exists()


def test_a_damaged_copy_of_a_record_does_not_mark_a_run_as_finished(trained: tuple[Settings, list[str]]) -> None:
    settings, wanted = trained
    path = sorted(settings.runs.glob("records/*.json"))[0]
    text = path.read_text()
    value = json.loads(text)["measurements"][0]["value"]
    path.write_text(text.replace(str(value), "99.0", 1))  # valid, and untrue
    with pytest.warns(Notice, match="counts as not finished"):
        outcome = pool.run_trainings([RUN], settings, Console(quiet=True), lambda _: 1.0)
    assert hashes(outcome.made) == wanted
