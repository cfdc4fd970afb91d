"""Labels from folders: the class of an image is the first folder in which the images' paths differ."""

import re
from collections.abc import Collection, Mapping

from container.runtime.errors import UserError

WAY_OUT = "put each class into one folder, or add a .lst (index, label, path; separated by tabs)"
_SPLIT = re.compile(
    r"(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval(uation)?|hold[-_]?out)([-_ ]?(set|data|images|\d+))?",
    re.IGNORECASE,
)

Folders = tuple[str, ...]


def level(images: Mapping[str, Folders]) -> int:
    """Return the index of the folder that is the class, of images by name.

    A folder around all images is not a class, nor are folders that are all named like splits: train, test.

    Raises:
        UserError: an image is in no folder, or the folders may be read in two ways.
    """
    for name, folders in images.items():
        if not folders:
            raise UserError(f"{name} has no label: {WAY_OUT}")
    levels = [{folders[place] for folders in images.values()} for place in range(_depth(images))]
    splits = [{name for name in names if _SPLIT.fullmatch(name)} for names in levels]
    last = len(levels) - 1
    place = next((at for at in range(last) if len(levels[at]) > 1 and splits[at] != levels[at]), last)
    names, found = levels[place], splits[place]
    if found and place < last:
        raise _ambiguous(images, place, f"{_listed(found)} among the folders {_listed(names)} may be a split")
    if found == names and len(names) > 1:
        raise UserError(f"the folders {_listed(names)} are named like splits, not like classes: {WAY_OUT}")
    return place


def described(images: Mapping[str, Folders], place: int) -> str:
    """Return a sentence on which folders are the labels, and what the other folders are."""
    name, folders = next(iter(images.items()))
    words = f"the label of {name} is {folders[place]}: folders of level {place + 1} are labels"
    above = {each for folders in images.values() for each in folders[:place] if _SPLIT.fullmatch(each)}
    if above:
        words += f"; {_listed(above)} are not, and their images are split anew"
    if doubtful := {each[place] for each in images.values() if _SPLIT.fullmatch(each[place])}:
        words += f"; {_listed(doubtful)} may be a split, and is read as a label"
    below = {each for folders in images.values() for each in folders[place + 1 :]}
    return f"{words}; {_listed(below)} below them are not" if below else words


def _depth(images: Mapping[str, Folders]) -> int:
    shallow, deep = (least(images, key=lambda name: len(images[name])) for least in (min, max))
    shared = len(images[shallow])
    if shared < len(images[deep]):
        differing = (place for place in range(shared) if len({each[place] for each in images.values()}) > 1)
        found = f"{shallow} has the depth {shared}, and {deep} {len(images[deep])}"
        raise _ambiguous(images, next(differing, shared - 1), found)
    return shared


def _ambiguous(images: Mapping[str, Folders], place: int, found: str) -> UserError:
    first, last = ({folders[at] for folders in images.values()} for at in (place, -1))
    return UserError(f"{found}, so the classes may be {_listed(first)}, or {_listed(last)}: {WAY_OUT}")


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} others" if len(names) > len(shown) else "")
