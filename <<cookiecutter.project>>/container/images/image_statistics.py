"""A picture in a few numbers, which tell when those that are asked about come to differ."""

import numpy as np
from PIL import Image

LARGEST = 256  # the side within which a picture is measured: a large one costs no more, and looks no sharper
DIGITS = 6


def measure(picture: Image.Image) -> tuple[float, ...]:
    """Return `STATISTICS` of an RGB picture.

    Brightness and contrast are the mean and standard deviation of its grey levels, 0 to 255. Sharpness is the
    mean difference between neighbours as a share of the contrast, so that a dark picture is no blurred one.
    Aspect is width by height, entropy that of the grey levels in bits.
    """
    grey = picture.convert("L")
    grey.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    levels = np.asarray(grey, dtype=np.float64)
    contrast = float(levels.std())
    edges = sum(float(np.abs(np.diff(levels, axis=axis)).sum()) for axis in (0, 1))
    sharpness = edges / (2 * levels.size * contrast) if contrast else 0.0
    shares = np.bincount(levels.astype(np.int64).ravel(), minlength=256) / levels.size
    present = shares[shares > 0]
    entropy = float(-(present * np.log2(present)).sum())
    found = (float(levels.mean()), contrast, sharpness, picture.width / picture.height, entropy)
    return tuple(round(value, DIGITS) + 0.0 for value in found)
