"""The suite's own protocols, named and hashed. A changed one gets a new name (`...-v2`); none is ever edited (F28).

The pocket protocols train and test miniatures; the full ones are those of published tables, at any input size. All crop
alike (`data/crops.py`: the box, its shorter side extended to the input's aspect, times `padding`; x = 0 of the input is
the crop's edge, no half-pixel term); how heatmap pixels lie on the input, and what a flip shifts, is the codec's (F7).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic.dataclasses import dataclass

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.udp import UDP
from hpe_bench.data.coco import COCO, DetectionFile
from hpe_bench.data.coco_like import AIC, HALPE, OCHUMAN, WHOLE_BODY
from hpe_bench.data.coco_test import COCOTest
from hpe_bench.data.crowdpose import CrowdPose
from hpe_bench.data.flic import FLIC
from hpe_bench.data.joint_subsets import Mapped, Mapping
from hpe_bench.data.lsp import LSP, ObserverLSP, ObserverLSPBySide
from hpe_bench.data.mannequins import Dials, Mannequins
from hpe_bench.data.mpii import MPII
from hpe_bench.data.mpii_test import MPIITest
from hpe_bench.data.own_skeleton import OwnData
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import STRICT, Codec, Dial, Metric, Protocol, Unreachable, replace
from hpe_bench.metrics.crowdpose_ap import CrowdPoseAP
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.own_metrics import Reference, own_metrics
from hpe_bench.metrics.parts_ap import PartsAP
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh


@dataclass(frozen=True, config=STRICT)
class FullProtocol(Protocol):
    """A protocol of published tables, for models of any input size with the aspect `aspect_wh` (width : height)."""

    aspect_wh: tuple[int, int] = (3, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.aspect_wh) < 1:
            raise ValueError(f"protocol {self.name!r}: aspect_wh is {self.aspect_wh}; give positive whole numbers")

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """ValueError for an input (h, w) of another aspect: its crops would show another part of the image."""
        (height, width), (across, down) = input_hw, self.aspect_wh
        if width * down != height * across:
            raise ValueError(
                f"protocol {self.name!r} crops {across}:{down} (width : height), but the model's input is "
                f"{width}x{height}; use a model with an input like {64 * across}x{64 * down}"
            )


@dataclass(frozen=True, config=STRICT)
class Rescoring:
    """From joint scores and a box score to the score that AP ranks by, then greedy OKS-NMS within an image (F10).

    A pose's score is its box's times the mean of its joint scores above `visible_over` (0 where none is). Of two poses
    of an OKS above `nms_oks`, with the area of the padded box, the lower-scored one is dropped.
    """

    visible_over: float = 0.2
    nms_oks: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.visible_over < 1 or not 0 < self.nms_oks <= 1:
            raise ValueError(f"rescoring: {self}; visible_over lies in [0, 1), nms_oks in (0, 1]")


@dataclass(frozen=True, config=STRICT)
class DetectionProtocol(FullProtocol):
    """A protocol whose predictions are detections, rescored and thinned out, ranked by AP against all persons."""

    rescoring: Rescoring = Rescoring()


# ---------------------------------------------------------------------------------------------------- pocket


def pocket_codec(decoder: Literal["quarter", "dark"]) -> Gaussian:
    """At 32x24 heatmaps: sigma 1 and a blur of 3 taps, as in DarkPose's 128x96 ResNet configurations."""
    return Gaussian(sigma_px=1.0, centre="exact", decoder=decoder, dark_kernel_px=3)


SCENES = Dials(occlusion=0.1, crowding=0.2, stature_px=(110.0, 210.0))  # of `mannequins-v1`


def mannequins(decoder: Literal["quarter", "dark"]) -> Protocol:
    """`mannequins-v1-<decoder>`: the embedded data set, ground-truth boxes, PCKh@0.5 over all 17 joints and OKS-AP."""
    return Protocol(
        name=f"mannequins-v1-{decoder}",
        data=Mannequins(version=1, dials=SCENES),
        codec=pocket_codec(decoder),
        metrics=(PCKh(0.5), OksAP()),
    )


OCCLUSION = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
CROWDING = (0.0, 0.2, 0.4, 0.6, 0.8)
STATURE = (40.0, 60.0, 90.0, 130.0, 190.0)  # px, sole to crown


