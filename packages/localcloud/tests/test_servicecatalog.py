"""Service Catalog and Studio's projects: products, their launches, and projects from templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "artifacts"
# The template of the product; its SSM parameter holds the project's name and id.
PROJECT = """
Parameters:
  Word: {Type: String, AllowedPattern: "[a-z]+"}
  SageMakerProjectName: {Type: String}
  SageMakerProjectId: {Type: String}
Resources:
  State:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: !Sub "${Word} of ${SageMakerProjectName}, ${SageMakerProjectId}"}
Outputs:
  State: {Value: !Ref State}
"""
CATALOG = """
Parameters:
  Template: {Type: String}
  Version: {Type: String}
  Service: {Type: String, Default: servicecatalog.amazonaws.com}
  Principal: {Type: String, Default: "arn:aws:iam::000000000000:role/Studio"}
Conditions:
  HasPrincipal: !Not [!Equals [!Ref Principal, ""]]
Resources:
  Portfolio:
    Type: AWS::ServiceCatalog::Portfolio
    Properties: {DisplayName: Templates, ProviderName: Platform, Tags: [{Key: portfolio, Value: templates}]}
  Product:
    Type: AWS::ServiceCatalog::CloudFormationProduct
    Properties:
      Name: !Sub "Product of ${AWS::StackName}"
      Owner: Platform
      ProvisioningArtifactParameters:
        - Name: !Ref Version
          Info: {LoadTemplateFromURL: !Ref Template}
      Tags: [{Key: product, Value: project}]
  ProductAssociation:
    Type: AWS::ServiceCatalog::PortfolioProductAssociation
    Properties: {PortfolioId: !Ref Portfolio, ProductId: !Ref Product}
  PrincipalAssociation:
    Type: AWS::ServiceCatalog::PortfolioPrincipalAssociation
    Condition: HasPrincipal
    Properties: {PortfolioId: !Ref Portfolio, PrincipalARN: !Ref Principal, PrincipalType: IAM}
  LaunchConstraint:
    Type: AWS::ServiceCatalog::LaunchRoleConstraint
    DependsOn: ProductAssociation
    Properties: {PortfolioId: !Ref Portfolio, ProductId: !Ref Product, RoleArn: !GetAtt LaunchRole.Arn}
  LaunchRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {Service: !Ref Service}, Action: "sts:AssumeRole"}]
Outputs:
  Portfolio: {Value: !Ref Portfolio}
  Product: {Value: !Ref Product}
  Version: {Value: !GetAtt Product.ProvisioningArtifactIds}
  Role: {Value: !GetAtt LaunchRole.Arn}
"""


@dataclass
class Portfolio:
    """A deployed portfolio with one product."""

    rig: Any
    stack: str
    portfolio: str
    product: str
    version: str
    role: str

    def provision(self, name: str, **more: Any) -> Any:
        """Launch the product."""
        words = [("Word", "hello"), ("SageMakerProjectName", "n"), ("SageMakerProjectId", "i")]
        request = {
            "ProductId": self.product,
            "ProvisioningArtifactId": self.version,
            "ProvisionedProductName": name,
            "ProvisionToken": name,
            "ProvisioningParameters": [{"Key": key, "Value": value} for key, value in words],
            **more,
        }
        return self.rig.servicecatalog.provision_product(**request)["RecordDetail"]

    def recorded(self, record: Any) -> Any:
        """Wait for the end of a record, and describe the record."""
        return self.rig.until(
            lambda: self.rig.servicecatalog.describe_record(Id=record["RecordId"]),
            lambda description: description["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED"),
        )

    def details(self) -> dict[str, Any]:
        """Return the details of the product for CreateProject."""
        return {
            "ProductId": self.product,
            "ProvisioningArtifactId": self.version,
            "ProvisioningParameters": [{"Key": "Word", "Value": "hello"}],
        }


def published(rig: Any, text: str = PROJECT) -> str:
    """Store a template under a unique name, and return its URL on AWS."""
    key = f"templates/{rig.unique('template')}.yml"
    rig.put(key, text)
    return f"https://{BUCKET}.s3.{rig.cloud.region}.amazonaws.com/{key}"


@pytest.fixture
def deploy(rig: Any) -> Callable[..., Portfolio]:
    """Return a function that deploys a portfolio."""

    def deploy(**parameters: str) -> Portfolio:
        stack = rig.unique("shop")
        values = {"Template": published(rig), "Version": "one", **parameters}
        assert rig.deploy(stack, CATALOG, values)["StackStatus"] == "CREATE_COMPLETE", rig.reasons(stack)
        outputs = rig.outputs(stack)
        return Portfolio(rig, stack, *(outputs[name] for name in ("Portfolio", "Product", "Version", "Role")))

    return deploy


def project_of(rig: Any, name: str) -> Any:
    """Wait for the end of a project's creation or deletion, and describe the project."""
    return rig.until(
        lambda: rig.sagemaker.describe_project(ProjectName=name),
        lambda description: not description["ProjectStatus"].endswith("InProgress"),
    )


