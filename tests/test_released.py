"""Released weights, end to end with a known truth: fetched, loaded, predicted, scored, and the claims decided.

A miniature is trained here, saved in the namings of releases and offered by a server on this machine; the data are
mannequins in COCO's layout, with crowds, persons without keypoints and a detections file, as val2017 has them.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from rich.console import Console
from torch import Tensor, nn

from hpe_bench import catalog, protocols
from hpe_bench.commands import submit
from hpe_bench.commands import weights as releases
from hpe_bench.data.coco import COCO
from hpe_bench.data.export import export_coco
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.mat_files import read_every
from hpe_bench.declare import Augmentation, Claim, replace
from hpe_bench.records import store
from hpe_bench.run import pool, released, training
from hpe_bench.verdicts import Verdict, judge_all
from tests import small

SET = "mannequins_as_coco"
PAPER = '''
"""A released miniature."""

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data.coco import COCO, DetectionFile
from hpe_bench.declare import Ablation, Arm, Paper, Unreachable, Variant, replace
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.protocols import DetectionProtocol

from ..simple_baseline import paper as simple_baseline
from ..simple_baseline.model import pocket_two_deconvs

VARIANT = Variant("small_64x48", pocket_two_deconvs, (64, 48), stride=8)
OTHER = replace(VARIANT, name="other_64x48", input_hw=(128, 96))
SHORT = replace(simple_baseline.pocket_mse(), name="short", samples=320)
DATA = COCO(
    folder="mannequins_as_coco",
    subset_sha256="{annotations}",
    detections=DetectionFile("boxes.json", boxes={boxes}, sha256="{detections}"),
)
QUARTER = DetectionProtocol(
    name="as-coco-det",
    data=DATA,
    codec=Gaussian(sigma_px=1.0, centre="exact", decoder="dark", dark_kernel_px=3),
    metrics=(OksAP(),),
    train_split="train2017",
    test_split="val2017",
    boxes="detector",
)
ARGMAX = replace(QUARTER, name="as-coco-det-argmax", codec=replace(QUARTER.codec, decoder="argmax"))

paper = Paper(
    slug="released_one",
    title="A Released Miniature",
    authors="Nobody",
    venue="Nowhere",
    year=2026,
    url="https://example.org",
    bibtex="@misc{{released}}",
    summary="Small.",
    reading="Ours.",
    variants=(VARIANT, OTHER),
    recipes=(SHORT,),
    protocols=(QUARTER, ARGMAX),
    unreachable=(Unreachable("far-away", "Its persons are on the moon."),),
    headline=Ablation("headline", "Is it?", (Arm("short", "released_one", VARIANT, SHORT),), control="short"),
)
'''


@dataclass(frozen=True)
class Release:
    """What lies on the server and what is known of it."""

    papers: Path
    root: Path
    url: str
    score: float  # AP of the weights under the protocol, by the road of submissions
    argmax: float  # and decoded at the maximum
    files: Path


def learned_by_heart(root: Path, subset_sha256: str, folder: Path) -> dict[str, Tensor]:
    """Weights trained on the very persons that are tested, so that their scores depend on decoder and colours."""
    rule = replace(
        protocols.COCO_MINI,
        data=COCO(folder=SET, subset_sha256=subset_sha256),
        codec=small.CODEC,
        train_split="val2017",
    )
    still = Augmentation(flip_p=0.0, scale=0.0, rotation_deg=0.0, rotation_p=0.0)
    recipe = replace(small.RECIPE, samples=2400, augmentation=still)
    run = replace(small.training(), recipe=recipe, protocols=(rule,))
    training.run_training(run, str(root), folder, 1, "cpu", lambda *_: None)
    return safetensors.torch.load_file(folder / run.folder / training.WEIGHTS)


def as_coco(folder: Path) -> tuple[str, int, str]:
    """Mannequins in COCO's layout under `folder`, with what an official split has besides: hashes and boxes."""
    persons = Mannequins(train_persons=40, test_persons=40).load("test", None)
    export_coco(persons, folder)
    (folder / "images").rename(folder / "val2017")
    document = json.loads((folder / "annotations" / "person_keypoints.json").read_text())
    people = document["annotations"]
    rng = np.random.default_rng(0)
    found = [
        {"image_id": p["image_id"], "category_id": 1, "bbox": (np.array(p["bbox"]) + rng.normal(0, 2, 4)).tolist()}
        for p in people
    ]
    scores = rng.uniform(0.5, 1.0, len(found))
    false = [
        {"image_id": i["id"], "category_id": 1, "bbox": [1.0, 1.0, 30.0, 40.0], "score": 0.2}
        for i in document["images"][::3]
    ]
    detections = [{**f, "score": float(s)} for f, s in zip(found, scores, strict=True)] + false
    blank = {"keypoints": [0] * 51, "num_keypoints": 0, "area": 900.0, "bbox": [0.0, 0.0, 30.0, 30.0], "category_id": 1}
    people += [
        {**blank, "id": 10_000 + i, "image_id": image["id"], "iscrowd": i % 2}
        for i, image in enumerate(document["images"][::4])
    ]
    path = folder / "annotations" / "person_keypoints_val2017.json"
    (folder / "annotations" / "person_keypoints.json").unlink()
    path.write_text(json.dumps(document))
    boxes = folder / "person_detection_results" / "boxes.json"
    boxes.parent.mkdir()
    boxes.write_text(json.dumps(detections))
    return sha256(path), len(detections), sha256(boxes)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Iterator[Release]:
    base = tmp_path_factory.mktemp("release")
    papers, files = base / "papers", base / "files"
    (papers / "released_one").mkdir(parents=True)
    files.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPE_BENCH_CACHE", str(data_cache))
        annotations, boxes, detections = as_coco(base / SET)
        trained = learned_by_heart(base, annotations, base / "trained")
    text = PAPER.format(annotations=annotations, boxes=boxes, detections=detections)
    (papers / "released_one" / "paper.py").write_text(text)
    (papers / "released_one" / "claims.csv").write_text(",".join(catalog.CLAIM_COLUMNS) + "\n")
    torch.save({"state_dict": {f"module.{k}": v for k, v in trained.items()}}, files / "authors.pth")
    theirs = {(f"head.{k}" if k.split(".")[0] in ("deconv_layers", "final_layer") else f"backbone.{k}"): v
              for k, v in trained.items()}  # fmt: skip
    torch.save({"meta": {"epoch": 1}, "state_dict": theirs}, files / "theirs.pth")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(files))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("HPE_BENCH_CACHE", str(data_cache))
        patch.setenv("HPE_BENCH_PAPERS", str(papers))
        url = f"http://127.0.0.1:{server.server_address[1]}"
        found = [submitted(base, files / "authors.pth", name) for name in ("as-coco-det", "as-coco-det-argmax")]
        rows = [
            row("authors", "authors", sha256(files / "authors.pth"), url, ",,"),
            row("theirs", "others", sha256(files / "theirs.pth")[:8], url, f"as-coco-det,ap={found[0]:.1f},"),
        ]
        header = ",".join(catalog.CHECKPOINT_COLUMNS)
        (papers / "released_one" / "checkpoints.csv").write_text("\n".join([header, *rows, ""]))
        yield Release(papers, base, url, found[0], found[1], files)
        server.shutdown()


