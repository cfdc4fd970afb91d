"""Statistics of an image, by which the monitor compares the images of requests with those of the training."""

import numpy as np
from PIL import Image

MAX_SIDE = 256  # pixels to which an image is reduced first, so that sharpness is comparable
DIGITS = 6


def measure(image: Image.Image) -> tuple[float, ...]:
    """Return `STATISTICS` of an RGB image.

    Brightness and contrast are the mean and the standard deviation of its grey levels, 0 to 255. Sharpness is
    the mean difference between neighbouring pixels divided by the contrast, so that it does not depend on the
    light. Aspect is the width divided by the height, entropy that of the grey levels in bits.
    """
    grey = image.convert("L")
    grey.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    levels = np.asarray(grey, dtype=np.float64)
    contrast = float(levels.std())
    edges = sum(float(np.abs(np.diff(levels, axis=axis)).sum()) for axis in (0, 1))
    sharpness = edges / (2 * levels.size * contrast) if contrast else 0.0
    shares = np.bincount(levels.astype(np.int64).ravel(), minlength=256) / levels.size
    present = shares[shares > 0]
    entropy = float(-(present * np.log2(present)).sum())
    measured = (float(levels.mean()), contrast, sharpness, image.width / image.height, entropy)
    return tuple(round(value, DIGITS) + 0.0 for value in measured)
