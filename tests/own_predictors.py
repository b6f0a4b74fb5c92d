"""Predictors of every kind, as somebody's file would hold them: each finds the brightest spot; and bad ones."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from hpe_bench import Predictor
from hpe_bench.data.skeletons import COCO_17

J, HW = 17, (64, 48)


def _spots(grey_NHW: np.ndarray) -> np.ndarray:
    """The middle of what is brightest, (x, y) [N,2]."""
    grey_NHW = grey_NHW.astype(float)
    weight = (grey_NHW >= 0.9 * grey_NHW.max((1, 2), keepdims=True)).astype(float)
    rows, columns = np.mgrid[: grey_NHW.shape[1], : grey_NHW.shape[2]]
    total = weight.sum((1, 2))
    return np.stack([(weight * columns).sum((1, 2)) / total, (weight * rows).sum((1, 2)) / total], -1)


def _everywhere(spots_N2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(spots_N2[:, None], J, 1), np.full((len(spots_N2), J), 0.75)


def in_crop() -> Predictor:
    return Predictor(lambda crops: _everywhere(_spots(crops[..., 0])), "coco-17", input_hw=HW, batch=2)


def normalised() -> Predictor:
    def call(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        joints, scores = _everywhere(_spots(crops[..., 0]))
        return joints / [HW[1], HW[0]], scores

    return Predictor(call, "coco-17", input_hw=HW, coordinates="normalised")


def _in_boxes(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    spots = []
    for x, y, w, h in boxes.astype(int):
        left, top = max(x, 0), max(y, 0)
        spots.append(_spots(image[None, top : y + h, left : x + w, 0])[0] + [left, top])
    return np.array(spots)


def of_images() -> Predictor:
    return Predictor(lambda image, boxes: _everywhere(_in_boxes(image, boxes)), "coco-17", takes="images")


def of_images_normalised() -> Predictor:
    def call(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        joints, scores = _everywhere(_in_boxes(image, boxes))
        return joints / [image.shape[1], image.shape[0]], scores

    return Predictor(call, "coco-17", takes="images", coordinates="normalised")


def heatmaps() -> Predictor:
    """Joints in reverse order, to be put in order."""
    return Predictor(
        lambda crops: np.repeat(crops[:, None, ::4, ::4, 0] / 255.0, J, 1),
        tuple(reversed(COCO_17.joints)),
        gives="heatmaps",
        input_hw=HW,
    )


def simcc() -> Predictor:
    """Two bins a pixel, and joints beyond COCO's."""

    def call(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spots = _spots(crops[..., 0])
        bins = [np.arange(2 * side) / 2.0 for side in HW[::-1]]
        x, y = (np.exp(-((b[None] - spots[:, [k]]) ** 2) / 8) for k, b in enumerate(bins))
        return np.repeat(x[:, None], J + 1, 1), np.repeat(0.5 * y[:, None], J + 1, 1)

    return Predictor(call, ("tail", *COCO_17.joints), gives="simcc", input_hw=HW)


GOOD = ("in_crop", "normalised", "of_images", "of_images_normalised", "heatmaps", "simcc")


# ---------------------------------------------------------------------------------------------------- bad ones


def _bad(answer: Any, **more: Any) -> Predictor:
    return Predictor(answer, "coco-17", input_hw=HW, **more)


def raises() -> Predictor:
    def call(crops: np.ndarray) -> None:
        raise RuntimeError("no kernel image is available")

    return _bad(call)


def gives_nan() -> Predictor:
    def call(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        joints, scores = _everywhere(_spots(crops[..., 0]))
        joints[0, 9] = np.nan
        return joints, scores

    return _bad(call)


def other_shape() -> Predictor:
    return _bad(lambda crops: (np.zeros((len(crops), J, 3)), np.zeros((len(crops), J))))


def other_joints() -> Predictor:
    return _bad(lambda crops: (np.zeros((len(crops), 16, 2)), np.zeros((len(crops), 16))))


def one_array() -> Predictor:
    return _bad(lambda crops: np.zeros((len(crops), J, 2)))


def words() -> Predictor:
    return _bad(lambda crops: (np.full((len(crops), J, 2), "x"), np.zeros((len(crops), J))))


def odd_bins() -> Predictor:
    return _bad(lambda crops: (np.zeros((len(crops), J, 50)), np.zeros((len(crops), J, 64))), gives="simcc")


def maps_of_three_axes() -> Predictor:
    return _bad(lambda crops: np.zeros((len(crops), J, 16)), gives="heatmaps")


def hangs() -> Predictor:
    return _bad(lambda crops: time.sleep(60), limit_s=0.5)


def dies() -> Predictor:
    return _bad(lambda crops: os._exit(7))


def no_predictor() -> int:
    return 17


def few_joints() -> Predictor:
    return Predictor(lambda crops: _everywhere(_spots(crops[..., 0])), ("nose", "left_eye"), input_hw=HW)


def not_loaded() -> Predictor:
    raise FileNotFoundError("weights.bin is not here")


def no_weights() -> Predictor:
    return _bad(lambda crops: None, files=("nowhere.bin",))


def forgets_what_it_is() -> Predictor:
    """Another answer every time."""
    random = np.random.default_rng()
    return _bad(lambda crops: (random.uniform(0, 40, (len(crops), J, 2)), np.zeros((len(crops), J))))
