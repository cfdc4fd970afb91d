"""Lineage: entities and associations, as the SageMaker SDK makes and walks them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def test_associations_lead_from_an_artifact_to_its_context(rig: Any) -> None:
    """Protects a person's record of what a model was made from, and its removal."""
    sagemaker, name = rig.sagemaker, rig.unique("lineage")
    source = {"SourceUri": f"s3://data/{name}"}
    context = sagemaker.create_context(ContextName=name, ContextType="Workflow", Source=source)["ContextArn"]
    action = sagemaker.create_action(ActionName=name, ActionType="Build", Source=source)["ActionArn"]
    artifact = {"ArtifactName": name, "ArtifactType": "Data", "Source": source, "Properties": {"a": "1"}}
    data = sagemaker.create_artifact(**artifact)["ArtifactArn"]
    with pytest.raises(ClientError, match=r"ValidationException.*already exists"):
        sagemaker.create_artifact(**artifact)

    sagemaker.add_association(SourceArn=data, DestinationArn=action, AssociationType="ContributedTo")
    sagemaker.add_association(SourceArn=action, DestinationArn=context)
    (incoming,) = sagemaker.list_associations(DestinationArn=action)["AssociationSummaries"]
    assert (incoming["SourceArn"], incoming["SourceName"], incoming["SourceType"]) == (data, name, "Data")
    assert (incoming["DestinationName"], incoming["AssociationType"]) == (name, "ContributedTo")

    sagemaker.update_artifact(ArtifactArn=data, Properties={"b": "2"}, PropertiesToRemove=["a"])
    assert sagemaker.describe_artifact(ArtifactArn=data)["Properties"] == {"b": "2"}
    listed = sagemaker.list_artifacts(SourceUri=source["SourceUri"], ArtifactType="Data")
    assert [each["ArtifactArn"] for each in listed["ArtifactSummaries"]] == [data]
    assert [
        each["ContextName"]
        for each in sagemaker.list_contexts(SourceUri=source["SourceUri"])["ContextSummaries"]
    ] == [name]

    with pytest.raises(ClientError, match="has associations"):
        sagemaker.delete_artifact(ArtifactArn=data)
    sagemaker.delete_association(SourceArn=data, DestinationArn=action)
    assert sagemaker.delete_artifact(ArtifactArn=data)["ArtifactArn"] == data
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.add_association(SourceArn=data, DestinationArn=action)
