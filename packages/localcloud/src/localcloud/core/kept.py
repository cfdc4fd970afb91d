"""The state that outlives a cloud: one file of JSON, and beside it S3's objects and the functions' code.

The first line of the file describes it (version, time, counts, a checksum), the second is the content. The
file is replaced as a whole, so that a crash leaves either the former content or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from localcloud.core import private_files
from localcloud.core.clock import Clock, Segment
from localcloud.core.errors import CloudError
from localcloud.core.patches import PINNED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from localcloud.core.project import Project
    from localcloud.core.service import Json

T = TypeVar("T")
# The form of the content: a change of what a service keeps, or of how, needs another number.
FORMAT = 1
DISTRIBUTION = "sagemaker-localcloud"
NAME = "state.json"
# The file that lies beside it from the start of a cloud until the cloud has saved its end.
UNSAVED = "unsaved"
# The file by which a command tells a cloud to end without saving: what it holds is to be deleted.
UNWANTED = "unwanted"
# Of lists that grow with each delivery the newest are kept: executions, jobs, builds, deployments.
MOST = 500
# What ended because the cloud did has this reason.
STOPPED = "The local cloud was stopped."


@dataclass(frozen=True)
class Header:
    """The first line of the file; times are epoch seconds, `shown` is the time of the simulated clock.

    `segments` are the newest of the clock, each with its begin in real and simulated time, and its speed.
    `counts` has the number of things by what they are called, and `dropped` the same of things that are not
    kept because they are secret.
    """

    sha256: str
    saved: float
    shown: float
    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    segments: list[list[float]] = field(default_factory=list)
    region: str = ""
    format: int = FORMAT
    localcloud: str = field(default_factory=lambda: importlib.metadata.version(DISTRIBUTION))
    ministack: str = PINNED


def folder(project: Project) -> Path:
    """Return the folder of everything that is kept."""
    return project.state / "kept"


def want(project: Project, *, wanted: bool) -> None:
    """Say whether the cloud that runs is to save its end."""
    with contextlib.suppress(OSError):  # on a full disk it saves, as far as it can
        if wanted:
            (folder(project) / UNWANTED).unlink(missing_ok=True)
        else:
            (folder(project) / UNWANTED).touch()


def is_wanted(project: Project) -> bool:
    """Return whether a cloud that ends is to save what it holds."""
    return not (folder(project) / UNWANTED).exists()


def write(project: Project, header: Header, content: bytes) -> None:
    """Replace the file.

    Raises:
        OSError: it can't be written; the error names the file, whose former content stays.
    """
    path = private_files.folder(folder(project)) / NAME
    private_files.write_whole(path, f"{json.dumps(asdict(header))}\n{content.decode()}", durable=True)


def digest(content: bytes) -> str:
    """Return the checksum of a content."""
    return hashlib.sha256(content).hexdigest()


def read(project: Project) -> tuple[Header, Json] | None:
    """Return the file's two lines; None if nothing is kept.

    Raises:
        CloudError: the file is damaged, or of another version; the message names the way out.
    """
    path = folder(project) / NAME
    try:
        first, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CloudError(f"{path} can't be read: {error.strerror}; {_way_out(project)}") from None
    header = parse_header(project, first)
    if digest(content) != header.sha256:
        raise CloudError(damaged(project))
    if header.region not in ("", project.region):
        raise CloudError(
            f"{path} is of region {header.region}, and the project's is {project.region}: set it back, or "
            f"{_way_out(project)}"
        )
    state: Json = json.loads(content)
    return header, state


def damaged(project: Project, reason: str = "") -> str:
    """Return the refusal of a damaged file."""
    return f"{folder(project) / NAME} is damaged{f' ({reason})' if reason else ''}; {_way_out(project)}"


def parse_header(project: Project, line: bytes) -> Header:
    """Read the file's first line.

    Raises:
        CloudError: it is damaged, or of another version.
    """
    try:
        members = json.loads(line)
        versions = members["format"], members["ministack"]
    except (ValueError, KeyError, TypeError):
        raise CloudError(damaged(project)) from None
    if versions != (FORMAT, PINNED):
        raise CloudError(
            f"{folder(project) / NAME} was written by localcloud {members.get('localcloud')} (format "
            f"{versions[0]}, ministack {versions[1]}), and this version reads format {FORMAT} of ministack "
            f"{PINNED}: use that version, or {_way_out(project)}"
        )
    try:
        return Header(**members)
    except TypeError:
        raise CloudError(damaged(project)) from None


def _way_out(project: Project) -> str:
    return f"'{project.commands.stop} --delete' deletes what the cloud kept, and the next cloud is empty"


def resumed_clock(speed: float, header: Header | None) -> Clock:
    """Return the clock of a cloud that continues what is kept: its simulated time never goes backwards.

    This is the one place that joins the clock of a cloud to that of the cloud before it. Times in what is
    kept have the simulated times that they had, unless the machine's own clock was set back since.
    """
    clock = Clock(speed)
    if header is None or header.saved > clock.began:
        return clock
    segments = [Segment(*each) for each in header.segments]
    clock.resume(segments, Segment(header.saved, max(header.saved, header.shown), 1.0))
    return clock


def newest(things: Iterable[T], most: int = MOST) -> list[T]:
    """Return the newest of things, which are listed the oldest first."""
    return list(things)[-most:]


def attributes(thing: Any, names: tuple[str, ...]) -> Json:
    """Return attributes by name, for the `save` of a part."""
    return {name: getattr(thing, name) for name in names}


def restore(thing: Any, names: tuple[str, ...], saved: Json) -> None:
    """Set the attributes that `attributes` returned."""
    for name in names:
        setattr(thing, name, saved[name])
