"""Send requests by the SageMaker SDK: a program of the SDK's own environment, which imports nothing else.

Its arguments are the endpoint's name, the content type of the requests and that of the responses. Each line
of its input is a JSON object with the body of a request; each line of its output has that of the response.
"""

import json
import sys
from typing import TextIO


def main(output: TextIO) -> int:
    """Send each request of the input; return 1 after an error, whose message is the last line."""
    name, content_type, accept = sys.argv[1:]
    try:
        from sagemaker.core.resources import Endpoint  # noqa: PLC0415 - its error is a message of this program

        endpoint = Endpoint.get(endpoint_name=name)
        write(output, {"ready": True})
        for line in sys.stdin:
            body = json.loads(line)["body"].encode()
            answer = endpoint.invoke(body=body, content_type=content_type, accept=accept)
            write(output, {"body": answer.body.read().decode()})
    except Exception as error:  # noqa: BLE001 - any error of the SDK is its message
        refusal = getattr(error, "response", {}).get("OriginalMessage")  # of botocore: the container's own
        reason = f"{type(error).__name__}: {error}"
        write(output, {"refusal": refusal} if refusal else {"error": reason})
        return 1
    return 0


def write(output: TextIO, message: dict[str, object]) -> None:
    """Write a message as a line."""
    output.write(json.dumps(message) + "\n")
    output.flush()


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # what the SDK prints is not an answer
    sys.exit(main(answers))
