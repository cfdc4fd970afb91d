"""Histograms of oriented gradients (HOG) and statistics of colours, of an image and of changed views of it.

After Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (2005): the gradient of the
colour channel that changes most is distributed to the two nearest of nine directions and to the nearest
cells; overlapping blocks of four cells are normalised, clipped and normalised again. The views are the image
and its mirror image, each in nine positions: unmoved, or moved by a sixteenth of its side horizontally,
vertically or both.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from container.runtime.typing import FloatArray

DIRECTIONS = 9
GRIDS = (8, 4)  # cells on a side
PATCHES = 4  # on a side, each described by the mean and the standard deviation of its colours
MOVE_PART = 16  # views are moved by one sixteenth of a side
MIRRORS, MOVES = 2, 9
CLIP, EPSILON = 0.2, 1e-2
SHAPE = sum((grid - 1) ** 2 * 4 * DIRECTIONS for grid in GRIDS)
COLOUR = PATCHES**2 * 2 * 3


def describe(pixels: NDArray[np.uint8], side: int) -> tuple[FloatArray, FloatArray]:
    """Return (n, 18, SHAPE) shapes and (n, 2, COLOUR) colours of (n, side * side * 3) images.

    The first view is the image as it is.
    """
    square = pixels.reshape(-1, side, side, 3) / 255.0
    both = np.stack([square, square[:, :, ::-1]], axis=1).reshape(-1, side, side, 3)
    shapes = _shapes(both).reshape(len(square), MIRRORS * MOVES, SHAPE)
    return shapes, _colours(both).reshape(len(square), MIRRORS, COLOUR)


def _shapes(images: FloatArray) -> FloatArray:
    """Return (n, 9, SHAPE) of (n, side, side, 3) images."""
    move = images.shape[1] // MOVE_PART
    margin = ((0, 0), (move, move), (move, move), (0, 0))
    directed = _directions(np.pad(np.sqrt(images), margin, mode="edge"))
    result = []
    for grid in GRIDS:
        share = _shares(images.shape[1], grid)
        cells = np.tensordot(directed, share, ([1], [1]))  # n, x, directions, moves down and cells
        cells = np.tensordot(cells, share, ([1], [1]))  # n, directions, down, right
        cells = cells.reshape(len(images), DIRECTIONS, 3, grid, 3, grid).transpose(0, 2, 4, 3, 5, 1)
        result.append(_blocks(cells.reshape(-1, grid, grid, DIRECTIONS)).reshape(len(images), MOVES, -1))
    return np.concatenate(result, axis=2)


def _directions(images: FloatArray) -> FloatArray:
    """Return (n, height, width, DIRECTIONS): the gradient at each pixel, distributed to two directions."""
    across, down = np.zeros_like(images), np.zeros_like(images)
    across[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    down[:, 1:-1] = images[:, 2:] - images[:, :-2]
    strength = across**2 + down**2
    colour = strength.argmax(axis=3)[..., np.newaxis]
    across, down, strength = (np.take_along_axis(each, colour, 3) for each in (across, down, strength))
    angle = (np.arctan2(down, across) % np.pi) * (DIRECTIONS / np.pi)
    lower = np.floor(angle)
    upper_part = np.sqrt(strength) * (angle - lower)
    first = lower.astype(np.intp) % DIRECTIONS
    result = np.zeros((*strength.shape[:3], DIRECTIONS))
    np.put_along_axis(result, first, np.sqrt(strength) - upper_part, 3)
    np.put_along_axis(result, (first + 1) % DIRECTIONS, upper_part, 3)
    return result


@cache
def _shares(side: int, grid: int) -> FloatArray:
    """Return (3 * grid, side + 2 * move): the weight of each pixel in each cell, for each move."""
    move = side // MOVE_PART
    places, centres = np.arange(side + 2 * move) + 0.5 - move, (np.arange(grid) + 0.5) * (side / grid)
    shifted = [places - step for step in (0, move, -move)]
    near = [np.abs(each - centres[:, np.newaxis]) / (side / grid) for each in shifted]
    inside = [(each >= 0) & (each <= side) for each in shifted]
    return np.concatenate([np.maximum(0, 1 - far) * here for far, here in zip(near, inside, strict=True)])


def _blocks(cells: FloatArray) -> FloatArray:
    """Return (n, blocks) of (n, grid, grid, DIRECTIONS)."""
    corners = (cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:])
    blocks = np.minimum(_normalise(np.concatenate(corners, axis=3)), CLIP)
    return _normalise(blocks).reshape(len(cells), -1)


def _normalise(blocks: FloatArray) -> FloatArray:
    normalised: FloatArray = blocks / np.sqrt((blocks**2).sum(axis=3, keepdims=True) + EPSILON)
    return normalised


def _colours(images: FloatArray) -> FloatArray:
    """Return (n, COLOUR) of (n, side, side, 3) images."""
    patch = images.shape[1] // PATCHES
    patches = images.reshape(len(images), PATCHES, patch, PATCHES, patch, 3)
    result = [patches.mean(axis=(2, 4)), patches.std(axis=(2, 4))]
    return np.concatenate([each.reshape(len(images), -1) for each in result], axis=1)