def turned(dial: Dial, value: float) -> Protocol:
    """`mannequins-v1-<dial>-<value>`: scored as `mannequins-v1-dark` by PCKh, on scenes with one dial turned."""
    turned_to: dict[str, Any] = {"stature_px": (value, value)} if dial == "stature" else {dial: value}
    source = Mannequins(version=1, dials=replace(SCENES, **turned_to))
    return replace(mannequins("dark"), name=f"mannequins-v1-{dial}-{value:g}", data=source, metrics=(PCKh(0.5),))


def lsp(decoder: Literal["quarter", "dark"]) -> Protocol:
    """`lsp-pc-v1-<decoder>`: Leeds Sports Pose, person-centric, trained on its train split and LSP-extended crops."""
    return Protocol(
        name=f"lsp-pc-v1-{decoder}",
        data=LSP(extended=True),
        codec=pocket_codec(decoder),
        metrics=(PCK(0.2),),
    )


POCKET = {
    "mannequins": (mannequins("dark"), mannequins("quarter")),
    "lsp": (lsp("dark"), lsp("quarter")),
}
"""The pocket protocols by data set. Every training is scored with both decoders, the first being the headline: what a
decoder gains must not pass for what a loss gains (F8)."""


# ---------------------------------------------------------------------------------------------------- full


# The decoding of SimpleBaseline and HRNet: quarter offset, mirrored maps shifted by a pixel (F7, F8).
HRNET_CODEC = Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter", flip_shift_px=1)

# The boxes of the SimpleBaseline and HRNet tables, "person AP 56.4" (F1). Its hash is published nowhere that we know.
DETECTIONS_56 = DetectionFile(
    "COCO_val2017_detections_AP_H_56_person.json",
    boxes=104_125,
    origin="the authors of SimpleBaseline and HRNet link them from their repositories, "
    "github.com/microsoft/human-pose-estimation.pytorch and github.com/leoxiaobin/deep-high-resolution-net.pytorch",
)

# Those of test-dev, "person AP 60.9" (F1), of which neither hash nor number is published.
DETECTIONS_61 = replace(DETECTIONS_56, file="COCO_test-dev2017_detections_AP_H_609_person.json", boxes=None)

# 79 images of val2017: the annotation file of COCO-MINI's validation part.
COCO_MINI_SHA256 = "318ac76dc0da3af71c02ea60582b9663eaa74b2a28dee56ea16735c9424816d0"


def hrnet_coco(name: str, data: COCO, boxes: Literal["ground truth", "detector"], note: str) -> DetectionProtocol:
    """COCO keypoint AP as the SimpleBaseline and HRNet code computes it."""
    return DetectionProtocol(
        name=name,
        data=data,
        codec=HRNET_CODEC,
        metrics=(OksAP(),),
        train_split="train2017",
        test_split="val2017",
        boxes=boxes,
        note=note,
    )


COCO_GTBOX = hrnet_coco(
    "coco-val2017-gtbox",
    COCO(),
    "ground truth",
    "The persons with keypoints, in their annotated boxes; about 2 AP above detector boxes, which tables use (F1).",
)
COCO_DET = hrnet_coco(
    "coco-val2017-det56",
    COCO(detections=DETECTIONS_56),
    "detector",
    "The detections of person AP 56.4 of the SimpleBaseline and HRNet tables. The file's hash is not published: its "
    "104,125 boxes are counted, and the hash of what was used belongs into the record.",
)


def decoded(protocol: DetectionProtocol | FullProtocol, suffix: str, codec: Codec, note: str) -> FullProtocol:
    """A protocol with another decoding under a name that says so."""
    return replace(protocol, name=f"{protocol.name}-{suffix}", codec=codec, note=note)


