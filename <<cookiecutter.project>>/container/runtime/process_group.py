"""The hosts of a training job as a process group: connections among them, and sums over all of them.

The first host listens, and every other host connects to it. A message is the bytes of an array whose length
and type both sides know. The terms are those of torch.distributed.
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

from container.runtime.errors import UserError
from container.runtime.paths import ContainerPaths, ResourceConfig

TIMEOUT_SECONDS = 300.0  # of a host that hangs; one that exits is noticed immediately
HANDSHAKE_SECONDS = 5.0  # that a connection may take to identify itself
RETRY_SECONDS = 0.2  # between attempts to reach the first host
# Ports below the range from which operating systems take those of outgoing connections (32768 and above on
# Linux): on a port of that range a host could connect to itself.
LOWEST_PORT, PORTS, CANDIDATES = 20_000, 10_000, 8
PORT_STEP = 7919  # a prime, so that two jobs with the same first port rarely share the next ones

Numbers = TypeVar("Numbers", NDArray[np.float32], NDArray[np.float64])


class HostError(UserError):
    """A host of the job could not be reached, or has exited."""


class ProcessGroup:
    """Hold one host's connections: those of the first host to all others, or that of another to the first."""

    def __init__(self, rank: int = 0, names: Sequence[str] = ("algo-1",)) -> None:
        """Start without connections; a job of one host needs none."""
        self.rank, self.size = rank, len(names)
        self.names = names
        self.peers: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections, which shows the other hosts that this one has exited."""
        for peer in self.peers.values():
            peer.close()

    def all_reduce(self, array: Numbers) -> Numbers:
        """Return the sum of all hosts' arrays, of one length and type.

        Raises:
            HostError: a host has exited, or does not respond.
        """
        if self.rank:
            self._send(0, array)
            return self._receive(0, array)
        # Floating-point addition is not associative: a sum in the order of arrival would differ from run to
        # run. The first host adds in the order of ranks and sends the result, so all hosts hold equal bits.
        total = array.copy()
        for rank in sorted(self.peers):
            total += self._receive(rank, array)
        for rank in self.peers:
            self._send(rank, total)
        return total

    def _send(self, rank: int, numbers: Numbers) -> None:
        try:
            self.peers[rank].sendall(np.ascontiguousarray(numbers).data.cast("B"))
        except OSError as error:
            raise self._lost(rank, error) from error

    def _receive(self, rank: int, like: Numbers) -> Numbers:
        numbers = np.empty_like(like)
        try:
            _fill(self.peers[rank], numbers.data.cast("B"))
        except OSError as error:
            raise self._lost(rank, error) from error
        return numbers

    def _lost(self, rank: int, error: OSError) -> HostError:
        name = self.names[rank]
        if isinstance(error, TimeoutError):
            return HostError(f"host {name} has been silent for {TIMEOUT_SECONDS:g} seconds: see its log")
        return HostError(f"host {name} has left before the training was complete: its log says why")


def connect(resources: ResourceConfig) -> ProcessGroup:
    """Connect this host with the others of its job.

    Raises:
        HostError: a host does not connect, or does not respond, within TIMEOUT_SECONDS.
    """
    names = resources.hosts
    group = ProcessGroup(names.index(resources.current_host), names)
    if group.size == 1:
        return group
    address = "127.0.0.1" if resources.is_single_host else names[0]
    identity = _identity(resources)
    deadline = time.monotonic() + TIMEOUT_SECONDS  # of the monotonic clock, like every deadline here
    if group.rank:
        group.peers = {0: _connect_to_first(address, identity, group.rank, deadline)}
    else:
        with _listen(address, identity, deadline) as listener:
            _accept(listener, identity, group, deadline)
    for peer in group.peers.values():
        peer.settimeout(TIMEOUT_SECONDS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return group


def _identity(resources: ResourceConfig) -> bytes:
    """Return a digest that differs for each job; on one machine, where names repeat, it covers the folder."""
    folder = str(ContainerPaths.current().base.resolve().parent) if resources.is_single_host else ""
    job = os.environ.get("TRAINING_JOB_ARN", "")
    return hashlib.sha256("\0".join([job, folder, *resources.hosts]).encode()).digest()


def _ports(identity: bytes) -> list[int]:
    """Return the ports that the first host tries, so that each job of one machine finds a free one."""
    first = int.from_bytes(identity[:4])
    return [LOWEST_PORT + (first + PORT_STEP * step) % PORTS for step in range(CANDIDATES)]


def _signature(identity: bytes, rank: int) -> bytes:
    """Return the message that identifies a host of the job; the last byte is its rank."""
    return hashlib.sha256(identity + bytes([rank])).digest() + bytes([rank])


def _listen(address: str, identity: bytes, deadline: float) -> socket.socket:
    while True:
        for port in _ports(identity):
            try:
                return socket.create_server((address, port))
            except OSError as error:
                problem = error
        if time.monotonic() > deadline:
            raise HostError(f"no port of {address} is free for the other hosts: {problem}")
        time.sleep(RETRY_SECONDS)


def _accept(listener: socket.socket, identity: bytes, group: ProcessGroup, deadline: float) -> None:
    """Accept one connection from each other host; close those of other programs and other jobs."""
    while len(group.peers) < group.size - 1:
        listener.settimeout(max(RETRY_SECONDS, deadline - time.monotonic()))
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            missing = [group.names[rank] for rank in range(1, group.size) if rank not in group.peers]
            raise HostError(f"{', '.join(missing)} did not come within {TIMEOUT_SECONDS:g} seconds") from None
        rank = _handshake(peer, identity, group.size)
        if rank is None or rank in group.peers:
            peer.close()
        else:
            group.peers[rank] = peer


def _handshake(peer: socket.socket, identity: bytes, size: int) -> int | None:
    """Answer a host of this job and return its rank; return None for any other program."""
    try:
        received = _receive_signature(peer)
        if received[-1] not in range(1, size) or received != _signature(identity, received[-1]):
            return None
        peer.sendall(_signature(identity, 0))
    except OSError:
        return None
    return received[-1]


def _connect_to_first(address: str, identity: bytes, rank: int, deadline: float) -> socket.socket:
    """Connect to the first host, which may not listen yet, and whose name may not resolve yet."""
    while time.monotonic() < deadline:
        for port in _ports(identity):
            peer = _try_port(address, port, identity, rank)
            if peer:
                return peer
        time.sleep(RETRY_SECONDS)
    raise HostError(f"the first host, {address}, did not answer within {TIMEOUT_SECONDS:g} seconds")


def _try_port(address: str, port: int, identity: bytes, rank: int) -> socket.socket | None:
    """Return a connection if the job's first host listens on the port, else None."""
    try:
        peer = socket.create_connection((address, port), HANDSHAKE_SECONDS)
    except OSError:
        return None
    try:
        peer.sendall(_signature(identity, rank))
        if _receive_signature(peer) == _signature(identity, 0):
            return peer
    except OSError:
        pass
    peer.close()
    return None


def _receive_signature(peer: socket.socket) -> bytes:
    peer.settimeout(HANDSHAKE_SECONDS)
    received = bytearray(len(_signature(b"", 0)))
    _fill(peer, memoryview(received))
    return bytes(received)


def _fill(peer: socket.socket, buffer: memoryview) -> None:
    """Read bytes until a buffer is full; raise `OSError` when the other side has closed."""
    while len(buffer):
        count = peer.recv_into(buffer)
        if not count:
            raise ConnectionResetError("closed by the other side")
        buffer = buffer[count:]
