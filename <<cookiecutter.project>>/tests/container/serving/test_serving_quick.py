"""Protects: the server's fast paths respond as the slow one does: with the same bytes, counts and errors."""

import copy
import re
import socket
import time
from typing import Any, TypeAlias

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from container import model_artifact, models
from container.data.schema import Feature, Schema, Target
from container.inference.native import serialization
from container.inference.native.library import UnavailableError
from container.inference.native.load import load
from container.payload import fast_path
from container.payload.errors import RequestError
from container.serving.service import TableService

try:
    load()
except UnavailableError as unavailable:
    pytest.skip(str(unavailable), allow_module_level=True)

SCHEMA = Schema(Target("y", "regression"), tuple(Feature(name, "numeric") for name in ("a", "b", "0")))
CELLS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(
        ["", " ", "NA", "null", "1.", ".5", "+1", "007", "-0", "-0.0", " 2 ", "1e999", "1e5", "x", '"1"']
    ),
)
ROWS = st.lists(
    st.lists(CELLS, min_size=2, max_size=4) | st.tuples(CELLS, CELLS, CELLS).map(list), max_size=30
)
Pair: TypeAlias = tuple[TableService, TableService]
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", " \n", "\r"])


# LiteRT runs networks, without these fast paths.
@pytest.fixture(
    scope="module", params=[name for name in models.available() if name != "multilayer_perceptron"]
)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a service that takes the fast paths, and one that takes none."""
    directory = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(6)
    rows = random.normal(size=(80, 3))
    rows[::7, 1] = np.nan
    module = models.module(request.param)
    few = {"random_forest": {"n_estimators": 5}, "gradient_boosting": {"max_iter": 5}}.get(request.param, {})
    model: Any = module.create(SCHEMA, module.Hyperparameters(**few), 0)
    model.fit(rows, random.normal(size=80), None)
    model.save(directory)
    serialization.write(directory, model.compiled())
    SCHEMA.write(directory / model_artifact.SCHEMA)
    (directory / model_artifact.MODEL).write_text(
        f'{{"version": 1, "model": "{request.param}"}}', encoding="utf-8"
    )
    quick, slow = TableService(model_artifact.load(directory)), TableService(model_artifact.load(directory))
    assert quick.fast_path is not None
    slow.fast_path = slow.decoder.parser = None
    slow.predict = module.LOADED.load(directory, SCHEMA).predict
    return quick, slow


def outcome(service: TableService, body: bytes, kind: bytes, accept: bytes = b"") -> Any:
    try:
        return service.respond(body, kind, accept)
    except RequestError as error:
        return vars(error)


@settings(max_examples=150)
@given(ROWS, ENDS, st.booleans())
def test_rows_of_csv(services: Pair, rows: list[list[str]], end: str, ended: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    quick, slow = services
    body = (end.join(",".join(row) for row in rows) + end * ended).encode()
    for kind in (b"text/csv", b"text/csv; header=absent", b"text/csv; header=present"):
        for accept in (b"", b"application/json"):
            assert outcome(quick, body, kind, accept) == outcome(slow, body, kind, accept)
    assert vars_of(quick) == vars_of(slow)


@settings(max_examples=150)
@given(
    ROWS,
    st.sampled_from(
        ['{"instances": %s}', "%s", ' { "instances" :\n%s } ', '{"instances": %s', '{"rows": %s}']
    ),
)
def test_rows_of_json(services: Pair, rows: list[list[str]], form: str) -> None:
    quick, slow = services
    body = form % ("[" + ", ".join(f"[{','.join(row)}]" for row in rows) + "]")
    assert outcome(quick, body.encode(), b"application/json") == outcome(
        slow, body.encode(), b"application/json"
    )
    assert vars_of(quick) == vars_of(slow)


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3).map(list), min_size=1, max_size=40))
def test_rows_of_numbers(services: Pair, rows: list[list[float]]) -> None:
    """Protects requests on both sides of the fast path's limits."""
    quick, slow = services
    for body, kind in (
        ("\n".join(",".join(map(repr, row)) for row in rows), b"text/csv"),
        (f'{{"instances": {rows}}}', b"application/json"),
    ):
        assert outcome(quick, body.encode(), kind) == outcome(slow, body.encode(), kind)