COCO_DET_ARGMAX = decoded(COCO_DET, "argmax", replace(HRNET_CODEC, decoder="argmax"), "Decoded at the plain maximum.")
DARK_CODEC = replace(HRNET_CODEC, centre="exact", decoder="dark")
COCO_DET_DARK = decoded(COCO_DET, "dark", DARK_CODEC, "Decoded as DARK does, with a blur of 11 taps.")
UDP_NOTE = "Cropped and decoded as UDP does, with a blur of 11 taps."
COCO_DET_UDP = replace(decoded(COCO_DET, "udp", UDP(sigma_px=2.0, kernel_px=11), UDP_NOTE), between_centres=True)
COCO_MINI = hrnet_coco(
    "coco-mini-gtbox",
    COCO(folder="coco_mini", subset_sha256=COCO_MINI_SHA256),
    "ground truth",
    "79 images of val2017, for an end-to-end run. Too few to be compared with any published number.",
)
CROWDPOSE_GTBOX = DetectionProtocol(
    name="crowdpose-test-gtbox",
    data=CrowdPose(),
    codec=HRNET_CODEC,
    metrics=(CrowdPoseAP(),),
    boxes="ground truth",
    note="The persons with keypoints, in their annotated boxes. Another metric than COCO's: joints, sigmas, areas.",
)
MPII_VAL = FullProtocol(
    name="mpii-val",
    data=MPII(),
    codec=HRNET_CODEC,
    metrics=(PCKh(0.5), PCKh(0.1), PCKh(0.11)),
    test_split="valid",
    aspect_wh=(1, 1),
    note="PCKh at 0.1 and at 0.11, the row that the released evaluators print as 0.1 (F11).",
)
MPII_VAL_DARK = decoded(MPII_VAL, "dark", DARK_CODEC, "Decoded as DARK does, with a blur of 11 taps.")
LSP_PC = FullProtocol(
    name="lsp-pc",
    data=LSP(extended=True),
    codec=HRNET_CODEC,
    metrics=(PCK(0.2),),
    aspect_wh=(1, 1),
    note="Person-centric. Published numbers mostly come from training on MPII as well.",
)
LSP_PC_MPII = replace(
    LSP_PC,
    name="lsp-pc-mpii-trained",
    note="As lsp-pc, for networks trained on MPII as well: what is trained here on LSP alone has the name lsp-pc.",
)
LSP_PC_PORTRAIT = replace(
    LSP_PC,
    name="lsp-pc-3x4",
    aspect_wh=(3, 4),
    note="As lsp-pc, for the inputs of COCO's tables. No published number is held against it.",
)
LSP_PC_PORTRAIT_DARK = replace(
    LSP_PC_PORTRAIT, name="lsp-pc-3x4-dark", codec=replace(HRNET_CODEC, centre="exact", decoder="dark")
)
LSP_OC = replace(
    LSP_PC,
    name="lsp-oc",
    data=ObserverLSP(extended=False),
    note="Observer-centric: the labels that published observer-centric numbers rest on (F3).",
)
LSP_OC_BY_SIDE = replace(
    LSP_PC,
    name="lsp-oc-by-side",
    data=ObserverLSPBySide(extended=True),
    note="Observer-centric by a rule of ours: not the labels that published observer-centric numbers rest on (F3).",
)
FLIC_OC = FullProtocol(
    name="flic-test-oc",
    data=FLIC(),
    codec=HRNET_CODEC,
    metrics=(PCK(0.2),),
    aspect_wh=(1, 1),
    note="Scores predictions of the 1,016 test persons, observer-centric; there are no photographs to predict on.",
)
MANNEQUINS_V1 = FullProtocol(
    name="mannequins-v1",
    data=mannequins("dark").data,
    codec=HRNET_CODEC,
    metrics=(PCKh(0.5), OksAP()),
    note="The embedded data set for models of any size; person by person.",
)

OCHUMAN_VAL = DetectionProtocol(
    name="ochuman-val",
    data=OCHUMAN,
    codec=HRNET_CODEC,
    metrics=(OksAP(),),
    test_split="val",
    note="Persons that hide one another, in their annotated boxes.",
)
WHOLE_BODY_VAL = DetectionProtocol(
    name="coco-wholebody-val",
    data=WHOLE_BODY,
    codec=HRNET_CODEC,
    metrics=(PartsAP(),),
    test_split="val",
    note="133 joints; AP of the whole, and of body, feet, face and hands by themselves. Annotated boxes.",
)
HALPE_VAL = DetectionProtocol(
    name="halpe-val",
    data=HALPE,
    codec=HRNET_CODEC,
    metrics=(PartsAP(),),
    test_split="val",
    note="136 joints, with AP of its parts. Annotated boxes.",
)
AIC_VAL = DetectionProtocol(
    name="aic-val",
    data=AIC,
    codec=HRNET_CODEC,
    metrics=(OksAP(),),
    test_split="val",
    note="14 joints with the sigmas of AI Challenger. Annotated boxes.",
)

