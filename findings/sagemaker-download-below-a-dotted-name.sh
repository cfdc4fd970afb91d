#!/usr/bin/env bash
# The SageMaker SDK downloads s3://bucket/models/v1.2 without its subfolders: files of one name overwrite each other.
#
# S3Downloader.download and Session.download_data are documented for a file or a directory, and keep the folders below
# models/v1. A dot in the last part of the prefix makes it a file: each object goes to its bare name, the later one
# wins, and the list that is returned names one path twice. Versions and dates have such dots. With a slash at the end
# the folders are kept.
#
# Seen with sagemaker-core 2.27.0 (of sagemaker 3.27.0), boto3 1.44.8, Python 3.11, as prefix and files on the disk:
#   models/v1 {'cat/weights.npy': b'cat', 'dog/weights.npy': b'dog'}
#   models/v1.2 {'weights.npy': b'dog'}
#   models/v1.2/ {'cat/weights.npy': b'cat', 'dog/weights.npy': b'dog'}
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check sagemaker-core==2.27.0 boto3==1.44.8
cat > "$folder/download.py" <<'PYTHON'
import io
import pathlib
import sys
import tempfile

import boto3
from botocore.response import StreamingBody
from botocore.stub import Stubber
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.s3 import S3Downloader

OBJECTS = {"cat/weights.npy": b"cat", "dog/weights.npy": b"dog"}
aws = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")


def downloaded(prefix):
    """Return the files that a download of the prefix leaves, S3's answers being botocore's stubs."""
    session, folder = Session(boto_session=aws, default_bucket="other"), pathlib.Path(tempfile.mkdtemp())
    with Stubber(session.s3_client) as s3:
        keys = [{"Key": f"{prefix.rstrip('/')}/{name}", "Size": len(body)} for name, body in OBJECTS.items()]
        s3.add_response("list_objects_v2", {"Contents": keys}, {"Bucket": "bucket", "Prefix": prefix})
        for body in OBJECTS.values():
            s3.add_response("head_object", {"ContentLength": len(body), "ETag": '"e"'})
            stream = StreamingBody(io.BytesIO(body), len(body))
            s3.add_response("get_object", {"ContentLength": len(body), "Body": stream})
        S3Downloader.download(f"s3://bucket/{prefix}", str(folder), sagemaker_session=session)
        s3.assert_no_pending_responses()
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.npy"))}


seen = {prefix: downloaded(prefix) for prefix in ("models/v1", "models/v1.2", "models/v1.2/")}
for prefix, files in seen.items():
    print(prefix, files)
sys.exit(list(seen.values()) != [OBJECTS, {"weights.npy": b"dog"}, OBJECTS])
PYTHON
cd "$folder"
env -i PATH="$PATH" HOME="$folder" TMPDIR="$folder" "$folder/venv/bin/python" -W ignore download.py
