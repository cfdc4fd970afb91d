"""Call a local cloud as people do by the SageMaker SDK: `program.py MODEL_DATA IMAGE RESULT`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.resources import (
    Endpoint,
    EndpointConfig,
    Model,
    ModelPackage,
    ModelPackageGroup,
    ProcessingJob,
    TrainingJob,
)
from sagemaker.core.shapes import (
    ContainerDefinition,
    ProcessingOutput,
    ProcessingS3Output,
    ProductionVariant,
)
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train.configs import InputData, SourceCode
from sagemaker.train.model_trainer import ModelTrainer

ROLE = os.environ["SAGEMAKER_ROLE_ARN"]
IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch-training:2.0.0-cpu-py310"
SCRIPT = """
import json, os, pathlib, sys, time
print("the script runs", flush=True)
seen = {"data": open("/opt/ml/input/data/train/a.csv").read(), "hps": json.loads(os.environ["SM_HPS"])}
pathlib.Path(os.environ["SM_MODEL_DIR"], "seen.json").write_text(json.dumps(seen))
time.sleep(int(os.environ["SM_HP_SECONDS"]))
"""
PROCESSING = 'open("/opt/ml/processing/out/o.txt", "w").write("processed")'


def training(session: Any, folder: Path, seconds: int) -> TrainingJob:
    """Start a script by ModelTrainer, with the role of the defaults."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "train.py").write_text(SCRIPT)
    (folder / "a.csv").write_text("/opt/ml is data")
    trainer = ModelTrainer(
        sagemaker_session=session,
        training_image=IMAGE,
        hyperparameters={"seconds": seconds, "list": [1, 2]},
        source_code=SourceCode(source_dir=str(folder / "code"), entry_script="train.py"),
        base_job_name=f"sdk-{seconds}",
    )
    data = session.upload_data(str(folder / "a.csv"), key_prefix="sdk")
    trainer.train(input_data_config=[InputData(channel_name="train", data_source=data)], wait=False)
    return TrainingJob.get(training_job_name=trainer._latest_training_job.training_job_name)  # noqa: SLF001 - the SDK's examples do


def processing(session: Any, folder: Path) -> str:
    """Run a script by ScriptProcessor, and return what it wrote."""
    (folder / "process.py").write_text(PROCESSING)
    bucket = session.default_bucket()
    processor = ScriptProcessor(
        image_uri=IMAGE,
        command=["python3"],
        instance_type="ml.m5.large",
        instance_count=1,
        sagemaker_session=session,
    )
    target = {"s3_uri": f"s3://{bucket}/sdk-out", "local_path": "/opt/ml/processing/out"}
    output = ProcessingS3Output(**target, s3_upload_mode="EndOfJob")
    outputs = [ProcessingOutput(output_name="out", s3_output=output)]
    processor.run(code=str(folder / "process.py"), outputs=outputs, wait=False)
    processor.latest_job.wait(poll=1)
    written = boto3.client("s3").get_object(Bucket=bucket, Key="sdk-out/o.txt")["Body"].read()
    return str(written, "utf-8")


def serving(session: Any, data: str, image: str) -> dict[str, Any]:
    """Deploy, invoke and update an endpoint, and register its model."""
    name = f"sdk-{int(time.time())}"
    builder = ModelBuilder(s3_model_data_url=data, image_uri=image, role_arn=ROLE, sagemaker_session=session)
    builder.build(model_name=name)
    instances = {"instance_type": "ml.m5.large", "initial_instance_count": 1}
    builder.deploy(endpoint_name=name, wait=False, **instances)
    endpoint = Endpoint.get(endpoint_name=name)
    endpoint.wait_for_status("InService", poll=1)
    first = endpoint.invoke(body="1,2", content_type="text/csv").body.read().decode()

    package = builder.register(
        model_package_group_name=f"{name}-group",
        content_types=["text/csv"],
        response_types=["text/csv"],
        inference_instances=["ml.m5.large"],
        approval_status="Approved",
    )
    registered = ModelPackage.get(model_package_name=package)
    registered.refresh()
    model = f"{name}-registered"
    container = ContainerDefinition(model_package_name=package)
    Model.create(model_name=model, containers=[container], execution_role_arn=ROLE)
    variant = ProductionVariant(variant_name="AllTraffic", model_name=model, **instances)
    EndpointConfig.create(endpoint_config_name=model, production_variants=[variant])
    endpoint.endpoint_config_name = model
    endpoint.update()
    endpoint.wait_for_status("InService", poll=1)
    second = endpoint.invoke(body="3,4", content_type="text/csv").body.read().decode()
    config = endpoint.refresh().endpoint_config_name
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    return {
        "answers": [first, second],
        "updated": config == model,
        "package": registered.model_approval_status,
        "groups": [group.model_package_group_name for group in ModelPackageGroup.get_all()]
        == [f"{name}-group"],
        "packages": len(list(ModelPackage.get_all(model_package_group_name=f"{name}-group"))),
    }


def main(data: str, image: str, file: str) -> None:
    """Write what came of it into a file."""
    session, folder = Session(), Path(tempfile.mkdtemp())
    trained, stopped = training(session, folder, 0), training(session, folder, 600)
    trained.wait(poll=1, logs=True)
    stopped.stop()
    stopped.wait(poll=1)
    results = {
        "trained": trained.training_job_status,
        "stopped": stopped.training_job_status,
        "artifacts": trained.model_artifacts.s3_model_artifacts,
        "jobs": sorted(
            job.refresh().training_job_status for job in TrainingJob.get_all(name_contains="sdk-")
        ),
        "processed": processing(session, folder),
        "processing": [job.processing_job_status for job in ProcessingJob.get_all()][:1],
        **serving(session, data, image),
    }
    Path(file).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
