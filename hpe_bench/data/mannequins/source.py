"""The data source: whole splits of scenes, generated once into a folder and read from there."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from hpe_bench import files
from hpe_bench.data.cache import cache_folder
from hpe_bench.data.mannequins.body import JOINTS
from hpe_bench.data.mannequins.scene import OUT_OF_FRAME, SCENE_HW, SPLITS, VISIBLE, Dials, render
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, MPII_16, Skeleton
from hpe_bench.declare import DataSource, canonical
from hpe_bench.processes import belong_to_parent

SKELETONS = {"coco-17": COCO_17, "mpii-16": MPII_16}
CHUNK = 16  # scenes a worker renders at a time
IMAGES, ANNOTATIONS, ABOUT = "images.u8", "annotations.npz", "about.json"


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Mannequins(DataSource):
    """Rendered people with known joints; see the package for what a scene holds.

    A split is the scenes 0, 1, 2, ... of its own stream, taken until they hold the asked number of annotated persons;
    persons of the last scene beyond that number are not annotated. More persons therefore extend the same sequence,
    and `train` and `test` never share a scene. A person is annotated when at least 6 of COCO's joints lie in the
    image and at least 300 pixels and a fifth of the silhouette are seen. `labelled` is "inside the image", `visible`
    "really seen"; `area` and `box` are those of the silhouette inside the image as if nothing stood before it, so
    that OKS does not tighten with occlusion.
    """

    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    train_persons: Annotated[int, Field(ge=1)] = 8000
    test_persons: Annotated[int, Field(ge=1)] = 1000
    joints_as: Literal["coco-17", "mpii-16"] = "coco-17"
    dials: Dials = Dials()

    name = "mannequins"

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.joints_as]

    def persons(self, split: str) -> int:
        """How many persons a split has; ValueError for an unknown split."""
        if split not in SPLITS:
            raise ValueError(f"mannequins have no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self.train_persons if split == "train" else self.test_persons

    def folder(self, split: str, root: str | None) -> Path:
        """Where a split lies: a folder for each distinct content below `root`, or below the cache."""
        what = [self.version, self.seed, split, self.persons(split), canonical(self.dials), generator_digest()]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]
        base = cache_folder(self.name) if root is None else Path(root)
        return base / f"mannequins-v{self.version}-{split}-{self.persons(split)}-{key}"

    def prepare(self, split: str, root: str | None, progress: Callable[[int, int], None] | None = None) -> None:
        """Generate a split on all cores unless it is there and sound; `progress(persons done, persons)`.

        Whole or not at all; what is damaged is said and set aside.
        """
        folder = self.folder(split, root)
        if files.folder_state(folder) != "sound":
            generate(self, split, folder, workers_for(self.persons(split)), progress)

    def load(self, split: str, root: str | None) -> PersonSet:
        """Persons of a split, generated first if need be; the images stay on disk until they are read."""
        if files.folder_state(self.folder(split, root), ANNOTATIONS, ABOUT) != "sound":
            self.prepare(split, root)
        return read(self.folder(split, root), self.skeleton)


def workers_for(persons: int) -> int:
    """One process a core, fewer where starting them would take longer than the work."""
    return min(os.cpu_count() or 1, 1 + persons // 200)


@functools.cache
def generator_digest() -> str:
    """Hash of this package's sources and of the libraries that move pixels: other code never reads an older cache."""
    h = hashlib.sha256(f"{np.__version__} {cv2.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name != "sheet.py":  # which only draws what is there
            h.update(path.read_bytes())
    return h.hexdigest()


@dataclass(frozen=True)
class Chunk:
    """Consecutive scenes: images [S,h,w,3] and the annotated persons in them, `scene` counted within the chunk."""

    images: np.ndarray
    persons: dict[str, np.ndarray]


def generate(
    source: Mannequins,
    split: str,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a split into `folder`. The content does not depend on `workers`; an interruption leaves no `folder`.

    A second process that wants the same split waits for the first; what a killed one left is removed by the next.
    """
    files.sweep(folder.parent, "mannequins-*")
    with files.claimed(folder) as partial:
        if (there := files.folder_state(folder)) == "sound":
            return
        if there != "missing":
            files.set_aside(folder, "and generated again")
        partial.mkdir()
        _write(source, split, partial, workers, progress)
        files.seal_folder(partial)
        partial.rename(folder)
        _mapped.cache_clear()


def _write(
    source: Mannequins, split: str, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    wanted, done, scenes = source.persons(split), 0, 0
    parts: list[dict[str, np.ndarray]] = []
    with (folder / IMAGES).open("wb") as file:
        for chunk in _chunks(source, split, workers):
            persons = {name: values[: wanted - done] for name, values in chunk.persons.items()}
            done += len(persons["scene"])
            used = len(chunk.images) if done < wanted else int(persons["scene"][-1]) + 1
            file.write(np.ascontiguousarray(chunk.images[:used]).data)  # unlike tofile, says that the disk is full
            parts.append({**persons, "scene": persons["scene"] + scenes})
            scenes += used
            if progress is not None:
                progress(done, wanted)
            if done >= wanted:
                break
    arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.savez(folder / ANNOTATIONS, **arrays)
    about = {"version": source.version, "split": split, "scenes": scenes, "persons": done, "size_hw": SCENE_HW}
    (folder / ABOUT).write_text(json.dumps(about) + "\n")


def _chunks(source: Mannequins, split: str, workers: int) -> Iterator[Chunk]:
    """Chunks in order, without end; rendered in this process if `workers` is 1.

    Of `workers` processes, the k-th renders chunks k, k + workers, ... and waits with each until it is taken from its
    pipe. There is no queue between us, so none can keep this process from ending when they are killed.
    """
    if workers == 1:
        yield from map(functools.partial(_render, source, split), itertools.count(0, CHUNK))
        return
    context = multiprocessing.get_context("spawn")
    started: list[tuple[BaseProcess, Connection]] = []
    try:
        for k in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_send_chunks, args=(source, split, k, workers, theirs), daemon=True)
            process.start()
            theirs.close()
            started.append((process, ours))
        for _, pipe in itertools.cycle(started):
            yield _received(pipe)
    finally:  # whatever they render is not wanted any more
        for worker, _ in started:
            worker.kill()
        for worker, pipe in started:
            worker.join()
            pipe.close()


def _received(pipe: Connection) -> Chunk:
    try:
        chunk: Chunk = pipe.recv()
    except (EOFError, OSError) as error:
        raise ValueError(
            "a process that renders mannequins died: it ran out of memory, or the calling script lacks "
            "`if __name__ == '__main__':` around its work, which spawned processes need"
        ) from error
    return chunk


def _send_chunks(source: Mannequins, split: str, first: int, workers: int, pipe: Connection) -> None:
    """A worker: one thread, as the others fill the cores; it ends with whoever wanted the scenes."""
    belong_to_parent()
    cv2.setNumThreads(1)
    try:
        for chunk in itertools.count(first, workers):
            pipe.send(_render(source, split, chunk * CHUNK))
    except BrokenPipeError:  # nobody listens any more
        pass


def _render(source: Mannequins, split: str, first: int) -> Chunk:
    return render_chunk(source.version, source.seed, split, source.dials, first)


def render_chunk(version: int, seed: int, split: str, dials: Dials, first: int) -> Chunk:
    """Scenes `first` to `first + CHUNK - 1` and their annotated persons."""
    images = np.empty((CHUNK, *SCENE_HW, 3), np.uint8)
    rows: list[dict[str, np.ndarray]] = []
    for i in range(CHUNK):
        scene = render(first + i, split=split, seed=seed, version=version, dials=dials)
        images[i] = scene.image
        keep = scene.annotated
        rows.append({
            "scene": np.full(int(keep.sum()), i, np.int64),
            "person": np.flatnonzero(keep),
            "joints": scene.joints_px[keep],
            "state": scene.state[keep],
            "box": scene.box[keep],
            "head_size": scene.head_px[keep],
            "area": scene.area_px[keep],
            "seen": scene.seen_px[keep],
            "family": np.array(scene.family, dtype="U16")[keep],
        })  # fmt: skip
    return Chunk(images, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


@dataclass(frozen=True)
class SceneImages:
    """Images of a split, read from one memory-mapped file."""

    split: str
    version: int
    path: Path
    scenes: int

    def __len__(self) -> int:
        return self.scenes

    def name(self, index: int) -> str:
        return f"mannequins-v{self.version}/{self.split}/{index:06d}"

    def digest(self) -> str:
        """The folder's name ends in a hash of everything the pixels depend on."""
        return self.path.parent.name.rpartition("-")[2]

    def read(self, index: int) -> np.ndarray:
        """Pixels [h,w,3]; IndexError outside the split."""
        if not 0 <= index < self.scenes:
            raise IndexError(f"{self.path}: scene {index} of {self.scenes}")
        return np.asarray(self._pixels()[index])

    def _pixels(self) -> np.ndarray:
        return _mapped(self.path, self.scenes)


@functools.lru_cache(maxsize=8)
def _mapped(path: Path, scenes: int) -> np.ndarray:
    """The file as an array; opened once a process, so that readers in other processes open it themselves.

    ValueError if it is not what its digest says; it is set aside then, so that the next start generates it again.
    """
    if files.folder_state(path.parent, path.name) == "damaged":
        files.set_aside(path.parent, "and generated again by the next start")
        raise ValueError(f"{path} was damaged; run the same command again, which generates the mannequins anew")
    return np.memmap(path, np.uint8, "r", shape=(scenes, *SCENE_HW, 3))


def read(folder: Path, skeleton: Skeleton) -> PersonSet:
    """The persons of a generated folder; ValueError if files are missing or have the wrong size."""
    remedy = "delete the folder and it will be generated again"
    try:
        about = json.loads((folder / ABOUT).read_text())
        with np.load(folder / ANNOTATIONS) as file:
            rows = {name: file[name] for name in file.files}
        size = (folder / IMAGES).stat().st_size
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{folder} is not a whole mannequins split ({error}); {remedy}") from error
    if size != about["scenes"] * SCENE_HW[0] * SCENE_HW[1] * 3 or len(rows["scene"]) != about["persons"]:
        raise ValueError(f"{folder} is damaged: {IMAGES} or {ANNOTATIONS} has the wrong size; {remedy}")
    order = [JOINTS.index(name) for name in skeleton.joints]
    state = rows["state"][:, order]
    return PersonSet(
        skeleton=skeleton,
        images=SceneImages(about["split"], about["version"], folder / IMAGES, about["scenes"]),
        image=rows["scene"],
        box=rows["box"],
        joints=rows["joints"][:, order],
        labelled=state != OUT_OF_FRAME,
        visible=state == VISIBLE,
        head_size=rows["head_size"],
        area=rows["area"],
    )
