"""Type names that several parts of the container share."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
