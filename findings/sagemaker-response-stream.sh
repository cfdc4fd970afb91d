#!/usr/bin/env bash
# The SageMaker SDK's Endpoint.invoke_with_response_stream raises AttributeError after each valid answer.
#
# The method is documented to return an output whose body holds the parts. The request is sent, the model computes and
# answers, and then the SDK reads botocore's EventStream as if it were a dict, so the parts cannot be reached. The call
# below it, boto3's invoke_endpoint_with_response_stream, reads the same answer.
#
# Seen with sagemaker-core 2.27.0 (of sagemaker 3.27.0), boto3 1.44.8, Python 3.11:
#   boto3 [b'first ', b'second']
#   SDK AttributeError: 'EventStream' object has no attribute 'get'
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check sagemaker-core==2.27.0 boto3==1.44.8
cat > "$folder/stream.py" <<'PYTHON'
import http.server
import os
import struct
import sys
import threading
import zlib

import boto3
from sagemaker.core.resources import Endpoint

HEADERS = {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
PARTS = [b"first ", b"second"]


def message(payload):
    """Return a message of AWS's event stream encoding."""
    headers = b"".join(
        struct.pack(f">B{len(name)}sBH", len(name), name.encode(), 7, len(value)) + value.encode()
        for name, value in HEADERS.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


class Runtime(http.server.BaseHTTPRequestHandler):
    """Answer InvokeEndpointWithResponseStream as SageMaker does."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b"".join(map(message, PARTS))
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream")
        self.send_header("X-Amzn-SageMaker-Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Runtime)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
aws = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
events = aws.client("sagemaker-runtime").invoke_endpoint_with_response_stream(EndpointName="e", Body=b"1")["Body"]
parts = [event["PayloadPart"]["Bytes"] for event in events]
print("boto3", parts)
try:
    seen = repr(Endpoint(endpoint_name="e").invoke_with_response_stream(b"1", session=aws))
except AttributeError as error:
    seen = f"AttributeError: {error}"
print("SDK", seen)
sys.exit(parts != PARTS or seen != "AttributeError: 'EventStream' object has no attribute 'get'")
PYTHON
cd "$folder"
env -i PATH="$PATH" HOME="$folder" TMPDIR="$folder" "$folder/venv/bin/python" -W ignore stream.py
