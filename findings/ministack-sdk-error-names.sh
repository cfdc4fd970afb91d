#!/usr/bin/env bash
# In ministack's state machines, errors of SSM have the service's own code and not the name that Step Functions gives.
#
# Step Functions names an error of an `aws-sdk:` task as the AWS SDK for Java does: the service, a dot, and the name of
# the exception, which ends in "Exception". A missing parameter is Ssm.ParameterNotFoundException; executions on AWS
# that were recorded in public test suites show this name. SSM's own code is ParameterNotFound, and ministack puts the
# service before that code, so a Catch that works on AWS does not match.
#
# Seen with ministack 1.5.33, boto3 1.43.106, Python 3.11:
#   Ssm.ParameterNotFoundException: the execution FAILED
#   Ssm.ParameterNotFound: the execution SUCCEEDED
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check ministack==1.5.33 boto3==1.43.106
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$folder"
env -i PATH="$PATH" HOME="$folder" TMPDIR="$folder" BIND_HOST=127.0.0.1 GATEWAY_PORT="$port" STATE_DIR="$folder/state" \
    IOT_MTLS_ENABLED=0 SFTP_ENABLED=0 PERSIST_STATE=0 DOCKER_HOST="unix://$folder/none.sock" \
    "$folder/venv/bin/ministack" >"$folder/log" 2>&1 &
server=$!
cat > catch.py <<'PYTHON'
import json
import sys
import time

import boto3


def client(service):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def started(steps):
    for _ in range(300):
        try:
            return steps.list_state_machines()
        except Exception:
            time.sleep(0.1)
    sys.exit("ministack did not start")


def outcome(steps, name):
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:getParameter",
        "Parameters": {"Name": "/missing"},
        "Catch": [{"ErrorEquals": [name], "Next": "Caught"}],
        "End": True,
    }
    definition = {"StartAt": "Get", "States": {"Get": task, "Caught": {"Type": "Succeed"}}}
    machine = steps.create_state_machine(
        name=name.replace(".", "-"), definition=json.dumps(definition), roleArn="arn:aws:iam::000000000000:role/r"
    )["stateMachineArn"]
    execution = steps.start_execution(stateMachineArn=machine)["executionArn"]
    for _ in range(300):
        status = steps.describe_execution(executionArn=execution)["status"]
        if status != "RUNNING":
            return status
        time.sleep(0.1)
    return "RUNNING"


steps = client("stepfunctions")
started(steps)
seen = {name: outcome(steps, name) for name in ("Ssm.ParameterNotFoundException", "Ssm.ParameterNotFound")}
for name, status in seen.items():
    print(f"{name}: the execution {status}")
sys.exit(list(seen.values()) != ["FAILED", "SUCCEEDED"])
PYTHON
"$folder/venv/bin/python" catch.py "$port"