def row(stem: str, by: str, digest: str, url: str, rest: str) -> str:
    return f"{stem}-small,small_64x48,{stem}.pth,{by},{digest},{url}/{stem}.pth,,rgb,17,{rest}"


def submitted(base: Path, file: Path, protocol: str) -> float:
    """AP of the weights by the road of submissions: predicted into a file, and the file scored."""
    settings = pool.Settings(results=base / "submitted", runs=base / "runs", root=str(base))
    model = submit.OutsideModel(weights=file, paper="released_one", variant="small_64x48")
    submit.evaluate(model, protocol, protocol, None, None, settings, base / "reports", Console(quiet=True))
    (record,) = [r for r in store.load_all(base / "submitted") if r.identity.protocol == protocol]
    measured = record.get("ap")
    assert measured is not None
    return measured.value


@pytest.fixture(autouse=True)
def in_place(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(release.papers))


def claim(ident: str, value: float, protocol: str = "as-coco-det", **changes: str) -> Claim:
    printed = f"{value:.1f}"
    return replace(
        Claim(ident, "It scores", printed, "small_64x48", "", "value", "ap", "", float(printed), "percent", None,
              protocol, "Table 1", "published"),
        **changes,
    )  # fmt: skip


def judged(
    release: Release, tmp_path: Path, pair: str, claims: list[Claim], colours: str | None = None
) -> list[Verdict]:
    """The verdicts on some claims after `reproduce --weights`."""
    loaded = replace_claims(catalog.load("released_one"), claims)
    settings = pool.Settings(results=tmp_path / "results", runs=tmp_path / "runs", root=str(release.root))
    made = releases.evaluate(loaded, [pair], "coco", colours, settings, Console(quiet=True))
    assert all(r.identity.scale == "full" and r.release is not None for r in made)
    return judge_all(claims, loaded.paper, store.load_all(tmp_path / "results"))


