"""Protects: the HTTP contract of an endpoint, on a running server that all tests here share."""

import json
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

ROW = [8.3252, 41.0, 6.98412698, 1.02380952, 322.0, 2.55555556, 37.88, -122.23]
LINE = ",".join(map(repr, ROW))
ANSWER = sum(place * value for place, value in enumerate(ROW, start=1))
RAISE = 1e6 + 3


def test_ping_says_that_the_model_is_loaded(shared: Any) -> None:
    assert shared.ask("GET", "/ping").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/ping", 405, "GET"),
        ("GET", "/invocations", 405, "POST"),
        ("DELETE", "/invocations", 405, "POST"),
        ("GET", "/", 404, None),
        ("POST", "/models/a/invoke", 404, None),
    ],
)
def test_other_paths_and_methods(shared: Any, method: str, path: str, status: int, allow: str | None) -> None:
    reply = shared.ask(method, path)
    assert (reply.status, reply.headers.get("allow")) == (status, allow)
    assert reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", LINE),
        ("text/csv", f"a,b,c,d,e,f,g,h\n{LINE}\n"),
        ("text/csv", f"h,g,f,e,d,c,b,a,id\n{','.join(map(repr, reversed(ROW)))},7"),
        ("text/csv", f",a,b,c,d,e,f,g,h\n0,{LINE}\n"),
        ("application/json", json.dumps({"instances": [ROW]})),
        ("application/json", json.dumps({"instances": [dict(zip("hgfedcba", reversed(ROW), strict=True))]})),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "*/*"])
def test_every_form_gives_the_same_number(shared: Any, kind: str, body: str, accept: str) -> None:
    reply = shared.predict(body, kind, accept=accept)
    assert reply.status == 200
    answered = kind if accept == "*/*" else accept
    assert reply.headers["content-type"].startswith(answered)
    number = reply.json["predictions"][0] if answered == "application/json" else float(reply.body)
    assert number == pytest.approx(ANSWER, rel=1e-12)


def test_what_pandas_writes_is_read(shared: Any) -> None:
    """NaN is missing, and an index by position is named as the cause of a wrong width."""
    reply = shared.predict(f'{{"instances": [[NaN, {LINE.partition(",")[2]}]]}}', "application/json")
    assert (reply.status, reply.headers["x-missing-values"]) == (200, "1")
    reply = shared.predict(f"0,{LINE}\n")
    assert reply.status == 400
    assert "to_csv(index=False)" in reply.json["error"]["message"]
    reply = shared.predict(LINE.replace(",", ";"))
    assert "separated by semicolons" in reply.json["error"]["message"]


def test_missing_and_extra_values_are_told_in_headers(shared: Any) -> None:
    reply = shared.predict("a,c,id\n1,,x\n2,3,y")
    assert reply.status == 200
    assert reply.headers["x-missing-values"] == "13"
    assert reply.headers["x-extra-columns"] == "1"
    assert "x-unknown-values" not in reply.headers


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (("text/csv", "", "*/*"), 400, {"code": "empty-body"}),
        (("text/csv", f"{LINE}\n1,2", "*/*"), 400, {"code": "wrong-width", "row": 2}),
        (
            ("text/csv", f"{LINE}\n{LINE.replace('41.0', 'old')}", "*/*"),
            400,
            {"code": "not-a-number", "row": 2, "column": "b"},
        ),
        (("application/json", "{", "*/*"), 400, {"code": "invalid-json"}),
        (("application/octet-stream", LINE, "*/*"), 415, {"code": "unsupported-media-type"}),
        (("text/csv", LINE, "image/png"), 406, {"code": "not-acceptable"}),
    ],
)
def test_refusals_are_json_with_the_place(
    shared: Any, sent: tuple[str, str, str], status: int, error: dict[str, Any]
) -> None:
    kind, body, accept = sent
    reply = shared.predict(body, kind, accept=accept)
    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    facts = reply.json["error"]
    assert facts.pop("message")
    assert facts == error


