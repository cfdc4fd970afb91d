"""Service Catalog and Studio's projects: a template is offered, launched in its role, and gone again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "artifacts"
# What somebody launches: it says what SageMaker filled in.
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
class Shop:
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
        """Wait for the end of what was begun."""
        return self.rig.until(
            lambda: self.rig.servicecatalog.describe_record(Id=record["RecordId"]),
            lambda seen: seen["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED"),
        )

    def details(self) -> dict[str, Any]:
        """Return what CreateProject takes of the product."""
        return {
            "ProductId": self.product,
            "ProvisioningArtifactId": self.version,
            "ProvisioningParameters": [{"Key": "Word", "Value": "hello"}],
        }


def published(rig: Any, text: str = PROJECT) -> str:
    """Store a template under a name of its own, and return its address as AWS writes it."""
    key = f"templates/{rig.unique('template')}.yml"
    rig.put(key, text)
    return f"https://{BUCKET}.s3.{rig.cloud.region}.amazonaws.com/{key}"


@pytest.fixture
def shop(rig: Any) -> Callable[..., Shop]:
    """Return what deploys a portfolio."""

    def opened(**parameters: str) -> Shop:
        stack = rig.unique("shop")
        given = {"Template": published(rig), "Version": "one", **parameters}
        assert rig.deploy(stack, CATALOG, given)["StackStatus"] == "CREATE_COMPLETE", rig.reasons(stack)
        found = rig.outputs(stack)
        return Shop(rig, stack, *(found[name] for name in ("Portfolio", "Product", "Version", "Role")))

    return opened


def project_of(rig: Any, name: str) -> Any:
    """Wait until a project is neither being made nor deleted."""
    return rig.until(
        lambda: rig.sagemaker.describe_project(ProjectName=name),
        lambda seen: not seen["ProjectStatus"].endswith("InProgress"),
    )


def tags_of(rig: Any, stack: str) -> dict[str, str]:
    (found,) = rig.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def value_of(rig: Any, stack: str) -> str:
    return str(rig.ssm.get_parameter(Name=rig.outputs(stack)["State"])["Parameter"]["Value"])


def test_a_product_is_launched_and_terminated(rig: Any, shop: Callable[..., Shop]) -> None:
    """Its stack bears the tags of portfolio and product, and goes with it; a token launches once."""
    made = shop()
    name = rig.unique("launch")
    record = made.provision(name)
    assert made.provision(name)["RecordId"] == record["RecordId"]
    ended = made.recorded(record)
    assert ended["RecordDetail"]["Status"] == "SUCCEEDED", ended
    assert ended["RecordDetail"]["LaunchRoleArn"] == made.role
    outputs = {one["OutputKey"]: one["OutputValue"] for one in ended["RecordOutputs"]}
    stack = outputs["CloudformationStackARN"].split("/")[1]
    assert stack == f"SC-000000000000-{record['ProvisionedProductId']}"
    assert value_of(rig, stack) == "hello of n, i"
    assert tags_of(rig, stack).items() >= {"portfolio": "templates", "product": "project"}.items()
    catalog = rig.servicecatalog
    seen = catalog.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]
    assert (seen["Status"], seen["ProvisioningArtifactId"]) == ("AVAILABLE", made.version)
    gone = catalog.terminate_provisioned_product(ProvisionedProductName=name, TerminateToken="end")
    assert made.recorded(gone["RecordDetail"])["RecordDetail"]["Status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        catalog.describe_provisioned_product(Name=name)


def test_a_stack_that_fails_is_a_record_with_its_reason(rig: Any, shop: Callable[..., Shop]) -> None:
    """What CloudFormation refuses is told; the product stays, to be terminated."""
    made = shop()
    name = rig.unique("launch")
    record = made.provision(name, ProvisioningParameters=[{"Key": "Word", "Value": "HELLO"}])
    ended = made.recorded(record)["RecordDetail"]
    assert ended["Status"] == "FAILED"
    assert ended["RecordErrors"][0]["Description"]
    detail = rig.servicecatalog.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]
    assert detail["Status"] == "ERROR"


def test_a_new_version_takes_the_place_of_the_old_one(rig: Any, shop: Callable[..., Shop]) -> None:
    """The product keeps its id, an unchanged version its own, and what is launched is a copy."""
    made = shop()
    address = published(rig)
    rig.deploy(made.stack, CATALOG, {"Template": address, "Version": "two"})
    found = rig.outputs(made.stack)
    assert found["Product"] == made.product
    assert found["Version"] != made.version
    described = rig.servicecatalog.describe_product(Id=made.product)
    assert [one["Name"] for one in described["ProvisioningArtifacts"]] == ["two"]
    assert [path["Name"] for path in described["LaunchPaths"]] == ["Templates"]
    rig.deploy(made.stack, CATALOG, {"Template": address, "Version": "two", "Principal": rig.role})
    assert rig.outputs(made.stack)["Version"] == found["Version"]
    rig.s3.delete_object(Bucket=BUCKET, Key=address.split(".com/")[1])
    made.version = found["Version"]
    assert made.recorded(made.provision(rig.unique("launch")))["RecordDetail"]["Status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Principal": ""}, "no portfolio offers it to anyone"),
        ({"Service": "cloudformation.amazonaws.com"}, "Access denied while assuming the role"),
    ],
)
def test_what_nobody_may_launch_is_not_launched(
    rig: Any, shop: Callable[..., Shop], parameters: dict[str, str], words: str
) -> None:
    """Somebody has to be let in, and the role has to let Service Catalog act."""
    made = shop(**parameters)
    with pytest.raises(ClientError, match=words):
        made.provision(rig.unique("launch"))


def test_a_template_that_is_none_is_no_product(rig: Any) -> None:
    """Service Catalog reads it when the version is made."""
    for address, words in (
        (published(rig, "Resources: {A: ["), "Invalid templateBody"),
        (f"https://{BUCKET}.s3.{rig.cloud.region}.amazonaws.com/none.yml", "Could not retrieve the template"),
    ):
        stack = rig.unique("shop")
        rig.deploy(stack, CATALOG, {"Template": address, "Version": "one"})
        assert words in rig.reasons(stack)


def test_a_stack_of_all_of_it_can_be_deleted(rig: Any, shop: Callable[..., Shop]) -> None:
    """What ties things together goes first, and what was launched stays."""
    made = shop()
    stays = rig.unique("launch")
    made.recorded(made.provision(stays))
    rig.cloudformation.delete_stack(StackName=made.stack)
    with pytest.raises(ClientError, match="does not exist"):
        rig.until(lambda: rig.cloudformation.describe_stacks(StackName=made.stack) and None)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        rig.servicecatalog.describe_product(Id=made.product)
    assert rig.servicecatalog.describe_provisioned_product(Name=stays)


@pytest.mark.parametrize("way", ["catalog", "bucket"])
def test_a_project_is_made_of_a_template_and_deleted(rig: Any, shop: Callable[..., Shop], way: str) -> None:
    """SageMaker fills its name and id in, as parameters and as tags, whichever way the template comes."""
    made = shop(**({"Service": "cloudformation.amazonaws.com"} if way == "bucket" else {}))
    name = rig.unique("project")
    provider = {
        "TemplateName": "template",
        "TemplateURL": published(rig),
        "RoleARN": made.role,
        "Parameters": [{"Key": "Word", "Value": "hello"}],
    }
    given: dict[str, Any] = {"ServiceCatalogProvisioningDetails": made.details()}
    if way == "bucket":
        given = {"TemplateProviders": [{"CfnTemplateProvider": provider}]}
    answer = rig.sagemaker.create_project(ProjectName=name, **given)
    with pytest.raises(ClientError, match="already exists"):
        rig.sagemaker.create_project(ProjectName=name, **given)
    described = project_of(rig, name)
    assert described["ProjectStatus"] == "CreateCompleted", described
    begins = {"catalog": "SC-000000000000-pp-", "bucket": f"SP-{name}-{answer['ProjectId']}"}[way]
    stacks = rig.cloudformation.describe_stacks()["Stacks"]
    (stack,) = [one for one in stacks if answer["ProjectId"] in json.dumps(one.get("Tags", []))]
    assert stack["StackName"].startswith(begins)
    assert value_of(rig, stack["StackName"]) == f"hello of {name}, {answer['ProjectId']}"
    assert tags_of(rig, stack["StackName"])["sagemaker:project-name"] == name
    rig.sagemaker.delete_project(ProjectName=name)
    assert project_of(rig, name)["ProjectStatus"] == "DeleteCompleted"
    with pytest.raises(ClientError, match="does not exist"):
        rig.cloudformation.describe_stacks(StackName=stack["StackName"])


def test_a_project_that_can_not_be_made_says_why(rig: Any, shop: Callable[..., Shop]) -> None:
    """A refusal is an error, a failure the project's status."""
    made = shop()
    name = rig.unique("project")
    details = {**made.details(), "ProvisioningParameters": [{"Key": "Word", "Value": "9"}]}
    rig.sagemaker.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=details)
    assert project_of(rig, name)["ProjectStatus"] == "CreateFailed"
    for given, words in (
        ({}, "either"),
        ({"ServiceCatalogProvisioningDetails": {**made.details(), "ProductId": "prod-none"}}, "not found"),
        (
            {
                "TemplateProviders": [
                    {
                        "CfnTemplateProvider": {
                            "TemplateName": "t",
                            "TemplateURL": published(rig),
                            "RoleARN": made.role,
                        }
                    }
                ]
            },
            "cannot be assumed",
        ),
    ):
        with pytest.raises(ClientError, match=words):
            rig.sagemaker.create_project(ProjectName=rig.unique("project"), **given)


def test_a_domain_bears_tags(rig: Any) -> None:
    """That is how Studio is told where templates lie."""
    settings = {"ExecutionRole": rig.role}
    own = rig.sagemaker.create_domain(DomainName="studio", AuthMode="IAM", DefaultUserSettings=settings)
    described = rig.sagemaker.describe_domain(DomainId=own["DomainId"])
    tag = {"Key": "sagemaker:projectS3TemplatesLocation", "Value": "s3://bucket/templates/"}
    rig.sagemaker.add_tags(ResourceArn=described["DomainArn"], Tags=[tag])
    assert rig.sagemaker.list_tags(ResourceArn=own["DomainArn"])["Tags"] == [tag]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        rig.sagemaker.describe_domain(DomainId="d-none")
