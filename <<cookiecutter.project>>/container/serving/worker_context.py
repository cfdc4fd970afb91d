"""Everything that a worker process shares with its parent and with the other workers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerContext:
    """Hold a worker's file descriptors, and the memory that all workers share.

    `parent` is the end of a pipe that closes when the parent ends. A byte in `ready` says that the worker
    serves. `open_connections` has the number of each worker's connections, of this one at `index`.
    """

    parent: int
    ready: int
    open_connections: memoryview
    index: int
