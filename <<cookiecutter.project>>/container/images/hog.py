"""Histograms of oriented gradients and colours, of a picture and of views of it that show the same.

After Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (2005): gradients of the
colour that changes most, shared among the two nearest of nine directions and the nearest cells, in blocks of
four cells that overlap and are normalised, clipped and normalised again. The views are the picture and its
mirror image, each moved by a sixteenth of its side, or not, to left and right, up and down.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from container.runtime.typing import FloatArray

DIRECTIONS = 9
GRIDS = (8, 4)  # cells a side
PATCHES = 4  # a side, each with the mean and standard deviation of its colours
SHIFTS = 16  # the part of a side by which views are moved
MIRRORS, MOVES = 2, 9
CLIP, LEAST = 0.2, 1e-2
SHAPE = sum((grid - 1) ** 2 * 4 * DIRECTIONS for grid in GRIDS)
COLOUR = PATCHES**2 * 2 * 3


def describe(pixels: NDArray[np.uint8], side: int) -> tuple[FloatArray, FloatArray]:
    """Return (n, 18, SHAPE) shapes and (n, 2, COLOUR) colours of (n, side * side * 3) pictures.

    The first view is the picture as it is.
    """
    square = pixels.reshape(-1, side, side, 3) / 255.0
    both = np.stack([square, square[:, :, ::-1]], axis=1).reshape(-1, side, side, 3)
    shapes = _shapes(both).reshape(len(square), MIRRORS * MOVES, SHAPE)
    return shapes, _colours(both).reshape(len(square), MIRRORS, COLOUR)


def _shapes(pictures: FloatArray) -> FloatArray:
    """Return (n, 9, SHAPE) of (n, side, side, 3) pictures."""
    move = pictures.shape[1] // SHIFTS
    margin = ((0, 0), (move, move), (move, move), (0, 0))
    directed = _directions(np.pad(np.sqrt(pictures), margin, mode="edge"))
    found = []
    for grid in GRIDS:
        share = _shares(pictures.shape[1], grid)
        cells = np.tensordot(directed, share, ([1], [1]))  # n, x, directions, moves down and cells
        cells = np.tensordot(cells, share, ([1], [1]))  # n, directions, down, right
        cells = cells.reshape(len(pictures), DIRECTIONS, 3, grid, 3, grid).transpose(0, 2, 4, 3, 5, 1)
        found.append(_blocks(cells.reshape(-1, grid, grid, DIRECTIONS)).reshape(len(pictures), MOVES, -1))
    return np.concatenate(found, axis=2)


def _directions(pictures: FloatArray) -> FloatArray:
    """Return (n, height, width, DIRECTIONS): each place's gradient, shared among its two directions."""
    across, down = np.zeros_like(pictures), np.zeros_like(pictures)
    across[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    strength = across**2 + down**2
    colour = strength.argmax(axis=3)[..., np.newaxis]
    across, down, strength = (np.take_along_axis(each, colour, 3) for each in (across, down, strength))
    angle = (np.arctan2(down, across) % np.pi) * (DIRECTIONS / np.pi)
    lower = np.floor(angle)
    upper_part = np.sqrt(strength) * (angle - lower)
    first = lower.astype(np.intp) % DIRECTIONS
    found = np.zeros((*strength.shape[:3], DIRECTIONS))
    np.put_along_axis(found, first, np.sqrt(strength) - upper_part, 3)
    np.put_along_axis(found, (first + 1) % DIRECTIONS, upper_part, 3)
    return found


@cache
def _shares(side: int, grid: int) -> FloatArray:
    """Return (3 * grid, side + 2 * move): how much of each place goes to each cell, for each move."""
    move = side // SHIFTS
    places, centres = np.arange(side + 2 * move) + 0.5 - move, (np.arange(grid) + 0.5) * (side / grid)
    moved = [places - step for step in (0, move, -move)]
    near = [np.abs(each - centres[:, np.newaxis]) / (side / grid) for each in moved]
    inside = [(each >= 0) & (each <= side) for each in moved]
    return np.concatenate([np.maximum(0, 1 - far) * here for far, here in zip(near, inside, strict=True)])


def _blocks(cells: FloatArray) -> FloatArray:
    """Return (n, blocks) of (n, grid, grid, DIRECTIONS)."""
    corners = (cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:])
    blocks = np.minimum(_unit(np.concatenate(corners, axis=3)), CLIP)
    return _unit(blocks).reshape(len(cells), -1)


def _unit(blocks: FloatArray) -> FloatArray:
    unit: FloatArray = blocks / np.sqrt((blocks**2).sum(axis=3, keepdims=True) + LEAST)
    return unit


def _colours(pictures: FloatArray) -> FloatArray:
    """Return (n, COLOUR) of (n, side, side, 3) pictures."""
    patch = pictures.shape[1] // PATCHES
    patches = pictures.reshape(len(pictures), PATCHES, patch, PATCHES, patch, 3)
    found = [patches.mean(axis=(2, 4)), patches.std(axis=(2, 4))]
    return np.concatenate([each.reshape(len(pictures), -1) for each in found], axis=1)
