"""An API in front of a function's alias: signatures, limits, binary bodies, and AWS's error messages."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

FUNCTION = """
import json
def handler(event, context):
    if event["body"] and event["isBase64Encoded"] and event["body"].startswith("ZmFpbA"):
        raise ValueError("nobody's business")
    if event["body"] == "bGFyZ2U=":
        event["body"] = "YWFh" * 1_600_000
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/octet-stream", "x-version": context.function_version},
        "body": event["body"],
        "isBase64Encoded": event["isBase64Encoded"],
    }
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Bucket: {Type: String}
  Code: {Type: String}
  Burst: {Type: Number, Default: 100}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {Bucket: !Ref Bucket, Key: !Ref Code}
      Handler: index.handler
      Runtime: python3.13
      AutoPublishAlias: live
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prd
      AlwaysDeploy: true
      AccessLogSetting: {DestinationArn: !GetAtt Log.Arn, Format: $context.requestId}
      BinaryMediaTypes: ["*/*"]
      MethodSettings:
        - HttpMethod: "*"
          ResourcePath: /*
          ThrottlingBurstLimit: !Ref Burst
          ThrottlingRateLimit: 1
      DefinitionBody:
        openapi: 3.0.1
        info: {title: api, version: "1"}
        components:
          securitySchemes:
            sigv4: {type: apiKey, in: header, name: Authorization, x-amazon-apigateway-authtype: awsSigv4}
        paths:
          /echo:
            post:
              responses: {}
              security: [sigv4: []]
              x-amazon-apigateway-integration:
                httpMethod: POST
                type: aws_proxy
                uri: !Sub
                  - arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Alias}/invocations
                  - Alias: !Ref Function.Alias
  Log:
    Type: AWS::Logs::LogGroup
Outputs:
  Url: {Value: !Sub "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/prd/echo"}
"""


def ask(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    request = Request(url, body, {"content-type": "text/csv", **headers})  # noqa: S310 - the address is of the loopback
    try:
        with urlopen(request) as answer:  # noqa: S310 - the address is of the loopback
            return answer.status, answer.read(), dict(answer.headers)
    except HTTPError as refusal:
        return refusal.code, refusal.read(), dict(refusal.headers)


def signed(fast: Any) -> dict[str, str]:
    credential = f"{fast.cloud.key.id}/20260101/eu-central-1/execute-api/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}"}


@pytest.fixture(scope="module")
def api(fast: Any) -> str:
    """Deploy the API and return its stack."""
    return deploy(fast)


def deploy(fast: Any) -> str:
    name: str = fast.unique("api")
    bucket, code = fast.function(FUNCTION)
    made = fast.deploy(name, TEMPLATE, {"Bucket": bucket, "Code": code})
    assert made["StackStatus"] == "CREATE_COMPLETE", fast.reasons(name)
    return name


def test_an_api_answers_through_the_alias(fast: Any, api: str) -> None:
    """Bytes pass unchanged both ways; unsigned requests are refused, and failures hide their cause."""
    url = fast.cloud.local_url(fast.outputs(api)["Url"])
    status, body, headers = ask(url, bytes(range(256)), {**signed(fast), "accept": "*/*"})
    assert (status, body, headers["x-version"]) == (200, bytes(range(256)), "1")
    assert ask(url, b"1", {})[0] == 403
    status, body, _ = ask(url, b"fail", signed(fast))
    assert (status, json.loads(body)) == (502, {"message": "Internal server error"})


def test_a_payload_above_lambdas_limit_is_refused_in_both_directions(fast: Any, api: str) -> None:
    """A base64 request above 6 MB is the caller's 413, and an answer above 6 MB is the function's 502."""
    url = fast.cloud.local_url(fast.outputs(api)["Url"])
    headers = {**signed(fast), "accept": "*/*"}
    assert ask(url, bytes(4_700_000), headers)[0] == 200
    status, body, response_headers = ask(url, bytes(4_800_000), headers)
    assert (status, json.loads(body)) == (413, {"message": "Request Too Long"})
    assert response_headers["x-amzn-errortype"] == "BadRequestException"
    status, body, _ = ask(url, b"large", headers)
    assert (status, json.loads(body)) == (502, {"message": "Internal server error"})


def test_an_api_is_throttled(fast: Any) -> None:
    """Requests above the burst limit get 429; the limit is a parameter of the stack."""
    api = deploy(fast)
    bucket, code = fast.function(FUNCTION)
    done = fast.deploy(api, TEMPLATE, {"Bucket": bucket, "Code": code, "Burst": "3"})
    assert done["StackStatus"] == "UPDATE_COMPLETE", fast.reasons(api)
    url = fast.cloud.local_url(fast.outputs(api)["Url"])
    statuses = [ask(url, b"1", signed(fast))[0] for _ in range(8)]
    assert {200, 429} == set(statuses)


def test_only_the_address_of_an_api_has_a_local_url(fast: Any) -> None:
    """Another address is refused by name."""
    with pytest.raises(Exception, match=r"https://example\.com/x is not the address"):
        fast.cloud.local_url("https://example.com/x")