def replace_claims(loaded: catalog.LoadedPaper, claims: list[Claim]) -> catalog.LoadedPaper:
    own = [c for c in loaded.claims if c.checkpoint]
    return catalog.LoadedPaper(loaded.paper, (*claims, *own), loaded.folder, loaded.checkpoints)


# ---------------------------------------------------------------------------------------------------- verdicts


def test_the_weights_learned_something(release: Release) -> None:
    assert release.score > 3
    assert abs(release.score - release.argmax) > 1


def test_authors_weights_decide_the_paper_s_figures(release: Release, tmp_path: Path) -> None:
    claims = [
        claim("right", release.score),
        claim("half-a-point-off", release.score + 0.5),
        claim("of-another-decoder", release.argmax),
        claim("argmax", release.argmax, "as-coco-det-argmax"),
        claim("of-another-recipe", release.score, recipe="short"),
    ]
    (file,) = [
        f
        for f in releases.fetch(Console(quiet=True), "released_one", "small_64x48", tmp_path, None)
        if "auth" in f.name
    ]
    found = {v.claim: v for v in judged(release, tmp_path, f"small_64x48={file}", claims)}
    assert {name: v.status for name, v in found.items()} == {
        "right": "confirmed",
        "half-a-point-off": "differs",
        "of-another-decoder": "differs",
        "argmax": "confirmed",
        "of-another-recipe": "not attempted",
    }
    assert found["right"].value == pytest.approx(release.score, abs=1e-9)  # both roads give the same number
    assert not found["right"].caveat


def test_the_wrong_order_of_colours_differs(release: Release, tmp_path: Path) -> None:
    pair = f"small_64x48={release.files / 'authors.pth'}"
    (found,) = judged(release, tmp_path, pair, [claim("right", release.score)], "bgr")
    assert found.status == "differs"


def test_others_weights_decide_what_their_source_reports(release: Release, tmp_path: Path) -> None:
    pair = f"small_64x48={release.files / 'theirs.pth'}"
    loaded = catalog.load("released_one")
    (reported,) = [c for c in loaded.claims if c.checkpoint == "theirs-small"]
    assert (reported.status, reported.value) == ("secondary", float(f"{release.score:.1f}"))
    found = judged(release, tmp_path, pair, [claim("right", release.score), reported])
    assert [v.status for v in found] == ["not attempted", "confirmed"]


def test_unverified_weights_are_judged_and_called_so(release: Release, tmp_path: Path) -> None:
    content = torch.load(release.files / "authors.pth", weights_only=True)
    torch.save(content | {"epoch": 3}, tmp_path / "copy.pth")
    (found,) = judged(release, tmp_path, f"small_64x48={tmp_path / 'copy.pth'}", [claim("right", release.score)])
    assert found.status == "confirmed"
    assert found.caveat.startswith("Unverified weights")


# ---------------------------------------------------------------------------------------------------- bad input


def test_what_is_wrong_is_said_before_anything_is_predicted(release: Release, tmp_path: Path) -> None:
    good = f"small_64x48={release.files / 'authors.pth'}"
    cases = {
        str(release.files / "authors.pth"): "write VARIANT=FILE",
        f"smal_64x48={release.files / 'authors.pth'}": "no variant 'smal_64x48'; .*small_64x48",
        f"other_64x48={release.files / 'authors.pth'}": "these are the weights of small_64x48",
        "small_64x48=nowhere.pth": r"nowhere\.pth: cannot be read",
    }
    for pair, message in cases.items():
        with pytest.raises(ValueError, match=message):
            judged(release, tmp_path, pair, [claim("right", 1.0)])
    with pytest.raises(ValueError, match=r"no claim about released_one/small_64x48 rests on coco"):
        judged(release, tmp_path, good, [claim("lsp", 1.0, "lsp-pc")])
    assert not (tmp_path / "results").exists()


