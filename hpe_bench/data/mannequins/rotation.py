"""Rotations about the axes of a right-handed frame; angles in degrees."""

from __future__ import annotations

import math

import numpy as np


def about_x(degrees: float) -> np.ndarray:
    """[3,3] rotation that turns y towards z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))


def about_y(degrees: float) -> np.ndarray:
    """[3,3] rotation that turns z towards x."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))


def about_z(degrees: float) -> np.ndarray:
    """[3,3] rotation that turns x towards y."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
