#!/usr/bin/env bash
# uvicorn drops the body of a request that offers HTTP/2 by Upgrade, when it parses with httptools.
#
# Java's HttpClient makes this offer with each request to an http address unless it is configured not to, and so does
# `curl --http2`. RFC 9110, section 7.8: a server may ignore the offer, and then the request is an ordinary one.
# uvicorn ignores the offer and calls the application, which reads an empty body: its Content-Length says 16 bytes.
# With h11 in place of httptools, which uvicorn takes where httptools is not installed, the body arrives.
#
# Seen with uvicorn 0.54.0, httptools 0.9.0, h11 0.16.0, Python 3.11:
#   httptools: the application read 0 of 16 bytes
#   h11: the application read 16 of 16 bytes
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cat > "$folder/offer.py" <<'PYTHON'
import socket
import sys
import threading
import time

import uvicorn

BODY = b"sixteen bytes ok"
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAA\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    text = b"%d" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


def read_by(parser):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, http=parser, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with socket.create_connection(listener.getsockname(), timeout=5) as connection:
        connection.sendall(REQUEST)
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2] and (part := connection.recv(65536)):
            answer += part
    server.should_exit = True
    thread.join(10)
    return int(answer.rpartition(b"\r\n")[2])


seen = {parser: read_by(parser) for parser in ("httptools", "h11")}
for parser, count in seen.items():
    print(f"{parser}: the application read {count} of {len(BODY)} bytes")
sys.exit(seen != {"httptools": 0, "h11": len(BODY)})
PYTHON
"$folder/venv/bin/python" "$folder/offer.py"
