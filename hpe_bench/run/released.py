"""Released weights under a paper's own protocols: a record for each protocol that claims about them name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.data import prediction_files
from hpe_bench.data.augmentation import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB
from hpe_bench.data.folders import file_sha256
from hpe_bench.data.progress import Progress
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Checkpoint, Claim, Protocol, Variant, fingerprint
from hpe_bench.files import write_atomically
from hpe_bench.inference import networks
from hpe_bench.inference import weights as loading
from hpe_bench.inference.networks import Network
from hpe_bench.records import provenance
from hpe_bench.records.schema import Identity, Release, RunRecord
from hpe_bench.run import prediction, scoring
from hpe_bench.run.prediction import Task


@dataclass(frozen=True)
class Weights:
    """A variant, the file with its weights, and the order of the colours they were trained on (None: as declared)."""

    loaded: LoadedPaper
    variant: Variant
    file: Path
    colours: str | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the file; ValueError if it cannot be read."""
        return file_sha256(self.file)

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The declared checkpoint that the file is, by its hash; None for unverified weights."""
        return next((c for c in self.loaded.checkpoints if c.is_file(self.sha256)), None)

    @cached_property
    def release(self) -> Release:
        """What the record says of the file.

        Colours follow from the checkpoint, else from the declared release of the file's name, else from the option;
        without any of them they are red, green, blue.
        """
        known = self.checkpoint or next((c for c in self.loaded.checkpoints if c.file == self.file.name), None)
        colours = self.colours or (known.colours if known else "rgb")
        return Release(
            file=self.file.name,
            sha256=self.sha256,
            checkpoint=self.checkpoint.name if self.checkpoint else "",
            trained_by=self.checkpoint.trained_by if self.checkpoint else "",
            colours="bgr" if colours == "bgr" else "rgb",
        )


def named(loaded: LoadedPaper, pairs: Iterable[str], colours: str | None) -> list[Weights]:
    """`VARIANT=FILE` pairs as weights; ValueError for a pair, variant or file that is none, or of another variant."""
    found = []
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not file:
            raise ValueError(f"--weights {pair!r}: write VARIANT=FILE; `hpe-bench show {loaded.paper.slug}` lists both")
        weights = Weights(loaded, catalog.find_variant(loaded, name), Path(file), colours)
        checkpoint = weights.checkpoint
        if checkpoint is not None and checkpoint.variant != name:
            raise ValueError(
                f"{file}: these are the weights of {checkpoint.variant} ({checkpoint.name}), not of {name}; write "
                f"--weights {checkpoint.variant}={file}"
            )
        found.append(weights)
    return found


# ---------------------------------------------------------------------------------------------------- which protocols


def protocols_of(weights: Weights, data: str) -> list[Protocol]:
    """The protocols on a data set that claims about the weights name; ValueError where there are none.

    `data` is the data set's name, which every protocol's own begins with.
    """
    known = catalog.all_protocols()
    names = dict.fromkeys(c.protocol for c in weights.loaded.claims if speaks_of(c, weights))
    found = [p for name in names if (p := known.get(name)) is not None and p.data.name == data]
    if not found:
        about = ", ".join(sorted(n for n in names if n in known)) or "none that can be run here"
        raise ValueError(
            f"no claim about {weights.loaded.paper.slug}/{weights.variant.name} rests on {data}; the protocols that "
            f"claims name for it: {about}"
        )
    return found


def speaks_of(claim: Claim, weights: Weights) -> bool:
    """Whether a claim is about these weights: the paper's own figures, or what the file's source reports for it."""
    if claim.kind != "value" or claim.variant != weights.variant.name or not claim.protocol:
        return False
    return claim.is_of_release(weights.release.checkpoint, weights.release.trained_by)


# ---------------------------------------------------------------------------------------------------- running


def network_of(weights: Weights, skeleton: Skeleton) -> Network:
    """The variant with the file's weights, given what it was trained on; its joints must be the skeleton's.

    ValueError for weights of another variant or number of joints names those of the paper that they fit.
    """
    slug = weights.loaded.paper.slug
    recipe = next((r.name for r in weights.loaded.paper.recipes), None)  # they share what maps are activated by
    try:
        network = networks.of_paper(slug, weights.variant.name, recipe, weights.file, skeleton)
    except ValueError as error:
        raise ValueError(f"{error}{_what_fits(weights, skeleton)}") from None
    return replace(network, module=Bgr(network.module)) if weights.release.colours == "bgr" else network


JOINTS = (17, 16, 14)  # of COCO, MPII, and LSP or CrowdPose


def _what_fits(weights: Weights, skeleton: Skeleton) -> str:
    """The paper's full-size variants that the file fits, as the end of a sentence; empty where there are none."""
    try:
        found = loading.read_weight_file(weights.file)
    except ValueError:
        return ""
    wanted = len(skeleton.joints)
    full = [v for v in weights.loaded.paper.variants if v.scale == "full"]
    full.sort(key=lambda v: v.input_hw != weights.variant.input_hw)  # the nearest first
    for joints in dict.fromkeys((wanted, *JOINTS)):
        names = [v.name for v in full if _fits(found, v, joints)]
        if names and joints == wanted:
            return f"; it fits {' and '.join(names)}: write --weights {names[0]}={weights.file}"
        if names:
            return f"; it fits {' and '.join(names)} with {joints} joints, but {skeleton.name} has {wanted}"
    return ""


def _fits(found: Mapping[str, Any], variant: Variant, joints: int) -> bool:
    with on_meta():
        module: nn.Module = variant.builder(joints=joints)
    try:
        loading.fitting(found, module, "the file")
    except ValueError:
        return False
    return True


class Bgr(nn.Module):
    """A network trained on blue, green, red, each normalised with the mean of the colour whose place it takes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """From images normalised as red, green, blue."""
        mean, std = (images_B3HW.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB))
        outputs: list[Tensor] = self.network(((images_B3HW * std + mean).flip(1) - mean) / std)
        return outputs


def evaluate(
    weights: Weights,
    network: Network,
    task: Task,
    folder: Path,
    device: str,
    progress: Progress | None = None,
) -> RunRecord:
    """Predict with the network of some weights and score under the task's protocol.

    The predictions are kept in `folder` by their hash.
    """
    started = datetime.now(UTC)
    protocol = task.protocol
    found = prediction.answer(task, network, device, progress)
    content = prediction.as_file(task, found, network)
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.npz"
    write_atomically(path, content)
    file = prediction_files.read(path, task.truth)
    scores = scoring.scores(protocol, task.truth, file.predictions, str(path))
    measurements, tallies = scoring.as_measured(scores, protocol.name)
    slug, variant = weights.loaded.paper.slug, weights.variant
    return RunRecord(
        id=fingerprint(("released", slug, variant, weights.sha256, weights.release.colours, protocol)),
        identity=Identity(
            kind="accuracy",
            scale="full",
            paper=slug,
            variant=variant.name,
            variant_hash=fingerprint(variant),
            protocol=protocol.name,
            protocol_hash=fingerprint(protocol),
            test_digest=task.truth.digest(),
        ),
        status="done",
        provenance=provenance.collect(started, device, torch.get_num_threads(), prediction.box_flags(task)),
        measurements=measurements,
        tallies=tallies,
        matches=scoring.matches_of(scores),
        calibration=scoring.calibrated(protocol, task.truth, file.predictions),
        predictions_sha256=file.sha256,
        weights_sha256=network.weights_sha256,
        release=weights.release,
    )