def test_a_failing_model_is_a_500_without_its_insides(shared: Any) -> None:
    reply = shared.predict(LINE.replace("8.3252", str(RAISE)))
    assert reply.status == 500
    assert reply.json["error"]["code"] == "model-error"
    assert b"too much" not in reply.body
    (problem,) = [line for line in shared.log.splitlines() if line.startswith("failed")]
    assert "ValueError: this row is too much for me" in problem
    assert "Traceback" not in shared.log


def test_a_too_large_body_is_refused_before_it_is_sent(shared: Any) -> None:
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\nexpect: 100-continue\r\n"
    reply = shared.raw(head + b"content-length: 100000000\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert b"too-large" in reply


def test_a_too_large_body_in_pieces_is_refused(shared: Any) -> None:
    def pieces() -> Any:
        for _ in range(8):
            yield b"1," * 500_000

    try:
        reply = shared.predict(pieces())
    except ConnectionError:
        return  # the answer came while pieces were still sent, and the connection was cut
    assert reply.status == 413


def test_a_large_request_is_answered_whole(shared: Any) -> None:
    reply = shared.predict("\n".join(f"{number},2,3,4,5,6,7,8" for number in range(50_000)))
    assert reply.status == 200
    assert [float(line) for line in reply.body.split()] == [203.0 + number for number in range(50_000)]


def test_an_answer_above_the_limit_is_refused(shared: Any) -> None:
    """Protects callers behind a function, whose response has a limit: the error asks for fewer rows."""
    reply = shared.predict("c\n" + "0.1\n" * 320_000)
    assert (reply.status, reply.json["error"]["code"]) == (413, "answer-too-large")
    assert reply.json["error"]["message"].endswith("6291456 bytes; send fewer rows at a time")
    assert shared.predict(LINE).status == 200


def test_garbage_on_the_wire_is_a_400(shared: Any) -> None:
    assert shared.raw(b"\x16\x03\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert shared.raw(b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 40"
    )
    assert shared.ask("GET", "/ping").status == 200


@given(st.binary(max_size=80), st.sampled_from(["text/csv", "application/json"]))
@settings(max_examples=60, deadline=None)
def test_any_body_is_answered(shared: Any, body: bytes, kind: str) -> None:
    assert shared.predict(body, kind).status in {200, 400}


def test_callers_at_a_time_get_their_own_answers(shared: Any) -> None:
    def caller(number: int) -> list[float]:
        connection = shared.connect()
        answers = []
        for step in range(25):
            connection.request(
                "POST", "/invocations", f"{number},{step},0,0,0,0,0,0", {"content-type": "text/csv"}
            )
            answers.append(float(connection.getresponse().read()))
        connection.close()
        return answers

    with ThreadPoolExecutor(16) as pool:
        for number, answers in enumerate(pool.map(caller, range(16))):
            assert answers == [number + 2.0 * step for step in range(25)]


HEAD = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n"
SLOW_BODY = ("\n".join([f"{1e6 + 1},2,3,4,5,6,7,8"] + ["1,2,3,4,5,6,7,8"] * 4000)).encode()


def sent(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    return HEAD + lines + b"content-length: %d\r\n\r\n" % len(body) + body


def test_ping_says_which_form_serves_and_why(shared: Any) -> None:
    headers = shared.ask("GET", "/ping").headers
    assert (headers["x-serving-form"], headers["x-serving-form-reason"]) == (
        "portable",
        "it has no other form",
    )
    assert "serving-form form=portable reason='it has no other form'" in shared.log


def test_requests_in_one_packet_are_answered_in_their_order(shared: Any) -> None:
    """Also after one that the thread predicts, and with an error among them."""
    bodies = (b"1,0,0,0,0,0,0,0", SLOW_BODY, b"2,0,0,0,0,0,0,0", b"x", b"3,0,0,0,0,0,0,0")
    *first, last = bodies
    reply = shared.raw(b"".join(map(sent, first)) + sent(last, b"connection: close"))
    statuses = [part[:3] for part in reply.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"400", b"200"]
    answers = [part.partition(b"\r\n\r\n")[2] for part in reply.split(b"HTTP/1.1 ")[1:]]
    assert [answers[0], answers[2], answers[4]] == [b"1.0", b"2.0", b"3.0"]
    assert answers[1].count(b"\n") == 4000


def test_a_caller_that_closes_its_side_gets_its_answer(shared: Any) -> None:
    for body in (LINE.encode(), SLOW_BODY):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
            connection.sendall(sent(body))
            connection.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        assert reply.startswith(b"HTTP/1.1 200 ")


def test_a_head_without_an_end_is_refused(shared: Any) -> None:
    """Protects memory: a body has a limit, and so have the headers."""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        connection.sendall(HEAD)
        for _ in range(40):
            connection.sendall(b"x-more: " + b"a" * 4000 + b"\r\n")
            time.sleep(0.001)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 431 ")


def test_a_body_that_was_announced_is_asked_for(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        connection.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(LINE))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(LINE.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_body_in_pieces_on_the_wire_is_put_together(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        for byte in sent(LINE.encode()):
            connection.sendall(bytes([byte]))
        reply = connection.recv(65536)
    assert reply.startswith(b"HTTP/1.1 200 ")


OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAA\r\n"
WEBSOCKET = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"


@pytest.mark.parametrize("offer", [b"", OFFER])
def test_old_callers_are_answered_and_left(shared: Any, offer: bytes) -> None:
    """Protects callers that wait for the connection's end."""
    reply = shared.raw(b"GET /ping?x=1 HTTP/1.0\r\nhost: x\r\n" + offer + b"\r\n")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in reply
    reply = shared.raw(sent(LINE.encode(), offer.strip() or b"x: y").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert reply.endswith(b"\r\n\r\n%b" % repr(ANSWER).encode())


def in_chunks(body: bytes, size: int, *headers: bytes, coding: bytes = b"chunked") -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return HEAD + lines + b"transfer-encoding: %b\r\n\r\n%b" % (coding, chunks)


def bodies(reply: bytes) -> list[tuple[bytes, bytes]]:
    """Return the status and the body of each answer; no body here has the text that begins an answer."""
    return [(part[:3], part.partition(b"\r\n\r\n")[2]) for part in reply.split(b"HTTP/1.1 ")[1:]]


def in_packets(port: int, content: bytes, size: int) -> bytes:
    """Send bytes in packets of a size and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(content), size):
            connection.sendall(content[start : start + size])
            time.sleep(0.001)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("offer", [OFFER.strip(), WEBSOCKET.strip()])
@pytest.mark.parametrize("size", [40, 1_000_000])
def test_an_offer_of_another_protocol_is_ignored(shared: Any, offer: bytes, size: int) -> None:
    """Protects the bodies of Java's HttpClient and `curl --http2`, in one packet and in several."""
    rows = b"\n".join(b"%d,0,0,0,0,0,0,0" % number for number in range(1, 4))
    requests = [
        sent(rows, offer),
        in_chunks(rows, 7, offer),
        b"GET /ping HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n\r\n",
        sent(b"", offer),
        sent(LINE.encode()),
        sent(rows, offer),
        sent(LINE.encode(), offer.replace(b"pgrade", b"pgrade, close", 1)),
    ]
    answered = bodies(in_packets(shared.port, b"".join(requests), size))
    of_rows, of_line = (b"200", b"1.0\n2.0\n3.0"), (b"200", repr(ANSWER).encode())
    assert answered[:3] == [of_rows, of_rows, (b"200", b"")]
    assert answered[3][0] == b"400"
    assert b"empty-body" in answered[3][1]
    assert answered[4:] == [of_line, of_rows, of_line]


@pytest.mark.parametrize("chunk", [0, 10_000])
def test_a_large_body_behind_an_offer_arrives_whole(shared: Any, chunk: int) -> None:
    body = "\n".join(f"{number},2,3,4,5,6,7,8" for number in range(50_000)).encode()
    headers = (OFFER.strip(), b"expect: 100-continue")
    request = in_chunks(body, chunk, *headers) if chunk else sent(body, *headers)
    asked, answer, last = bodies(shared.raw(request + PING[:-2] + b"connection: close\r\n\r\n"))
    assert (asked, last) == ((b"100", b""), (b"200", b""))
    assert [float(line) for line in answer[1].split()] == [203.0 + number for number in range(50_000)]


def test_an_offer_lets_nothing_be_larger(shared: Any) -> None:
    reply = shared.raw(HEAD + OFFER + b"content-length: 100000000\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_a_client_that_offers_http_2_is_answered(shared: Any) -> None:
    """Protects `curl --http2`, where this machine has it."""
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.check_output([curl, "--version"], text=True):
        pytest.skip("curl with HTTP/2 is missing")
    rows = "\n".join([LINE] * 20_000)
    command = [curl, "-sS", "--http2", f"http://127.0.0.1:{shared.port}/invocations"]
    options = ["-H", "content-type: text/csv", "--data-binary", "@-", "-w", "\n%{http_code}"]
    done = subprocess.run([*command, *options], input=rows, capture_output=True, text=True, check=True)
    *answers, status = done.stdout.split("\n")
    assert (status, {float(line) for line in answers}, len(answers)) == ("200", {ANSWER}, 20_000)


def test_http_2_without_an_offer_is_refused(shared: Any) -> None:
    """Its first bytes are not an HTTP/1.1 request."""
    ((status, body),) = bodies(shared.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    assert (status, json.loads(body)["error"]["code"]) == (b"400", "invalid-http")


@pytest.mark.parametrize("coding", [b"chunked ", b"Chunked   ", b" \tchunked"])
def test_blanks_around_a_header_say_nothing(shared: Any, coding: bytes) -> None:
    reply = shared.raw(in_chunks(LINE.encode(), 9, coding=coding) + sent(LINE.encode(), b"connection: close"))
    assert bodies(reply) == [(b"200", repr(ANSWER).encode())] * 2


def test_blanks_behind_a_length_do_not_hide_it(shared: Any) -> None:
    """A body that is too large is refused before it is sent."""
    assert shared.raw(HEAD + b"content-length: 100000000 \r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_head_request_gets_no_body(shared: Any) -> None:
    reply = shared.raw(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 404 ")
    assert reply.endswith(b"\r\n\r\n")


def test_a_caller_that_reads_nothing_holds_no_more_than_its_own_answers(shared: Any) -> None:
    """Protects memory: the server stops reading from a caller that does not read, and serves the others."""
    body = "\n".join(["1,2,3,4,5,6,7,8"] * 2000).encode()
    with socket.create_connection(("127.0.0.1", shared.port), timeout=1) as connection:
        with pytest.raises(TimeoutError):  # noqa: PT012 - it is the sending that stops
            for _ in range(2000):
                connection.sendall(sent(body))
        assert shared.predict(LINE).status == 200
    assert shared.ask("GET", "/ping").status == 200


def test_a_head_that_came_before_is_no_more_than_its_bytes(shared: Any) -> None:
    """Protects the cache of heads: a body may be cut, another request may follow or differ."""
    body, other = b"1,0,0,0,0,0,0,0", b"2,0,0,0,0,0,0,0"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        received = connection.makefile("rb")

        def read() -> tuple[bytes, bytes]:
            status, length = received.readline().split()[1], 0
            while (line := received.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            return status, received.read(length)

        for _ in range(3):
            connection.sendall(sent(body))
            assert read() == (b"200", b"1.0")
            connection.sendall(sent(other)[:-3])
            time.sleep(0.02)
            connection.sendall(sent(other)[-3:])
            assert read() == (b"200", b"2.0")
            connection.sendall(sent(body) + sent(other))
            assert [read(), read()] == [(b"200", b"1.0"), (b"200", b"2.0")]
            connection.sendall(sent(body).replace(b"text/csv", b"text/xyz"))
            assert read()[0] == b"415"
            connection.sendall(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
            assert read() == (b"200", b"")


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n"
PING = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"content-length: 3\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length: 3\r\ncontent-length: 3\r\n\r\n1,2",
        HEAD + b"content-length: 3\r\ncontent-length: 0\r\n\r\n1,2",
        HEAD + b"content-length: 3, 3\r\n\r\n1,2",
        HEAD + b"content-length: +3\r\n\r\n1,2",
        HEAD + b"content-length: 0x3\r\n\r\n1,2",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n1,2",
        HEAD + b"content-length : 3\r\n\r\n1,2",
        HEAD + b"x: a\r\n content-length: 3\r\n\r\n1,2",
        HEAD + b"x: a\ncontent-length: 3\r\n\r\n1,2",
        HEAD + b"x: a\rcontent-length: 3\r\n\r\n1,2",
        HEAD + b"x: a\0\r\ncontent-length: 3\r\n\r\n1,2",
        HEAD.replace(b"\r\n", b"\n") + b"content-length: 3\n\n1,2",
        HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: , chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked x\r\n\r\n0\r\n\r\n",
        HEAD + OFFER + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + OFFER + b"transfer-encoding: chunked x\r\n\r\n0\r\n\r\n",
        HEAD + OFFER + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + OFFER + b"content-length: 3\r\ncontent-length: 3\r\n\r\n1,2",
        CHUNKED + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
        CHUNKED + b"\r\n3\n1,2\n0\n\n",
        CHUNKED + b"\r\n0x3\r\n1,2\r\n0\r\n\r\n",
        CHUNKED + b"\r\n3;a\nb\r\n1,2\r\n0\r\n\r\n",
        CHUNKED + b"\r\nfffffffffffffffff\r\n1,2\r\n0\r\n\r\n",
    ],
)
def test_a_request_whose_end_is_in_doubt_is_the_last(shared: Any, request_: bytes) -> None:
    """Protects callers behind a shared proxy: nothing in a body may become a request of its own."""
    reply = shared.raw(request_ + PING)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b'"invalid-http"' in reply
    assert reply.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "last", [sent(LINE.encode(), b"connection: close"), b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n"]
)
@pytest.mark.parametrize("more", [PING, HEAD + b"content-length: 999999999\r\n\r\n", b"\0"])
def test_what_comes_behind_the_last_request_is_not_answered(shared: Any, last: bytes, more: bytes) -> None:
    assert shared.raw(last + more).count(b"HTTP/1.1 ") == 1


def test_headers_behind_a_body_change_nothing(shared: Any) -> None:
    """Protects the meaning of a request: proxies do not inspect a trailer."""
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(LINE), LINE.encode())
    trailer = b"content-type: image/png\r\naccept: image/png\r\n\r\n"
    reply = shared.raw(CHUNKED + b"connection: close\r\n\r\n" + chunk + trailer)
    assert reply.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("part", [b"1;" + b"a" * 4000 + b"\r\n1\r\n", b"x: " + b"a" * 4000 + b"\r\n"])
def test_what_is_no_body_has_a_limit_as_well(shared: Any, part: bytes) -> None:
    """Protects memory and time: extensions of chunks, and headers behind the last."""
    start = CHUNKED + b"\r\n1\r\n1\r\n" + (b"" if b";" in part else b"0\r\n")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        connection.sendall(start)
        for _ in range(40):
            time.sleep(0.001)
            connection.sendall(part)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 431 ")


def test_small_chunks_of_a_body_are_no_head(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        connection.sendall(CHUNKED + b"connection: close\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in LINE.encode() + b"\n") * 20)
            time.sleep(0.001)
        connection.sendall(b"0\r\n\r\n")
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 ")


def test_a_head_behind_a_large_body_is_not_measured_by_it(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=15) as connection:
        connection.sendall(sent(b"1,2,3,4,5,6,7,8\n" * 8000) + PING[:-2])
        time.sleep(0.3)
        connection.sendall(b"connection: close\r\n\r\n")
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [part[:3] for part in reply.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