def tags_of(rig: Any, stack: str) -> dict[str, str]:
    (description,) = rig.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return {tag["Key"]: tag["Value"] for tag in description["Tags"]}


def value_of(rig: Any, stack: str) -> str:
    return str(rig.ssm.get_parameter(Name=rig.outputs(stack)["State"])["Parameter"]["Value"])


def test_a_product_is_launched_and_terminated(rig: Any, deploy: Callable[..., Portfolio]) -> None:
    """The launched stack has the tags of portfolio and product; a token launches one stack."""
    portfolio = deploy()
    name = rig.unique("launch")
    record = portfolio.provision(name)
    assert portfolio.provision(name)["RecordId"] == record["RecordId"]
    ended = portfolio.recorded(record)
    assert ended["RecordDetail"]["Status"] == "SUCCEEDED", ended
    assert ended["RecordDetail"]["LaunchRoleArn"] == portfolio.role
    outputs = {output["OutputKey"]: output["OutputValue"] for output in ended["RecordOutputs"]}
    stack = outputs["CloudformationStackARN"].split("/")[1]
    assert stack == f"SC-000000000000-{record['ProvisionedProductId']}"
    assert value_of(rig, stack) == "hello of n, i"
    assert tags_of(rig, stack).items() >= {"portfolio": "templates", "product": "project"}.items()
    catalog = rig.servicecatalog
    description = catalog.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]
    assert (description["Status"], description["ProvisioningArtifactId"]) == ("AVAILABLE", portfolio.version)
    terminated = catalog.terminate_provisioned_product(ProvisionedProductName=name, TerminateToken="end")
    assert portfolio.recorded(terminated["RecordDetail"])["RecordDetail"]["Status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        catalog.describe_provisioned_product(Name=name)


def test_a_stack_that_fails_is_a_record_with_its_reason(rig: Any, deploy: Callable[..., Portfolio]) -> None:
    """The record has the reason of CloudFormation; the provisioned product stays, in status ERROR."""
    portfolio = deploy()
    name = rig.unique("launch")
    record = portfolio.provision(name, ProvisioningParameters=[{"Key": "Word", "Value": "HELLO"}])
    ended = portfolio.recorded(record)["RecordDetail"]
    assert ended["Status"] == "FAILED"
    assert ended["RecordErrors"][0]["Description"]
    detail = rig.servicecatalog.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]
    assert detail["Status"] == "ERROR"


def test_a_new_version_takes_the_place_of_the_old_one(rig: Any, deploy: Callable[..., Portfolio]) -> None:
    """The product and an unchanged version keep their ids; a launch uses a copy of the template."""
    portfolio = deploy()
    address = published(rig)
    rig.deploy(portfolio.stack, CATALOG, {"Template": address, "Version": "two"})
    outputs = rig.outputs(portfolio.stack)
    assert outputs["Product"] == portfolio.product
    assert outputs["Version"] != portfolio.version
    described = rig.servicecatalog.describe_product(Id=portfolio.product)
    assert [artifact["Name"] for artifact in described["ProvisioningArtifacts"]] == ["two"]
    assert [path["Name"] for path in described["LaunchPaths"]] == ["Templates"]
    rig.deploy(portfolio.stack, CATALOG, {"Template": address, "Version": "two", "Principal": rig.role})
    assert rig.outputs(portfolio.stack)["Version"] == outputs["Version"]
    rig.s3.delete_object(Bucket=BUCKET, Key=address.split(".com/")[1])
    portfolio.version = outputs["Version"]
    assert (
        portfolio.recorded(portfolio.provision(rig.unique("launch")))["RecordDetail"]["Status"] == "SUCCEEDED"
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Principal": ""}, "no portfolio offers it to anyone"),
        ({"Service": "cloudformation.amazonaws.com"}, "Access denied while assuming the role"),
    ],
)
def test_a_launch_needs_a_principal_and_a_role(
    rig: Any, deploy: Callable[..., Portfolio], parameters: dict[str, str], words: str
) -> None:
    """The portfolio must have a principal, and the launch role must trust Service Catalog."""
    portfolio = deploy(**parameters)
    with pytest.raises(ClientError, match=words):
        portfolio.provision(rig.unique("launch"))


def test_an_invalid_template_fails_its_product(rig: Any) -> None:
    """Service Catalog reads the template when a stack creates the version."""
    for address, words in (
        (published(rig, "Resources: {A: ["), "Invalid templateBody"),
        (f"https://{BUCKET}.s3.{rig.cloud.region}.amazonaws.com/none.yml", "Could not retrieve the template"),
    ):
        stack = rig.unique("shop")
        rig.deploy(stack, CATALOG, {"Template": address, "Version": "one"})
        assert words in rig.reasons(stack)


