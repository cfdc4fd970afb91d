# The delivery pipeline's build. GNU make 3.81 and POSIX shells are enough.
#
# pipeline.yml sets all of these; run_pipeline.py takes the rest of its arguments from the environment too.
#
# IMAGE_URI               address of the container's image if it exists already; then no Docker is needed
# LAMBDA_IMAGE_URI        the same for the image of the API's function
# REPOSITORY_URI          repository that the container's image is pushed to otherwise
# API_REPOSITORY_URI      repository that the function's image is pushed to; empty where the function is a zip
# PIPELINE_EXECUTION_ID   the tag of both
# PROJECT                 the project that the pipeline delivers
# ARTIFACT_BUCKET         bucket that packages are uploaded to
# KMS_KEY_ARN             key that encrypts them
# DATA_VERSION            with REASON, replaces the variables that the pipeline's execution was started with

PYTHON ?= python

export IMAGE_URI ?=
export LAMBDA_IMAGE_URI ?=

build = build
install = "$(PYTHON)" -m pip install --quiet --require-hashes --only-binary :all: --find-links vendor

.PHONY: all setup image package render
.DELETE_ON_ERROR:

all: setup image package render

# CodeBuild's images have botocore and PyYAML. The package `delivery` is on no index: its wheel is in vendor/.
setup: | $(build) ## install what packaging needs, where Python lacks it
	@"$(PYTHON)" -c "import botocore, yaml" 2> /dev/null || $(install) --requirement pipeline/requirements.txt
	@sed -n '/^sagemaker-delivery==/,/--hash/p' pipeline/requirements.txt > $(build)/delivery.txt
	@"$(PYTHON)" -c "import delivery.templates" 2> /dev/null || \
		$(install) --no-index --no-deps --requirement $(build)/delivery.txt

image: | $(build) ## build the images that do not exist, and keep the addresses of all
	@sh scripts/image "$(IMAGE_URI)" "$(REPOSITORY_URI)" container > $(build)/image-uri
	@sh scripts/image "$(LAMBDA_IMAGE_URI)" "$(API_REPOSITORY_URI)" lambda > $(build)/lambda-image-uri

package: | $(build) ## upload the local files of templates, and keep the variables of the execution
	@"$(PYTHON)" -m delivery.build --output-dir $(build) --bucket "$(ARTIFACT_BUCKET)" \
		--kms-key "$(KMS_KEY_ARN)" --pipeline "$(PROJECT)-pipeline" --execution "$(PIPELINE_EXECUTION_ID)" \
		stacks/*.yml

render: package ## write the parameters of each stage
	@IMAGE_URI="$$(cat $(build)/image-uri)" LAMBDA_IMAGE_URI="$$(cat $(build)/lambda-image-uri)" \
		"$(PYTHON)" pipeline/run_pipeline.py --project-file project.toml --variables-file $(build)/variables \
		--output-dir $(build)

$(build):
	@mkdir -p $@
