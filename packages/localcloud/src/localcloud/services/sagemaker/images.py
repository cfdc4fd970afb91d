"""Images: the local cloud pulls none, and runs the project's own program instead, which it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localcloud.core import account
from localcloud.core.errors import validation_error

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext

REGISTRY = re.compile(r"(?P<account>\d{12})\.dkr\.ecr[.-][\w.-]+/(?P<repository>[^:@]+)")
TAG = re.compile(r"(@sha256:\w+|:[\w.-]+)$")
# Repositories of the images that AWS offers, in its own accounts' registries.
OF_AWS = re.compile(
    r"(blazingtext|factorization-machines|forecasting-deepar|image-classification(-neo)?|ipinsights|kmeans|knn|"
    r"lda|linear-learner|ntm|object-detection|object2vec|pca|randomcutforest|semantic-segmentation|seq2seq|"
    r"topic-modeling|xgboost(-neo)?|"
    r"((autogluon|djl|mxnet|pytorch|tensorflow|(huggingface|stabilityai)-(pytorch|tensorflow))(-tgi|-trcomp)?)-"
    r"(training|inference)[\w.-]*|"
    r"sagemaker-(clarify|data-wrangler|debugger|inference|model-monitor|mxnet|neo|pytorch|rl|scikit-learn|spark|"
    r"sparkml|tensorflow|tritonserver|xgboost)[\w.-]*)"
)


def is_own(context: CloudContext, image: str) -> bool:
    """Return whether an address is that of the project's image, in this account or in no registry."""
    found = REGISTRY.match(image)
    if found and found["account"] != account.ACCOUNT:
        return False
    repository = found["repository"] if found else TAG.sub("", image)
    return repository.removeprefix("local/") == context.project.name


def is_of_aws(image: str) -> bool:
    """Return whether an address is that of an image which AWS offers, of an algorithm or of a framework."""
    found = REGISTRY.match(image)
    return bool(found and found["account"] != account.ACCOUNT and OF_AWS.fullmatch(found["repository"]))


def check_program(image: str, what: str, way_out: str) -> None:
    """Refuse an image of AWS whose own program would have to run.

    Raises:
        ServiceError: the image is one of AWS.
    """
    if is_of_aws(image):
        raise validation_error(
            f"{what} needs the program in {image}, an image of AWS: the local cloud pulls no images and does "
            f"not have it. {way_out}"
        )


def note(context: CloudContext, image: str) -> str:
    """Return the sentence that says what runs in place of another image; empty for the project's own."""
    if is_own(context, image):
        return ""
    return f"The local cloud pulls no images: this project's environment runs in place of {image}."
