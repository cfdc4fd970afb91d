"""The SageMaker SDK itself, in its own environment, against the local cloud."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from delivery import sagemaker_sdk

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "venvs" / "sdk" / "bin" / "python"


def archived(rig: Any, uri: str) -> Any:
    """Return what the script wrote into its model."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = rig.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        file = tar.extractfile("seen.json")
        assert file is not None
        return json.loads(file.read())


@pytest.mark.e2e
def test_the_sdk_trains_processes_deploys_and_registers(rig: Any, tmp_path: Path) -> None:
    """Protects notebooks: the SDK's own calls, waits and logs, on processes of this machine."""
    assert PYTHON.exists(), "make setup-sdk installs the SDK"
    settings = sagemaker_sdk.prepare(rig.cloud, tmp_path)
    users = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    image, result = rig.cloud.project.image, tmp_path / "result.json"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz"):
        pass
    rig.s3.put_object(Bucket=rig.bucket, Key="sdk/model.tar.gz", Body=packed.getvalue())
    ended = subprocess.run(
        [PYTHON, ROOT / "tests" / "sdk" / "program.py", "s3://artifacts/sdk/model.tar.gz", image, result],
        env={**users, **rig.cloud.environment, **settings.environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen = json.loads(result.read_text())
    artifacts = seen.pop("artifacts")
    assert artifacts.startswith(f"s3://{settings.bucket}/sdk-0/")
    assert archived(rig, artifacts) == {"data": "/opt/ml is data", "hps": {"seconds": 0, "list": [1, 2]}}
    assert seen == {
        "trained": "Completed",
        "stopped": "Stopped",
        "jobs": ["Completed", "Stopped"],
        "processed": "processed",
        "processing": ["Completed"],
        "answers": ["1,2", "3,4"],
        "updated": True,
        "package": "Approved",
        "groups": True,
        "packages": 1,
    }
    assert "the script runs" in ended.stdout + ended.stderr
