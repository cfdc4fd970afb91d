"""The order of a tree's nodes in memory: siblings are neighbours, and near their parent on frequent paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Numbers = NDArray[np.int64]
LEFT_IS_LEAF, RIGHT_IS_LEAF, MISSING_LEFT, CATEGORICAL = 1, 2, 4, 8  # as in trees.c


class Tree(NamedTuple):
    """Hold a tree's shape as (nodes,) arrays: children, whether a node is a leaf, its training rows."""

    left: Numbers
    right: Numbers
    leaf: NDArray[np.bool_]
    rows: NDArray[np.integer[Any]]


class Layout(NamedTuple):
    """Hold where the nodes of a tree go.

    `slot` is (nodes,): the slot of every node. `inner` lists the inner nodes in the order of their slots;
    `ahead` and `flags` are of these: the distance to their children in slots, and the flags of trees.c.
    `slots` is how many slots the tree takes. The second one is left empty, so that pairs of siblings begin at
    even slots, which share a cache line.
    """

    slot: Numbers
    inner: Numbers
    ahead: Numbers
    flags: Numbers
    slots: int


def lay_out(tree: Tree) -> Layout:
    """Lay out a tree whose root is an inner node: the root, then a pair of children for each inner node.

    A node's own pair is followed by the pair of its child with more training rows, so that most walks read
    neighbouring memory.
    """
    inner = _walk_order(tree)
    pairs = 2 + 2 * np.arange(len(inner))
    slot = np.zeros(len(tree.leaf), dtype=np.int64)
    slot[tree.left[inner]] = pairs
    slot[tree.right[inner]] = pairs + 1
    flags = tree.leaf[tree.left[inner]] * LEFT_IS_LEAF + tree.leaf[tree.right[inner]] * RIGHT_IS_LEAF
    return Layout(slot, inner, pairs - slot[inner], flags, 2 + 2 * len(inner))


def _walk_order(tree: Tree) -> Numbers:
    """Return the inner nodes in preorder, where the child with more training rows comes first."""
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
