# What the delivery pipeline's build does. GNU make 3.81 and POSIX shells are enough.
#
# pipeline.yml sets all of these; run_pipeline.py takes the rest of its arguments from the environment too.
#
# IMAGE_URI             given: the container's image exists already, and no Docker is needed
# LAMBDA_IMAGE_URI      the same for the image of the API's function
# REPOSITORY_URI        where the container's image is pushed to otherwise
# API_REPOSITORY_URI    where the function's image is pushed to; empty where the function is a zip
# PIPELINE_EXECUTION_ID the tag of both
# PROJECT               whose pipeline it is
# ARTIFACT_BUCKET, KMS_KEY_ARN    where packages are uploaded to, and what encrypts them
# DATA_VERSION  given, with REASON: the pipeline is not asked what its execution was started with

PYTHON ?= python

export IMAGE_URI ?=
export LAMBDA_IMAGE_URI ?=

build = build

.PHONY: all setup image package render
.DELETE_ON_ERROR:

all: setup image package render

setup: ## see that Python has what packaging needs, as CodeBuild's images do without a download
	@"$(PYTHON)" -c "import botocore, yaml" 2> /dev/null || \
		"$(PYTHON)" -m pip install --quiet --require-hashes --only-binary :all: --requirement pipeline/requirements.txt

image: | $(build) ## see that the images exist, and keep their addresses
	@sh scripts/image "$(IMAGE_URI)" "$(REPOSITORY_URI)" container > $(build)/image-uri
	@sh scripts/image "$(LAMBDA_IMAGE_URI)" "$(API_REPOSITORY_URI)" lambda > $(build)/lambda-image-uri

package: | $(build) ## upload what templates name by local paths, and keep what the execution was started with
	@"$(PYTHON)" -m scripts.delivery.build --output-dir $(build) --bucket "$(ARTIFACT_BUCKET)" \
		--kms-key "$(KMS_KEY_ARN)" --pipeline "$(PROJECT)-pipeline" --execution "$(PIPELINE_EXECUTION_ID)" \
		stacks/*.yml

render: package ## write what each stage is given
	@IMAGE_URI="$$(cat $(build)/image-uri)" LAMBDA_IMAGE_URI="$$(cat $(build)/lambda-image-uri)" \
		"$(PYTHON)" pipeline/run_pipeline.py --project-file project.toml --variables-file $(build)/variables \
		--output-dir $(build)

$(build):
	@mkdir -p $@