def test_the_stack_of_a_portfolio_can_be_deleted(rig: Any, deploy: Callable[..., Portfolio]) -> None:
    """The associations are deleted first, and the launched product stays."""
    portfolio = deploy()
    launched = rig.unique("launch")
    portfolio.recorded(portfolio.provision(launched))
    rig.cloudformation.delete_stack(StackName=portfolio.stack)
    with pytest.raises(ClientError, match="does not exist"):
        rig.until(lambda: rig.cloudformation.describe_stacks(StackName=portfolio.stack) and None)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        rig.servicecatalog.describe_product(Id=portfolio.product)
    assert rig.servicecatalog.describe_provisioned_product(Name=launched)


@pytest.mark.parametrize("way", ["catalog", "bucket"])
def test_a_project_is_created_from_a_template_and_deleted(
    rig: Any, deploy: Callable[..., Portfolio], way: str
) -> None:
    """SageMaker sets the project's name and id as parameters and as tags, for both sources of a template."""
    portfolio = deploy(**({"Service": "cloudformation.amazonaws.com"} if way == "bucket" else {}))
    name = rig.unique("project")
    provider = {
        "TemplateName": "template",
        "TemplateURL": published(rig),
        "RoleARN": portfolio.role,
        "Parameters": [{"Key": "Word", "Value": "hello"}],
    }
    source: dict[str, Any] = {"ServiceCatalogProvisioningDetails": portfolio.details()}
    if way == "bucket":
        source = {"TemplateProviders": [{"CfnTemplateProvider": provider}]}
    answer = rig.sagemaker.create_project(ProjectName=name, **source)
    with pytest.raises(ClientError, match="already exists"):
        rig.sagemaker.create_project(ProjectName=name, **source)
    described = project_of(rig, name)
    assert described["ProjectStatus"] == "CreateCompleted", described
    prefix = {"catalog": "SC-000000000000-pp-", "bucket": f"SP-{name}-{answer['ProjectId']}"}[way]
    stacks = rig.cloudformation.describe_stacks()["Stacks"]
    (stack,) = [
        candidate for candidate in stacks if answer["ProjectId"] in json.dumps(candidate.get("Tags", []))
    ]
    assert stack["StackName"].startswith(prefix)
    assert value_of(rig, stack["StackName"]) == f"hello of {name}, {answer['ProjectId']}"
    assert tags_of(rig, stack["StackName"])["sagemaker:project-name"] == name
    rig.sagemaker.delete_project(ProjectName=name)
    assert project_of(rig, name)["ProjectStatus"] == "DeleteCompleted"
    with pytest.raises(ClientError, match="does not exist"):
        rig.cloudformation.describe_stacks(StackName=stack["StackName"])


def test_a_project_that_cannot_be_created_has_its_reason(rig: Any, deploy: Callable[..., Portfolio]) -> None:
    """A refused request is an error; a failed stack is the status of the project."""
    portfolio = deploy()
    name = rig.unique("project")
    details = {**portfolio.details(), "ProvisioningParameters": [{"Key": "Word", "Value": "9"}]}
    rig.sagemaker.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=details)
    assert project_of(rig, name)["ProjectStatus"] == "CreateFailed"
    for request, words in (
        ({}, "either"),
        (
            {"ServiceCatalogProvisioningDetails": {**portfolio.details(), "ProductId": "prod-none"}},
            "not found",
        ),
        (
            {
                "TemplateProviders": [
                    {
                        "CfnTemplateProvider": {
                            "TemplateName": "t",
                            "TemplateURL": published(rig),
                            "RoleARN": portfolio.role,
                        }
                    }
                ]
            },
            "cannot be assumed",
        ),
    ):
        with pytest.raises(ClientError, match=words):
            rig.sagemaker.create_project(ProjectName=rig.unique("project"), **request)


def test_a_domain_has_tags(rig: Any) -> None:
    """Studio reads the location of the templates from a tag of its domain."""
    settings = {"ExecutionRole": rig.role}
    created = rig.sagemaker.create_domain(DomainName="studio", AuthMode="IAM", DefaultUserSettings=settings)
    described = rig.sagemaker.describe_domain(DomainId=created["DomainId"])
    tag = {"Key": "sagemaker:projectS3TemplatesLocation", "Value": "s3://bucket/templates/"}
    rig.sagemaker.add_tags(ResourceArn=described["DomainArn"], Tags=[tag])
    assert rig.sagemaker.list_tags(ResourceArn=created["DomainArn"])["Tags"] == [tag]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        rig.sagemaker.describe_domain(DomainId="d-none")