FULL = (
    *(COCO_GTBOX, COCO_DET, COCO_DET_ARGMAX, COCO_DET_DARK, COCO_DET_UDP, COCO_MINI),
    *(CROWDPOSE_GTBOX, MPII_VAL, MPII_VAL_DARK),
    *(LSP_PC, LSP_PC_PORTRAIT, LSP_PC_PORTRAIT_DARK, LSP_PC_MPII, LSP_OC, LSP_OC_BY_SIDE, FLIC_OC, MANNEQUINS_V1),
    *(OCHUMAN_VAL, WHOLE_BODY_VAL, HALPE_VAL, AIC_VAL),
)

TRAINED = {
    "lsp": ((LSP_PC_PORTRAIT, LSP_PC_PORTRAIT_DARK), (LSP_PC,)),
    "mannequins": ((MANNEQUINS_V1,),),
    "mpii": ((MPII_VAL,),),
    "coco": ((COCO_GTBOX, COCO_DET),),
}
"""By data set, the protocols that full-size trainings are scored under, in groups of one aspect."""


def for_training(data: str, input_hw: tuple[int, int]) -> tuple[FullProtocol, ...]:
    """The protocols of a data set for models of an input size; ValueError for a size whose aspect none of them has."""
    height, width = input_hw
    for group in TRAINED[data]:
        across, down = group[0].aspect_wh
        if width * down == height * across:
            return group
    shapes = " or ".join(f"{group[0].aspect_wh[0]}:{group[0].aspect_wh[1]}" for group in TRAINED[data])
    raise ValueError(f"input {height}x{width} (height x width): protocols on {data} crop {shapes} (width : height)")


# ---------------------------------------------------------------------------------------------------- of one's own


def own(skeleton: Skeleton, by: Reference, note: str) -> Protocol:
    """AP, and PCK, NME and RMSE, on a data set that only an annotation file knows; hashed with joints and sigmas."""
    metrics: tuple[Metric, ...] = (OksAP(), *own_metrics(by))
    return Protocol(f"own-{len(skeleton.joints)}-joints", OwnData(skeleton), HRNET_CODEC, metrics, note=note)


def mapped(protocol: Protocol, mapping: Mapping) -> Protocol:
    """A protocol over the joints that a mapping gives, under a name that says so.

    ValueError where the protocol's joints are not the mapping's target.
    """
    if protocol.data.skeleton.name != mapping.target:
        raise ValueError(
            f"--map: {protocol.name} has the joints of {protocol.data.skeleton.name}, not of {mapping.target}; map to "
            "these"
        )
    return replace(protocol, name=f"{protocol.name}.from-{mapping.source}", data=Mapped(protocol.data, mapping))


# ---------------------------------------------------------------------------------------------------- out of reach


COCO_TEST_DEV = replace(
    hrnet_coco(
        "coco-test-dev2017-det61",
        COCOTest(detections=DETECTIONS_61),
        "detector",
        "The detections of person AP 60.9 of the SimpleBaseline and HRNet tables, in images whose persons the server "
        "of COCO alone knows.",
    ),
    test_split="test-dev2017",
)

MPII_TEST = replace(
    MPII_VAL,
    name="mpii-test",
    data=MPIITest(),
    test_split="test",
    note="The sufficiently separated people of the test images, whose joints the server of MPII alone knows.",
)

SERVER = "Its annotations are not public: only the benchmark's server scores it."
PUBLIC = "coco-val2017-det56 is the public split."
FILE = "`hpe-bench predict --protocol coco-test-dev2017-det61 --to results.json` writes the file that it takes."
MPII_FILE = "`hpe-bench predict --protocol mpii-test --to pred_keypoints_mpii.mat` writes the file that it takes."
UNREACHABLE = (
    Unreachable(COCO_TEST_DEV.name, SERVER, FILE, predicts=COCO_TEST_DEV),
    Unreachable("coco-test-dev2017-det65", f"{SERVER} Its detections are not given out.", PUBLIC),
    Unreachable(MPII_TEST.name, SERVER, MPII_FILE, predicts=MPII_TEST),
    Unreachable(
        "crowdpose-test-det",
        "The detections that mmpose's CrowdPose scores rest on are not read by this version.",
        "crowdpose-test-gtbox scores the same persons in their annotated boxes.",
    ),
)
"""What tables of several papers rest on and cannot be run here. A paper's own stand in its folder."""


def every() -> dict[str, Protocol]:
    """All protocols of the suite by name."""
    return {p.name: p for p in (*FULL, *(p for group in POCKET.values() for p in group))}
