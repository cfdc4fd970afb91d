"""The hosts of a training job: how they find one another, and sums over all of them.

The first host listens, and every other connects to it. It adds what they send in the order of their names,
and sends the sum back: all hold the same bits. What travels are numbers of a length that both sides know.
"""

import hashlib
import os
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from container.runtime import paths
from container.runtime.errors import UserError
from container.runtime.paths import ResourceConfig

PATIENCE = 300.0  # seconds; a host that ends is noticed at once, one that hangs after so long
GREETING = 5.0  # seconds that a stranger on the port may take to say what it is
AGAIN = 0.2  # seconds between attempts to find the first host
# Systems take the ports of outgoing connections from above; one of these is never connected to itself.
LOWEST, PORTS, CANDIDATES = 20_000, 10_000, 8

Numbers = TypeVar("Numbers", NDArray[np.float32], NDArray[np.float64])


class HostError(UserError):
    """Say that a host could not be found, or has left."""


class Cluster:
    """Hold the connections of one host: the first's to all others, any other's to the first."""

    def __init__(self, rank: int = 0, names: Sequence[str] = ("algo-1",)) -> None:
        """Begin unconnected, as a job of one host stays."""
        self.rank, self.size = rank, len(names)
        self.names = names
        self.peers: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections, by which the other hosts see that this one has ended."""
        for peer in self.peers.values():
            peer.close()

    def sum(self, own: Numbers) -> Numbers:
        """Return the sum of all hosts' arrays, of one length; the same bits on every host."""
        if self.rank:
            self._send(0, own)
            return self._receive(0, own)
        total = own.copy()
        for rank in sorted(self.peers):
            total += self._receive(rank, own)
        for rank in self.peers:
            self._send(rank, total)
        return total

    def _send(self, rank: int, numbers: Numbers) -> None:
        try:
            self.peers[rank].sendall(np.ascontiguousarray(numbers).data.cast("B"))
        except OSError as error:
            raise self._left(rank, error) from error

    def _receive(self, rank: int, like: Numbers) -> Numbers:
        numbers = np.empty_like(like)
        try:
            _fill(self.peers[rank], numbers.data.cast("B"))
        except OSError as error:
            raise self._left(rank, error) from error
        return numbers

    def _left(self, rank: int, error: OSError) -> HostError:
        name = self.names[rank]
        if isinstance(error, TimeoutError):
            return HostError(f"host {name} has been silent for {PATIENCE:g} seconds: see its log")
        return HostError(f"host {name} has left before the training was complete: its log says why")


def join(resources: ResourceConfig) -> Cluster:
    """Connect this host with the others of its job; raises `HostError` when one does not come in time."""
    names = resources.hosts
    cluster = Cluster(names.index(resources.current_host), names)
    if cluster.size == 1:
        return cluster
    address = "127.0.0.1" if resources.one_machine else names[0]
    identity = _identity(resources)
    until = time.monotonic() + PATIENCE
    if cluster.rank:
        cluster.peers = {0: _find(address, identity, cluster.rank, until)}
    else:
        with _listen(address, identity, until) as listener:
            _accept(listener, identity, cluster, until)
    for peer in cluster.peers.values():
        peer.settimeout(PATIENCE)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return cluster


def _identity(resources: ResourceConfig) -> bytes:
    """Return what tells this job from all others: on one machine its folder, since names may repeat there."""
    folder = str(paths.current().base.resolve().parent) if resources.one_machine else ""
    job = os.environ.get("TRAINING_JOB_ARN", "")
    return hashlib.sha256("\0".join([job, folder, *resources.hosts]).encode()).digest()


def _ports(identity: bytes) -> list[int]:
    """Return where the first host may listen: of several jobs on one machine each finds a free port."""
    first = int.from_bytes(identity[:4])
    return [LOWEST + (first + 7919 * step) % PORTS for step in range(CANDIDATES)]


def _sign(identity: bytes, rank: int) -> bytes:
    """Return what a host shows: that it is of this job, and which."""
    return hashlib.sha256(identity + bytes([rank])).digest() + bytes([rank])


def _listen(address: str, identity: bytes, until: float) -> socket.socket:
    while True:
        for port in _ports(identity):
            try:
                return socket.create_server((address, port))
            except OSError as error:
                problem = error
        if time.monotonic() > until:
            raise HostError(f"no port of {address} is free for the other hosts: {problem}")
        time.sleep(AGAIN)


def _accept(listener: socket.socket, identity: bytes, cluster: Cluster, until: float) -> None:
    """Take one connection of each other host; strangers are turned away."""
    while len(cluster.peers) < cluster.size - 1:
        listener.settimeout(max(AGAIN, until - time.monotonic()))
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            missing = [cluster.names[rank] for rank in range(1, cluster.size) if rank not in cluster.peers]
            raise HostError(f"{', '.join(missing)} did not come within {PATIENCE:g} seconds") from None
        rank = _greet(peer, identity, cluster.size)
        if rank is None or rank in cluster.peers:
            peer.close()
        else:
            cluster.peers[rank] = peer


def _greet(peer: socket.socket, identity: bytes, size: int) -> int | None:
    """Return which host has connected, and answer it; none for a stranger."""
    try:
        shown = _shown(peer)
        if shown[-1] not in range(1, size) or shown != _sign(identity, shown[-1]):
            return None
        peer.sendall(_sign(identity, 0))
    except OSError:
        return None
    return shown[-1]


def _find(address: str, identity: bytes, rank: int, until: float) -> socket.socket:
    """Connect to the first host, which may not listen yet, nor have a name that is known."""
    while time.monotonic() < until:
        for port in _ports(identity):
            found = _try(address, port, identity, rank)
            if found:
                return found
        time.sleep(AGAIN)
    raise HostError(f"the first host, {address}, did not answer within {PATIENCE:g} seconds")


def _try(address: str, port: int, identity: bytes, rank: int) -> socket.socket | None:
    """Return a connection if the job's first host is on the port."""
    try:
        peer = socket.create_connection((address, port), GREETING)
    except OSError:
        return None
    try:
        peer.sendall(_sign(identity, rank))
        if _shown(peer) == _sign(identity, 0):
            return peer
    except OSError:
        pass
    peer.close()
    return None


def _shown(peer: socket.socket) -> bytes:
    peer.settimeout(GREETING)
    shown = bytearray(len(_sign(b"", 0)))
    _fill(peer, memoryview(shown))
    return bytes(shown)


def _fill(peer: socket.socket, into: memoryview) -> None:
    """Read as many bytes as there is room for; raises `OSError` when the other side has closed."""
    while len(into):
        count = peer.recv_into(into)
        if not count:
            raise ConnectionResetError("closed by the other side")
        into = into[count:]
