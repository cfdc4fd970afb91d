"""The registration of a trained model, and the outputs that later stages take."""

import json
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from delivery.templates.read import read_template, walk

from tests.stacks.asl import evaluate
from tests.stacks.workflow import CONTEXT, REPORTS, ROOT, SETTINGS, STATES, UUID, copies


def test_the_watermark_is_saved_beside_the_model() -> None:
    """The verification reads it from there, as the text of the parameter."""
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    written = evaluate(
        STATES["SaveWatermark"]["Arguments"],
        found={"Newest": newest},
        settings={"PipelineExecutionId": UUID},
    )
    assert (written["Key"], written["Body"]) == (f"models/{UUID}/watermark.json", newest)
    assert STATES["CopyModel"]["Next"] == "SaveWatermark"


def registered(reports: tuple[str, ...] = REPORTS, **evaluation: Any) -> dict[str, Any]:
    """Return the request that registers the model, after validating it by the API's own model."""
    request = evaluate(
        STATES["RegisterModel"]["Arguments"],
        states={"context": CONTEXT},
        settings=SETTINGS,
        measured={"Metric": "rmse", "Value": 0.456059289402945},
        evaluation={"rows": 4128, "reports": [*reports], **evaluation},
        training={"JobName": "house-train-1"},
        champion="none",
    )
    filled = json.loads(json.dumps(request).replace("${Project}", "p" * 16).replace("${ArtifactBucket}", "b"))
    model = botocore.session.get_session().get_service_model("sagemaker")
    report = ParamValidator().validate(filled, model.shape_for("CreateModelPackageInput"))
    assert not report.has_errors(), report.generate_report()
    return dict(filled)


def test_a_model_is_registered_with_its_metrics_and_lineage() -> None:
    """A version shows its quality, and names its code, data and image; an older image writes no digits."""
    request = registered()
    assert request["ModelPackageGroupName"] == "p" * 16
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    (container,) = request["InferenceSpecification"]["Containers"]
    model = f"s3://b/models/{UUID}/model.tar.gz"
    assert container == {"Image": SETTINGS["ImageUri"], "ModelDataUrl": model}
    copied = {f"s3://b/models/{UUID}/{copy['to']}" for copy in copies()}
    metrics = {text for text in strings(request["ModelMetrics"]) if text.startswith("s3://")}
    assert metrics == {
        f"s3://b/models/{UUID}/{name}.json"
        for name in ("evaluation", "explanation", "statistics", "constraints")
    }
    assert metrics | {model} <= copied
    lineage = request["CustomerMetadataProperties"]
    assert lineage | {"DataVersion": ""} == {
        "PipelineExecutionId": UUID,
        "Commit": "3f2a91c",
        "DataVersion": "",
        "Reason": "commit",
        "Image": SETTINGS["ImageUri"],
        "TrainingJob": "house-train-1",
        "Champion": "none",
        "Reports": "evaluation intervals golden explanation learning_curve",
    }
    assert all(re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]{1,256}", value) for value in lineage.values())
    assert request["ModelPackageDescription"] == "rmse 0.456059289402945 on 4128 test rows."


@pytest.mark.parametrize(
    ("warnings", "end"),
    [([], ""), (["Few rows."], " Warning: Few rows."), (["A.", "B."], " Warning: A. Warning: B.")],
)
def test_the_description_says_how_sure_the_evaluation_is(warnings: list[str], end: str) -> None:
    """A person reads the gate's metric with its interval, its difference from the champion, and warnings."""
    request = registered(
        written={"rmse": "0.456059", "mae": "1"},
        intervals={"rmse": "95 % interval 0.44 to 0.47", "mae": "other"},
        champion={"metrics": {"rmse": 0.5}, "differences": {"rmse": "It is 0."}},
        warnings=warnings,
    )
    first = "rmse 0.456059 (95 % interval 0.44 to 0.47) on 4128 test rows. It is 0."
    assert request["ModelPackageDescription"] == first + end


def test_a_long_description_is_cut() -> None:
    """SageMaker accepts 1,024 characters."""
    assert len(registered(warnings=["x" * 900, "é" * 900])["ModelPackageDescription"]) == 1024


def test_a_model_without_an_explanation_is_registered_without_a_report() -> None:
    """An image model has no explanation, and SageMaker would look for the file."""
    assert registered(("evaluation", "golden"))["ModelMetrics"]["Explainability"] == {}


def strings(content: Any) -> Iterator[str]:
    """Return every text of a document."""
    yield from (node for _, node in walk(content) if isinstance(node, str))


def test_the_group_is_that_of_the_pipeline_stack() -> None:
    """A model in another group would not be found."""
    group = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["ModelPackageGroup"]
    assert group["Properties"]["ModelPackageGroupName"] == {"Ref": "Project"}
    assert STATES["RegisterModel"]["Arguments"]["ModelPackageGroupName"] == "${Project}"


def test_a_registration_is_made_once_and_can_be_found() -> None:
    """A repeated call adds no second version, and the registry finds the package's ARN."""
    assert registered()["ClientToken"] == UUID
    kept = evaluate(STATES["SavePackageArn"]["Arguments"], package="arn:p", settings=SETTINGS)
    registry = json.loads((ROOT / "stacks" / "registry.asl.json").read_text(encoding="utf-8"))["States"]
    states = {"input": {"detail": {"execution-id": UUID}}, "result": {"Body": json.dumps(kept["Body"])}}
    assert evaluate(registry["FindPackage"]["Arguments"]["Key"], states=states) == kept["Key"]
    assert evaluate(registry["FindPackage"]["Assign"], states=states) == {"package": "arn:p"}


@pytest.mark.parametrize("name", ["ReturnTrainedModel", "ReturnNoNewData"])
def test_outputs_have_what_later_stages_read(name: str) -> None:
    """The watermark is the text that the deployment writes."""
    newest = {"LastModified": "2024-01-01T00:00:00Z", "Key": "raw/a.csv"}
    output = evaluate(
        STATES[name]["Output"],
        production={"Watermark": newest},
        found={"Newest": newest},
        settings={"PipelineExecutionId": UUID},
        training={"JobName": "job"},
        package="arn:p",
        evaluation={"metrics": {"rmse": 0.5}},
    )
    assert json.loads(output["Watermark"]["Value"]) == newest
    assert output["PipelineExecutionId"] == UUID
    assert output["Result"] == {"ReturnTrainedModel": "Trained", "ReturnNoNewData": "NoNewData"}[name]
    if name == "ReturnTrainedModel":
        assert output["ModelDataUrl"] == f"s3://${{ArtifactBucket}}/models/{UUID}/model.tar.gz"
        assert (output["TrainingJobName"], output["Metrics"]) == ("job", {"rmse": 0.5})
        assert output["ModelPackageArn"] == "arn:p"
