"""MediaPipe's BlazePose landmark models as predictors: lite, full and heavy. README.md says how to get the files.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", 2020. The network takes a square of 256x256 RGB
pixels in 0..1 and gives 39 landmarks (x, y in its pixels, z, visibility, presence; the last two as logits): 33 of the
body, the middle of the hips (33) and a point on the circle around the body (34), four unused. As in MediaPipe's own
graph, the square is round the box, 1.25 times as large; a second pass looks at the square that the landmarks 33 and 34
of the first one ask for, turned upright.

N boxes; coordinates are (x, y).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from hpe_bench import Predictor

PACKAGE = Path(os.environ.get("BLAZEPOSE_PACKAGE", Path(__file__).parent / "package"))
SIDE, SCALE = 256, 1.25
MIDDLE, ON_CIRCLE = 33, 34
JOINTS = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky"),
    *("left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
    *("left_foot_index", "right_foot_index"),
)
DERIVED = ("neck", "head_top")
HEAD = 1.5  # head top = neck + HEAD * (middle of the ears - neck): the median over 200 training persons of LSP, 1.53
NOTE = (
    "refined once by its own landmarks 33 and 34; neck is the middle of the shoulders, head_top is extrapolated from "
    "it through the middle of the ears; scores are the visibility that it gives"
)


def lite() -> Predictor:
    """2.8 MB."""
    return predictor("pose_landmark_lite.tflite")


def full() -> Predictor:
    """6.4 MB."""
    return predictor("pose_landmark_full.tflite")


def heavy() -> Predictor:
    """28 MB."""
    return predictor("pose_landmark_heavy.tflite")


def predictor(name: str) -> Predictor:
    """A model of the package, for whole images with boxes."""
    file = PACKAGE / name
    network = landmarks_of(file)

    def call(image_HW3: np.ndarray, boxes_N4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [pose(network, image_HW3, box_4) for box_4 in boxes_N4]
        return np.stack([joints for joints, _ in found]), np.stack([scores for _, scores in found])

    return Predictor(call, (*JOINTS, *DERIVED), takes="images", files=(file.resolve(),), note=NOTE)


def landmarks_of(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The network: from a crop [256,256,3] uint8 to landmarks [39,5]."""
    import openvino

    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; fetch the package as README.md says")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(file), "CPU", options).create_infer_request()

    def call(crop_HW3: np.ndarray) -> np.ndarray:
        request.infer([crop_HW3[None].astype(np.float32) / 255])
        return np.array(request.get_output_tensor(0).data).reshape(39, 5)

    return call


def pose(
    network: Callable[[np.ndarray], np.ndarray], image_HW3: np.ndarray, box_4: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Joints [35,2] in image pixels and scores [35] of one person."""
    centre, side, angle = box_4[:2] + box_4[2:] / 2, float(box_4[2:].max()), 0.0
    for _ in range(2):
        to_image_23 = square(centre, side * SCALE, angle)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found = network(cv2.warpAffine(image_HW3, to_image_23, (SIDE, SIDE), flags=flags))
        points = found[:, :2] @ to_image_23[:, :2].T + to_image_23[:, 2]
        centre, up = points[MIDDLE], points[ON_CIRCLE] - points[MIDDLE]
        side, angle = 2 * float(np.hypot(*up)), float(np.arctan2(up[0], -up[1]))
    scores = 1 / (1 + np.exp(-found[:33, 3]))
    return with_derived(points[:33], scores)


def square(centre_2: np.ndarray, side: float, angle: float) -> np.ndarray:
    """The affine [2,3] from pixels of the network's input to those of the image; `angle` turns the input clockwise."""
    density = side / SIDE
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * density
    return np.column_stack([turn, centre_2 - turn @ np.full(2, SIDE / 2)])


def with_derived(points_J2: np.ndarray, scores_J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 33 landmarks, and neck and head top, which it does not give."""
    at = {name: k for k, name in enumerate(JOINTS)}
    shoulders, ears = ([at[f"left_{part}"], at[f"right_{part}"]] for part in ("shoulder", "ear"))
    neck, between_ears = points_J2[shoulders].mean(0), points_J2[ears].mean(0)
    head_top = neck + HEAD * (between_ears - neck)
    joints = np.concatenate([points_J2, [neck, head_top]])
    return joints, np.concatenate([scores_J, [scores_J[shoulders].min(), scores_J[ears].min()]])
