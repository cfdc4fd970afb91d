"""Protects: the hosts of a job find one another and no one else, add alike, and wait for none that ended."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container.runtime import process_group
from container.runtime.paths import ResourceConfig
from container.runtime.process_group import HostError, ProcessGroup, connect

SHARED = range(28_400, 28_408)
Work = Callable[[ProcessGroup], Any]


def start(pool: ThreadPoolExecutor, hosts: tuple[str, ...], work: Work) -> list[Future[Any]]:
    """Run the hosts of a job, each in a thread, as processes of one machine are."""

    def run(name: str) -> Any:
        with connect(ResourceConfig(name, hosts, "lo")) as joined:
            return work(joined)

    return [pool.submit(run, name) for name in hosts]


@pytest.fixture(autouse=True)
def _own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apart from the same test that runs elsewhere on the machine."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "algo-1"))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads for all hosts of a test."""
    with ThreadPoolExecutor(6) as made:
        yield made


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_all_hosts_hold_the_same_sum(pool: ThreadPoolExecutor, kind: type[np.floating]) -> None:
    """To the last bit, of arrays that no buffer of a connection holds at once."""
    random = np.random.default_rng(1)
    given = [random.normal(size=600_000).astype(kind) for _ in range(3)]
    sums = [
        found.result()
        for found in start(
            pool, ("algo-1", "algo-2", "algo-3"), lambda host: host.all_reduce(given[host.rank])
        )
    ]
    assert all(np.array_equal(each, (given[0] + given[1]) + given[2]) for each in sums)


def test_a_job_of_one_host_opens_nothing() -> None:
    """Protects what most jobs are."""
    with connect(ResourceConfig()) as alone:
        assert (alone.rank, alone.size, alone.peers) == (0, 1, {})
        assert alone.all_reduce(np.arange(3.0)).tolist() == [0, 1, 2]


def test_jobs_that_look_for_the_same_ports_do_not_mix(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects two trainings at once on one machine, among them other projects'."""
    monkeypatch.setattr(process_group, "_ports", lambda _: SHARED)
    both = threading.Barrier(4)  # no job is over before the other has begun

    def add(host: ProcessGroup) -> Any:
        both.wait(20)
        return host.all_reduce(np.array([float(host.names[host.rank][-1])])).tolist()

    first, second = (start(pool, hosts, add) for hosts in (("algo-1", "algo-2"), ("algo-3", "algo-4")))
    assert [found.result() for found in (*first, *second)] == [[3.0], [3.0], [7.0], [7.0]]


def test_strangers_are_passed_over(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from another program on the port, and from one that connects and says something else."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        other.settimeout(20)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            ports = [each.getsockname()[1] for each in (other, free)]
        monkeypatch.setattr(process_group, "_ports", lambda _: ports)
        first = pool.submit(lambda: connect(ResourceConfig("algo-1", ("algo-1", "algo-2"), "lo")))
        while not (caller := called(ports[1])):
            assert not first.done()
        with caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            second = pool.submit(lambda: connect(ResourceConfig("algo-2", ("algo-1", "algo-2"), "lo")))
            asking, _ = other.accept()
            with asking:
                asking.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            with first.result(20) as one, second.result(20) as two:
                adding = pool.submit(one.all_reduce, np.array([1.0]))
                assert two.all_reduce(np.array([2.0])).tolist() == adding.result(20).tolist() == [3.0]


def called(port: int) -> socket.socket | None:
    """Return a connection to a port, once something listens there."""
    try:
        return socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None


@pytest.mark.parametrize("leaving", [0, 1])
def test_a_host_that_ends_ends_the_others(pool: ThreadPoolExecutor, leaving: int) -> None:
    """Protects from instances that are paid for until the job's time limit: all of them notice at once."""

    def work(host: ProcessGroup) -> object:
        host.all_reduce(np.ones(3))
        return None if host.rank == leaving else host.all_reduce(np.ones(3))

    running = start(pool, ("algo-1", "algo-2", "algo-3"), work)
    for rank, found in enumerate(running):
        if rank == leaving:
            assert found.result(20) is None
        else:
            with pytest.raises(HostError, match=r"host algo-[12] has left before the training was complete"):
                found.result(20)


def test_a_host_that_hangs_or_never_comes_is_named(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from waiting without end where no connection is closed."""
    monkeypatch.setattr(process_group, "TIMEOUT_SECONDS", 0.5)
    hangs = threading.Event()

    def work(host: ProcessGroup) -> object:
        return hangs.wait(20) if host.rank else host.all_reduce(np.ones(3))

    first, _ = start(pool, ("algo-1", "algo-2"), work)
    with pytest.raises(HostError, match="host algo-2 has been silent for"):
        first.result(20)
    hangs.set()
    with pytest.raises(HostError, match=r"algo-2, algo-3 did not come within"):
        connect(ResourceConfig("algo-1", ("algo-1", "algo-2", "algo-3"), "lo"))
    with pytest.raises(HostError, match=r"the first host, 127\.0\.0\.1, did not answer within"):
        connect(ResourceConfig("algo-2", ("algo-1", "algo-2"), "lo"))