def vars_of(service: TableService) -> list[int]:
    totals = service.totals
    return [totals.rows, totals.missing, totals.unknown]


@pytest.mark.parametrize("part", ["predict", "predict_into", "to_rows"])
def test_an_overridden_prediction_is_not_bypassed(services: Pair, part: str) -> None:
    """Protects a subclass of a predictor, which does more than its base class."""
    model: Any = copy.copy(services[0].artifact.model)
    model.__class__ = type("Own", (type(model),), {part: getattr(type(model), part)})
    assert fast_path.create(model) is None


def table(rows: list[list[str]]) -> bytes:
    return "\n".join(map(",".join, rows)).encode()


def instances(rows: list[list[str]]) -> bytes:
    return b'{"instances": [%b]}' % ",".join(f"[{','.join(row)}]" for row in rows).encode()


WIDE = st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=20)
PLAIN = st.lists(st.lists(st.integers(0, 99).map(str), min_size=8, max_size=8), min_size=1, max_size=20)
ODD = st.sampled_from([b"", b" ", b"a,b\n1,2", b"1,2,3,4,5,6,7,8,9", b"1," * 1600, b"{", b"\xff"])
BODIES = st.one_of((WIDE | PLAIN).map(table), (WIDE | PLAIN).map(instances), ODD)
HEADERS = ["text/csv; header=absent", "text/csv; header=present"]
TYPES = ["text/csv", *HEADERS, "application/json", "image/png", ""]
ACCEPTS = ["", "*/*", "application/json", "text/csv;q=0.5, application/json;q=0.1", "image/png"]


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw a request, and after how many of its bytes there is a pause."""
    others = [b"GET /ping", b"POST /invocations?x=1", b"PUT /a"]
    line = draw(st.sampled_from([b"POST /invocations"] * 6 + others))
    body = draw(BODIES)
    headers = {
        "Content-Type": draw(st.sampled_from(TYPES)),
        "Accept": draw(st.sampled_from(ACCEPTS)),
        "X-Amzn-SageMaker-Inference-Id": draw(st.sampled_from(["", "one", "golden-2"])),
        "Expect": draw(st.sampled_from(["", "", "", "100-continue"])),
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value]
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    sent = b"%b HTTP/1.1\r\nHost: x\r\n%b%b%b" % (line, "".join(lines).encode(), length, body)
    return sent, draw(st.just(0) | st.integers(0, len(sent)))


def test_on_the_wire(pair: tuple[Any, Any]) -> None:
    """Protects status, headers, body and counts of each request, also of one whose head is cached."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(messages(), min_size=1, max_size=4), st.integers(1, 3))
    def check(sent: list[tuple[bytes, int]], times: int) -> None:
        quick, slow = (converse(server.port, sent * times) for server in pair)
        assert quick == slow

    check()
    counts = []
    for server in pair:
        assert server.stop() == 0
        counts += re.findall(r"^worker-stopped pid=\d+ (.*)", server.log, re.MULTILINE)
    assert len(counts) == 2
    assert counts[0] == counts[1]


def converse(port: int, sent: list[tuple[bytes, int]]) -> list[bytes]:
    """Send requests over one connection, each behind the answer to that before it; return the answers."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = connection.makefile("rb")
        for message, pause in sent:
            connection.sendall(message[:pause])
            time.sleep(0.001 if pause else 0)
            connection.sendall(message[pause:])
            answer = b"".join(iter(file.readline, b"\r\n"))
            if answer.startswith(b"HTTP/1.1 100 "):
                answer += b"".join(iter(file.readline, b"\r\n"))
            (length,) = re.findall(rb"content-length: (\d+)", answer)
            answers.append(re.sub(rb"date: .*", b"", answer) + file.read(int(length)))
            if b"connection: close" in answer:
                break
    return answers
