"""The dashboard shows only published metrics and existing alarms."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery.templates.read import read_template

from functions.api import endpoint
from functions.api.settings import Settings
from pipeline import dashboard
from pipeline.errors import SettingsError
from pipeline.reader import read_settings
from tests.contracts.test_stages import BY_ALIAS, PUBLISHED
from tests.pipeline.conftest import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BODY = json.loads((ROOT / "stacks" / "dashboard.json").read_text(encoding="utf-8"))
PRD = read_template(ROOT / "stacks" / "deploy-model-prd.yml")
PIPELINE = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]
VARIANT = ({"EndpointName", "VariantName"},)
SEARCH = re.compile(r"SEARCH\('\{(?P<schema>.+)\} (?P<terms>\w+=.+)', '(?P<stat>\w+)', (?P<period>\d+)\)")
# Further metrics of AWS that no alarm watches (CloudWatch metrics references of each service), and the
# metrics that the monitor publishes for each feature.
ALSO_PUBLISHED: dict[str, dict[str, tuple[set[str], ...]]] = {
    "AWS/Lambda": {"Invocations": BY_ALIAS},
    "AWS/SageMaker": dict.fromkeys(
        ("Invocations", "InvocationsPerInstance", "Invocation4XXErrors", "OverheadLatency"), VARIANT
    ),
    "AWS/States": dict.fromkeys(("ExecutionsSucceeded", "ExecutionsFailed"), ({"StateMachineArn"},)),
    "AWS/CodePipeline": {"FailedPipelineExecutions": ({"PipelineName"},)},
    "${DriftNamespace}": dict.fromkeys(
        ("feature_baseline_drift", "unusable_records_share", "unusable_ground_truth_share"),
        ({"Endpoint", "MonitoringSchedule"},),
    ),
}


@pytest.fixture
def published(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, tuple[set[str], ...]]]:
    """Add the metrics of the API's function, by running it."""
    endpoint.count_failure(Settings("the-endpoint", "1", "0", "the-namespace"), 404)
    (metric,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    own = {one["Name"]: tuple(map(set, metric["Dimensions"])) for one in metric["Metrics"]}
    namespaces = PUBLISHED.keys() | ALSO_PUBLISHED.keys()
    known = {name: PUBLISHED.get(name, {}) | ALSO_PUBLISHED.get(name, {}) for name in namespaces}
    return known | {"${Project}": own}


def plotted_metrics(body: dict[str, Any]) -> Iterator[tuple[str, str, str, set[str]]]:
    """Yield every plotted metric: the widget's title, namespace, metric and dimensions."""
    for widget in body["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            title = widget["properties"]["title"]
            if isinstance(metric[0], dict):
                yield (title, *parse_search(metric[0]["expression"]))
            else:
                namespace, name, *dimensions = metric[:-1]
                yield title, namespace, name, set(dimensions[::2])


def parse_search(expression: str) -> tuple[str, str, set[str]]:
    """Return namespace, metric and dimensions of a search expression."""
    found = SEARCH.fullmatch(expression)
    assert found, expression
    namespace, *dimensions = found["schema"].split(",")
    (name,) = re.findall(r'MetricName="?(\w+)', found["terms"])
    return namespace.strip('"'), name, set(dimensions)


def faults(body: dict[str, Any], known: dict[str, dict[str, tuple[set[str], ...]]]) -> list[str]:
    """List the plotted metrics that nobody publishes, so that their curve would stay empty for ever."""
    return [
        f"{title}: nobody publishes {namespace} {name} by {', '.join(sorted(dimensions))}"
        for title, namespace, name, dimensions in plotted_metrics(body)
        if dimensions not in known.get(namespace, {}).get(name, ())
    ]


def test_plotted_metrics_are_published(published: dict[str, Any]) -> None:
    """Namespace, metric and dimensions of each curve exist."""
    assert faults(BODY, published) == []
    assert len({title for title, *_ in plotted_metrics(BODY)}) >= 7


@pytest.mark.parametrize(
    ("widget", "metric", "value", "words"),
    [
        (
            1,
            0,
            ["AWS/Lambda", "Requests", "FunctionName", "x", "Resource", "x:live", {}],
            "AWS/Lambda Requests",
        ),
        (1, 1, ["AWS/SageMaker", "Invocations", "EndpointName", "x", {}], "Invocations by EndpointName"),
        (
            2,
            0,
            [{"expression": "SEARCH('{AWS/Lambda,Version} MetricName=\"Errors\"', 'Sum', 60)"}],
            "by Version",
        ),
        (
            2,
            0,
            [{"expression": "SEARCH('{drift,Endpoint} MetricName=feature_drift', 'Sum', 60)"}],
            "drift feature_",
        ),
    ],
)
def test_an_empty_curve_is_reported(
    published: dict[str, Any], widget: int, metric: int, value: list[Any], words: str
) -> None:
    """A name that was changed on one side only is found."""
    broken = copy.deepcopy(BODY)
    broken["widgets"][widget]["properties"]["metrics"][metric] = value
    assert [fault for fault in faults(broken, published) if words in fault]


def test_the_dashboard_shows_the_state_of_production() -> None:
    """It shows requests, errors, latency percentiles, drift by feature, the canary and the pipeline."""
    seen = {(namespace, name) for _, namespace, name, _ in plotted_metrics(BODY)}
    assert {
        ("AWS/SageMaker", "Invocations"),
        ("AWS/SageMaker", "Invocation5XXErrors"),
        ("AWS/SageMaker", "ModelLatency"),
        ("AWS/Lambda", "Duration"),
        ("${DriftNamespace}", "feature_baseline_drift"),
        ("AWS/CodePipeline", "FailedPipelineExecutions"),
    } <= seen
    latencies = [
        metric[-1]["stat"]
        for widget in BODY["widgets"]
        for metric in widget["properties"].get("metrics", [])
        if metric[1:2] == ["ModelLatency"]
    ]
    assert latencies == ["p50", "p90", "p99"]


def test_the_dashboard_shows_the_alarms_of_production() -> None:
    """All alarms are shown, under the names of the stack."""
    (widget,) = [one for one in BODY["widgets"] if one["type"] == "alarm"]
    shown = {arn.partition(":alarm:")[2] for arn in widget["properties"]["alarms"]}
    declared = {
        one["Properties"]["AlarmName"]["Fn::Sub"]
        for one in PRD["Resources"].values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert shown == declared


def test_widgets_do_not_overlap() -> None:
    """No widget is wider than the 24 columns."""
    taken: set[tuple[int, int]] = set()
    for widget in BODY["widgets"]:
        columns, rows = (
            range(widget[at], widget[at] + widget[size]) for at, size in (("x", "width"), ("y", "height"))
        )
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken, widget["properties"]
        assert max(columns) < 24
        taken |= cells


@pytest.mark.parametrize("image", ["", "111122223333.dkr.ecr.eu-central-1.amazonaws.com/p-api:tag"])
def test_names_are_those_of_the_stacks(project_file: Path, image: str) -> None:
    """Endpoint, function and pipeline have the same names on the dashboard and in the stacks."""
    settings = read_settings(project_file)
    text = dashboard.dashboard_body(settings, dataclasses.replace(RUN, lambda_image_uri=image))
    assert "${" not in text
    shown = {
        (name, metric[at + 1])
        for widget in json.loads(text)["widgets"]
        for metric in widget["properties"].get("metrics", [])
        for at, name in enumerate(metric[:-1])
        if name in ("EndpointName", "FunctionName", "PipelineName", "StateMachineArn")
    }
    resources, names = PRD["Resources"], {"Project": "p" * 16, "ExecutionId": RUN.execution_id}

    def resource_name(given: dict[str, str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]], given["Fn::Sub"])

    function = resources["ApiImageFunction" if image else "ApiFunction"]["Properties"]["FunctionName"]
    assert shown == {
        ("EndpointName", resource_name(resources["Endpoint"]["Properties"]["EndpointName"])),
        ("FunctionName", resource_name(function)),
        ("PipelineName", resource_name(PIPELINE["Pipeline"]["Properties"]["Name"])),
        ("StateMachineArn", f"arn:aws:states:eu-central-1:000000000000:stateMachine:{'p' * 16}-workflow"),
    }


def test_an_invalid_dashboard_is_refused(
    project_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes before any deployment, and says what to do."""
    settings = read_settings(project_file)
    for text, words in (
        ('{"widgets": [', "cannot be read as JSON"),
        ('{"widgets": ["${Owner}"]}', "asks for ${Owner}, but there are only Account, Commit,"),
        (json.dumps({"widgets": ["é" * 3000]}), "leave out a widget"),
    ):
        (tmp_path / "dashboard.json").write_text(text, encoding="utf-8")
        monkeypatch.setattr(dashboard, "DASHBOARD", tmp_path / "dashboard.json")
        with pytest.raises(SettingsError) as raised:
            dashboard.dashboard_parameters(settings, RUN)
        assert words in str(raised.value)


def test_cloudformation_joins_the_parts_of_the_dashboard(project_file: Path) -> None:
    """The parts are as long as a parameter may be."""
    settings = read_settings(project_file)
    parameters = dashboard.dashboard_parameters(settings, RUN)
    joined = read_template(ROOT / "stacks" / "dashboard.yml")["Resources"]["Dashboard"]["Properties"]
    whole = re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], joined["DashboardBody"]["Fn::Sub"])
    assert whole == dashboard.dashboard_body(settings, RUN)
    assert max(map(len, parameters.values())) == dashboard.MAX_PARAMETER_BYTES
