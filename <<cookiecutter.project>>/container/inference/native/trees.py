"""Where a tree's nodes stand: children side by side, and close to their parent where most rows come by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Numbers = NDArray[np.int64]
LEFT_IS_LEAF, RIGHT_IS_LEAF, MISSING_LEFT, CATEGORICAL = 1, 2, 4, 8  # as in trees.c


class Tree(NamedTuple):
    """Hold a tree's shape, a number a node: its children, whether it is a leaf, how many rows came by."""

    left: Numbers
    right: Numbers
    leaf: NDArray[np.bool_]
    rows: NDArray[np.integer[Any]]


class Places(NamedTuple):
    """Say where nodes go: `slot` of every node, and for each of `inner` how far `ahead` its children are."""

    slot: Numbers
    inner: Numbers
    ahead: Numbers
    flags: Numbers
    slots: int


def place(tree: Tree) -> Places:
    """Place a tree whose root is no leaf: the root first, a pair of children for each inner node in turn.

    After a node's own pair comes that of its child with more rows, so that a walk tends to stay close by.
    """
    inner = _walk_order(tree)
    pairs = 2 + 2 * np.arange(len(inner))
    slot = np.zeros(len(tree.leaf), dtype=np.int64)
    slot[tree.left[inner]] = pairs
    slot[tree.right[inner]] = pairs + 1
    flags = tree.leaf[tree.left[inner]] * LEFT_IS_LEAF + tree.leaf[tree.right[inner]] * RIGHT_IS_LEAF
    return Places(slot, inner, pairs - slot[inner], flags, 2 + 2 * len(inner))


def _walk_order(tree: Tree) -> Numbers:
    """Return the inner nodes: each before what is under its larger child, and that before the other's."""
    levels = list(_levels(tree))
    under = np.zeros(len(tree.leaf), dtype=np.int64)  # inner nodes, itself included
    for level in reversed(levels):
        under[level] = 1 + under[tree.left[level]] + under[tree.right[level]]
    number = np.zeros(len(tree.leaf), dtype=np.int64)
    for level in levels:
        left, right = tree.left[level], tree.right[level]
        left_first = tree.rows[left] >= tree.rows[right]
        number[left] = number[level] + 1 + np.where(left_first, 0, under[right])
        number[right] = number[level] + 1 + np.where(left_first, under[left], 0)
    inner = np.concatenate(levels)
    return inner[np.argsort(number[inner])]


def _levels(tree: Tree) -> Iterator[Numbers]:
    level = np.zeros(1, dtype=np.int64)
    while len(level):
        yield level
        children = np.concatenate([tree.left[level], tree.right[level]])
        level = children[~tree.leaf[children]]
