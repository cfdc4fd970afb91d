"""Protects: no request in flight is lost, no worker stays dead, and none outlives its parent."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container import model_artifact, models
from container.data.schema import Feature, Schema, Target

Start = Callable[..., Any]

PLAIN = "1,2,3,4,5,6,7,8"
SLOW, HANG, RAISE, DIE, SLOWER = (f"{1e6 + number},2,3,4,5,6,7,8" for number in (1, 2, 3, 4, 5))
SLOW_BIG = "\n".join([SLOW] + [PLAIN] * 4000)  # too big for the event loop


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):  # a zombie whose new parent does not reap it has ended, too
        if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sigterm_finishes_the_request_in_flight(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="2").ready()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(server.predict, SLOW)
        slow_big = pool.submit(server.predict, SLOW_BIG)
        time.sleep(0.3)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 4
        assert slow.result().status == 200
        assert slow_big.result().status == 200
    with pytest.raises(ConnectionRefusedError):
        server.ask("GET", "/ping")
    assert not any(map(alive, server.workers))
    assert server.log.splitlines()[-1] == "stopped"


def test_sigterm_does_not_wait_for_ever(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_GRACE="1").ready()
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(server.predict, SLOW_BIG.replace(SLOW, HANG))
        time.sleep(0.3)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 4
        assert hanging.exception() is not None or hanging.result().status >= 500
    assert not any(map(alive, server.workers))


@pytest.mark.parametrize("busy", [False, True])
def test_workers_end_when_their_parent_is_killed(start: Start, *, busy: bool) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="2").ready()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(server.predict, SLOW if busy else PLAIN)
        time.sleep(0.2)
        server.process.kill()
        server.process.wait()
        server.wait_for(lambda: not any(map(alive, server.workers)))
        assert slow.result().status == 200


def test_few_connections_are_shared_by_the_workers(start: Start) -> None:
    """Protects the use of all processors: a connection stays with the worker that accepts it."""
    server = start("numeric", MODEL_SERVER_WORKERS="2").ready()
    connections = [server.connect() for _ in range(8)]
    for connection in connections:
        connection.connect()
    for connection in connections * 5:
        connection.request("POST", "/invocations", PLAIN, {"content-type": "text/csv"})
        connection.getresponse().read()
    assert server.stop() == 0
    served = [
        int(count) for count in re.findall(r"^worker-stopped .*requests=(\d+)", server.log, re.MULTILINE)
    ]
    assert sum(served) == 40
    assert min(served) >= 10


def test_a_killed_worker_is_replaced_and_no_request_is_lost(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="2").ready()
    os.kill(server.workers[0], signal.SIGKILL)
    for _ in range(40):
        assert server.predict(PLAIN).status == 200
    server.wait_for(lambda: len(server.workers) == 3)
    server.wait_for(lambda: all(map(alive, server.workers[1:])))
    assert "worker-died" in server.log


def test_a_request_that_kills_its_worker_takes_no_other_with_it(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="2").ready()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            server.predict(DIE)
        assert server.predict(PLAIN).body == b"204.0"
    server.wait_for(lambda: len(server.workers) == 4)


def test_a_model_that_hangs_is_a_503_and_a_new_worker(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_TIMEOUT="1").ready()
    reply = server.predict(SLOW_BIG.replace(SLOW, HANG))
    assert (reply.status, reply.json["error"]["code"]) == (503, "timeout")
    server.wait_for(lambda: len(server.workers) == 2)
    assert server.predict(PLAIN).status == 200


def test_a_model_that_hangs_is_replaced_also_when_its_caller_has_gone(start: Start) -> None:
    """Protects later callers: a caller that closes before the timeout leaves its prediction running."""
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_TIMEOUT="1").ready()
    with contextlib.closing(server.connect()) as connection:
        body = SLOW_BIG.replace(SLOW, HANG)
        connection.request("POST", "/invocations", body, {"content-type": "text/csv"})
        time.sleep(0.3)
    server.wait_for(lambda: len(server.workers) == 2)
    assert server.predict(PLAIN).status == 200


def test_requests_of_callers_that_have_gone_do_not_pile_up(start: Start) -> None:
    """Protects memory: requests behind a slow one count until the thread has reached them."""
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_QUEUE="3").ready()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(server.predict, SLOW_BIG.replace(SLOW, SLOWER))
        time.sleep(0.3)
        for _ in range(2):
            with contextlib.closing(server.connect()) as connection:
                connection.request("POST", "/invocations", SLOW_BIG, {"content-type": "text/csv"})
                time.sleep(0.2)
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.predict(SLOW_BIG).status == 503
        assert slow.result().status == 200
    assert server.predict(PLAIN).status == 200
    assert server.stop() == 0
    assert "failed=0" in server.log


def test_waiting_bodies_take_a_bounded_memory(start: Start) -> None:
    """Protects memory: large bodies are limited by their bytes, below the number of small ones."""
    bodies = [SLOW_BIG.replace(SLOW, SLOWER), *[SLOW_BIG.replace(SLOW, PLAIN)] * 24]
    most = str(len(bodies[0]))
    server = start("numeric", MODEL_SERVER_WORKERS="1", MAX_CONTENT_LENGTH=most).ready()
    with ThreadPoolExecutor(len(bodies)) as pool:
        replies = list(pool.map(lambda body: server.predict(body).status, bodies))
    assert {200, 503} == set(replies)


def test_what_no_answer_would_fit_is_not_scored(start: Start) -> None:
    """Protects the thread: a prediction would fail here, as a request of fewer rows shows."""
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_MAX_ANSWER="2000").ready()
    assert server.predict("\n".join([RAISE] * 500)).status == 500
    refused = server.predict("\n".join([RAISE] * 501))
    assert (refused.status, refused.json["error"]["code"]) == (413, "answer-too-large")
    assert server.predict(PLAIN).status == 200
    server.stop()
    assert "refused=1" in server.log


@pytest.mark.parametrize("sent", [b"", b"host: x\r\ncontent-type: text/csv\r\ncontent-length: 9\r\n\r\n1,2"])
def test_a_request_that_does_not_come_whole_is_a_408(start: Start, sent: bytes) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_TIMEOUT="1").ready()
    assert server.raw(b"POST /invocations HTTP/1.1\r\n" + sent).startswith(b"HTTP/1.1 408 ")


def test_big_requests_leave_ping_alone_and_do_not_queue_up(start: Start) -> None:
    server = start("numeric", MODEL_SERVER_WORKERS="1", MODEL_SERVER_QUEUE="1").ready()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(server.predict, SLOW_BIG)
        time.sleep(0.3)
        started = time.monotonic()
        assert server.ask("GET", "/ping").status == 200
        refused = server.predict(SLOW_BIG)
        assert time.monotonic() - started < 0.5
        assert slow.result().status == 200
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json["error"]["code"] == "overloaded"


def test_what_keeps_a_server_from_starting_is_one_line(start: Start) -> None:
    """Protects the error's text: a port in use, a missing model, workers that end at once, a bad setting."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        servers = [
            (
                start("numeric", SAGEMAKER_BIND_TO_PORT=port),
                f"error: cannot serve on 127.0.0.1:{port}: Address already in use",
            ),
            (start("broken"), "error: model.json is missing"),
            (
                start("dying", MODEL_SERVER_WORKERS="2"),
                "error: 5 workers in a row ended at once (exit code 7)",
            ),
            (start("numeric", MODEL_SERVER_WORKERS="many"), "error: MODEL_SERVER_WORKERS is 'many'"),
        ]
        for server, reason in servers:
            assert server.process.wait(15) == 1
            assert server.log.splitlines()[-1].startswith(reason)
            assert "Traceback" not in server.log


