#!/usr/bin/env bash
# The SageMaker SDK's Endpoint serializes a request as CSV and does not say so: Content-Type and Accept are not sent.
#
# CSVSerializer.CONTENT_TYPE is documented as the media type of the data sent to the endpoint, and the deserializer's
# ACCEPT as the types expected back. Version 2's Predictor sent both, and version 3's local endpoint sends them to its
# container. Endpoint.invoke uses the serializer for the body alone, so the container has to guess both formats.
#
# Seen with sagemaker-core 2.27.0 (of sagemaker 3.27.0), boto3 1.44.8, Python 3.11, as Content-Type, Accept and body:
#   serializer and deserializer: None None b'1.5,2\n3,4'
#   the same, and content_type="text/csv": text/csv None b'1.5,2\n3,4'
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check sagemaker-core==2.27.0 boto3==1.44.8
cat > "$folder/invoke.py" <<'PYTHON'
import http.server
import os
import sys
import threading

import boto3
from sagemaker.core.deserializers import JSONDeserializer
from sagemaker.core.resources import Endpoint
from sagemaker.core.serializers import CSVSerializer

requests = []


class Runtime(http.server.BaseHTTPRequestHandler):
    """Answer InvokeEndpoint as SageMaker does, with the container's body and media type."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        requests.append((self.headers.get("Content-Type"), self.headers.get("Accept"), body))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"[0.5, 0.1]")

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Runtime)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
aws = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
endpoint = Endpoint(endpoint_name="e", serializer=CSVSerializer(), deserializer=JSONDeserializer())
rows = [[1.5, 2], [3, 4]]
answers = [endpoint.invoke(rows, session=aws).body, endpoint.invoke(rows, content_type="text/csv", session=aws).body]
for name, request in zip(("serializer and deserializer", 'the same, and content_type="text/csv"'), requests):
    print(f"{name}:", *request)
body = b"1.5,2\n3,4"
sys.exit(requests != [(None, None, body), ("text/csv", None, body)] or answers != [[0.5, 0.1]] * 2)
PYTHON
cd "$folder"
env -i PATH="$PATH" HOME="$folder" TMPDIR="$folder" "$folder/venv/bin/python" -W ignore invoke.py