def test_weights_of_another_variant_or_number_of_joints_name_what_they_fit(tmp_path: Path) -> None:
    loaded = catalog.load("simple_baseline")
    file, skeleton = tmp_path / "unknown.pth", protocols.COCO_GTBOX.data.skeleton
    for name, joints, message in (
        ("r18_256x192", 17, r"it fits r18_256x192.*: write --weights r18_256x192="),
        ("r50_256x192", 16, r"it fits r50_256x192.* with 16 joints, but .* has 17"),
    ):
        torch.save(catalog.find_variant(loaded, name).builder(joints=joints).state_dict(), file)
        (asked,) = released.named(loaded, [f"r50_256x192={file}"], None)
        with pytest.raises(ValueError, match=message) as caught:
            released.network_of(asked, skeleton)
        assert "\n" not in str(caught.value)


def test_a_download_of_another_hash_is_removed(release: Release, tmp_path: Path) -> None:
    damaged = tmp_path / "mirror"
    damaged.mkdir()
    for name in ("authors.pth", "theirs.pth"):
        (damaged / name).write_bytes((release.files / name).read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"its SHA-256 is .* another version or a broken copy"):
        releases.fetch(Console(quiet=True), "released_one", "small_64x48", tmp_path / "to", damaged.as_uri())
    assert not list((tmp_path / "to").iterdir())
    with pytest.raises(ValueError, match="no checkpoint of it has an address"):
        releases.fetch(Console(quiet=True), "hrnet", "w32_128x96", tmp_path, None)


# ---------------------------------------------------------------------------------------------------- declarations


def test_every_protocol_that_a_claim_names_exists_or_says_why_not() -> None:
    loaded, broken = catalog.load_all()
    assert not broken
    known, out_of_reach = catalog.all_protocols(), catalog.unreachable()
    named = {c.protocol for p in loaded for c in p.claims if c.protocol}
    assert named <= {*known, *out_of_reach}
    assert not {*known} & {*out_of_reach}
    with pytest.raises(ValueError, match="'far-away' cannot be run: Its persons are on the moon"):
        catalog.find_protocol("far-away")


def test_what_is_not_attempted_names_a_command_or_why_there_is_none() -> None:
    for loaded in catalog.load_all()[0]:
        for verdict in judge_all([c for c in loaded.claims if c.variant and c.kind == "value"], loaded.paper, []):
            if verdict.scale == "full" and "figure was not" not in verdict.reason:
                assert (
                    "hpe-bench reproduce" in verdict.needs
                    or "Cannot be run" in verdict.needs
                    or "states" in verdict.needs
                )


def test_a_network_of_other_colours_sees_what_it_was_trained_on() -> None:
    class Echo(nn.Module):
        def forward(self, images: Tensor) -> list[Tensor]:
            return [images]

    grey = torch.rand(1, 3, 2, 2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    (seen,) = released.Bgr(Echo())((grey - mean) / std)
    assert torch.allclose(seen, (grey.flip(1) - mean) / std, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- oracles


@pytest.mark.parametrize(
    ("protocol", "folder", "value", "joints"),
    [
        ("lsp-oc", "lsp_oc", 81.5, {}),
        ("flic-test-oc", "flic_eval_oracle", 93.563, {"nose": 98.7205, "left_hip": 78.4449}),
    ],
)
def test_published_observer_centric_figures(
    protocol: str, folder: str, value: float, joints: dict[str, float], shared_data: Path, tmp_path: Path
) -> None:
    """Yang et al.'s predictions on the labels that published observer-centric numbers rest on."""
    (tmp_path / "lsp").symlink_to(shared_data / "lsp")
    (tmp_path / "lsp_oc").symlink_to(shared_data / "lsp_oc")
    (tmp_path / "flic").symlink_to(shared_data / "flic_eval_oracle")
    rule = protocols.every()[protocol]
    truth = rule.data.truth(rule.test_split, str(tmp_path))
    predicted = read_every(shared_data / folder / "pred_keypoints.mat")["pred"].transpose(2, 1, 0)
    origin = 1.0 if protocol == "flic-test-oc" else 0.0  # LSP's coordinates are taken as they stand
    scores = {s.key: s.value for s in rule.metrics[0].evaluate(truth, predicted - origin, np.ones(predicted.shape[:2]))}
    assert scores["pck@0.2"] == pytest.approx(value, abs=5e-4)
    for joint, expected in joints.items():
        assert scores[f"pck@0.2/joint/{joint}"] == pytest.approx(expected, abs=5e-5)