def test_classes_are_answered_with_probabilities(start: Start) -> None:
    server = start("classes", MODEL_SERVER_WORKERS="1").ready()
    reply = server.predict('size,sex,day\n1,X,2024-01-01\n,"M",', accept="application/json")
    assert (reply.headers["x-unknown-values"], reply.headers["x-missing-values"]) == ("1", "2")
    for row in reply.json["predictions"]:
        assert row["probabilities"][row["label"]] == max(row["probabilities"].values())
    assert server.stop() == 0
    assert "missing=2 unknown=1" in server.log


def test_dates_and_booleans_of_json_are_those_of_the_training(start: Start) -> None:
    """Protects from counting unknown what other programs write of a date and of a boolean."""
    server = start("typed", MODEL_SERVER_WORKERS="1").ready()
    rows: list[list[object]] = [
        ["2024-01-31", "True", 1],
        [1706659200000, 1, True],
        [1706659200, True, "yes"],
        ["2024-01-31T00:00:00Z", "1", "true"],
    ]
    reply = server.predict(json.dumps({"instances": rows}), "application/json")
    assert reply.json["predictions"] == [1706659200.0 + 2 * 1 + 3 * 1] * 4
    assert {"x-unknown-values", "x-missing-values"}.isdisjoint(reply.headers)


def test_the_command_serves_a_trained_model_to_the_last_bit(start: Start, tmp_path: Path) -> None:
    """Protects the whole path: the artifact in <base>/model, the command, and its predictions."""
    schema = Schema(
        Target("y", "regression"),
        (Feature("size", "numeric"), Feature("sex", "categorical", ("F", "I", "M"))),
    )
    random = np.random.default_rng(3)
    rows = np.column_stack([random.normal(size=100), random.integers(0, 3, 100).astype(float)])
    module = models.module("gradient_boosting")
    model = module.create(schema, module.Hyperparameters(max_iter=5), 1)
    model.fit(rows, rows @ [1.5, -2.0] + random.normal(size=100), None)
    directory = tmp_path / "model"
    directory.mkdir()
    model.save(directory)
    schema.write(directory / "schema.json")
    (directory / "model.json").write_text('{"version": 1, "model": "gradient_boosting"}')
    server = start(
        "-m", "container", "serve", SAGEMAKER_BASE_DIR=str(tmp_path), MODEL_SERVER_WORKERS="1"
    ).ready()
    expected = model_artifact.load(directory).predict(rows)
    sexes = schema.features[1].categories or ()
    body = "".join(f"{size!r},{sexes[int(sex)]}\n" for size, sex in rows.tolist())
    assert [float(line).hex() for line in server.predict(body).body.split()] == [
        float(y).hex() for y in expected
    ]
    one_by_one = [server.predict(line).body for line in body.splitlines()[:20]]
    assert [float(answer).hex() for answer in one_by_one] == [float(y).hex() for y in expected[:20]]
    assert server.stop() == 0
