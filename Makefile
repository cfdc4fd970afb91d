# GNU make 3.81 and the tools of BSD and macOS are enough.
#
# DATA    a CSV or Parquet file, or a folder of them, and TARGET, its column to predict: the training data of `make demo`
# DRIFT   no leaves the demo's second half out: requests that drift, and the model that is retrained for them
# WORKLOAD  the kind of data: tabular, or image, where DATA is a zip or a folder with images, without TARGET
# FRAMEWORK  the library that trains the demo's models: scikit-learn, or tensorflow
# KEEP    set it to leave the demo's local cloud running
# EXAMPLES  how many tables `make test-reading` generates; or the checkout whose notebooks `make test-sdk` runs
# ROUNDS  how many times the benchmarks alternate
# PROJECT  the generated project that `make packages` changes
# AGAINST what `make bench-build` compares with: a commit, or the folder of another checkout
# PYTHON  the Python from 3.11 to 3.13 that environments are made with; found when empty

# What is given on the command line is taken as it is: make would carry out a $(shell …) in it, and swallow a lone $.
# It reaches programs by the environment alone, where another make leaves it as it is.
override given := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
$(foreach name,$(given),$(eval override $(name) := $$(value $(name)))$(eval export $(name)))
MAKEOVERRIDES =

DATA ?=
TARGET ?=
KEEP ?=
DRIFT ?=
FRAMEWORK ?=
EXAMPLES ?=
ROUNDS ?= 5
AGAINST ?= HEAD~1
WORKLOAD ?=
PROJECT ?=
PYTHON ?=
export DATA TARGET DRIFT FRAMEWORK WORKLOAD KEEP PROJECT PYTHON ROUNDS AGAINST EXAMPLES
export CALLER := $(value PWD)
unexport VENV
# Without bytecode on the disk, each of the tests' processes compiles the sources again.
unexport PYTHONDONTWRITEBYTECODE

override python = .venv/bin/python
override product = <<cookiecutter.project>>
override environment = sh "$(product)/scripts/environment"
# Tests wait for processes and timeouts, so that three of them keep two processors busy.
override workers = $$($(python) -c 'import os; print(os.cpu_count() * 3 // 2)')
override product_requirements = "$(product)/container/requirements.txt" "$(product)/local/requirements.txt" "$(product)/requirements-dev.txt"

.PHONY: help setup setup-dev packages operations wheel architecture phrases demo lint format test test-e2e test-large test-dialects test-reading test-tables setup-sdk test-sdk bench bench-jobs bench-drift bench-serving bench-images bench-build requirements clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile

setup: ## install what generates a project
	@$(environment) requirements.txt

setup-dev: ## install that, and what the checks need
	@$(environment) requirements.txt requirements-dev.txt $(product_requirements)
	@sh scripts/packages .venv

packages: ## install the sources of packages/ in a generated project; PROJECT=path/to/it
	@sh scripts/packages "$${PROJECT:?names no project: make packages PROJECT=path/to/it}/.venv"

operations: setup-dev ## write the page of the operations that the local cloud has
	@$(python) scripts/operations.py

wheel: setup-dev ## build the wheels of packages/ that generated projects install
	@sh scripts/wheel

architecture: setup-dev ## draw the pictures of docs/architecture.md from the code
	@$(python) scripts/architecture.py

phrases: ## list the phrases that docs/style.md avoids
	@python3 scripts/phrases.py

demo: setup ## generate a project into build/demo and run it; DATA=file.csv TARGET=column WORKLOAD=image FRAMEWORK=tensorflow KEEP=1
	@$(python) scripts/demo.py

lint: setup-dev ## ruff, mypy, and what the product's own lint checks
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy benchmarks hooks packages/version.py scripts tests
	@for package in packages/*/pyproject.toml; do \
		(cd "$${package%/*}" && ../../$(python) -m mypy src) || exit; done
	@cd "$(product)" && ../$(python) -m mypy .
	@cd "$(product)" && ../$(python) tests/lint

format: setup-dev ## let ruff format the code
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

test: setup-dev ## the quick tests, of the template, of the packages and of the product
	@$(python) -m pytest --numprocesses $(workers) -m "not e2e and not large"
	@workers=$(workers); for package in packages/*/pyproject.toml; do \
		(cd "$${package%/*}" && ../../$(python) -m pytest --numprocesses "$$workers") || exit; done
	@workers=$(workers); cd "$(product)" && ../$(python) -m pytest --numprocesses "$$workers" -m "not smoke and not slow"

test-e2e: setup-dev setup-sdk ## bakes pass their own checks; the demo on real tables, and its faults
	@$(python) scripts/e2e.py

test-large: setup-dev ## 2 GB of CSV are prepared in 1 GB of memory; takes minutes and 7 GB of disk
	@$(python) -m pytest -s -m large tests/prepare

test-dialects: setup-dev ## read 20,000 generated CSV files beside Python's csv and DuckDB's sniffer; takes minutes
	@VENV=build/venvs/dialects $(environment) "$(product)/container/requirements.txt" tests/dialects/requirements.txt
	@PYTHONPATH="$(product)" nice build/venvs/dialects/bin/python -m tests.dialects.generated

test-reading: setup-dev ## generated tables are read alike in prepare, serve and monitor; EXAMPLES=1000
	@cd "$(product)" && READING_EXAMPLES="$${EXAMPLES:-1000}" ../$(python) -m pytest tests/container/test_one_reading.py

test-tables: setup-dev ## compare the default model with a plain HistGradientBoosting on 68 small tables of other packages; ROUNDS=5
	@VENV=build/venvs/tables $(environment) "$(product)/container/requirements.txt" tests/tables/requirements.txt
	@OMP_NUM_THREADS=1 PYTHONPATH="$(product)" build/venvs/tables/bin/python tests/tables

setup-sdk: setup-dev ## install the SageMaker SDK as a generated project does, into build/venvs/sdk
	@PATH="$$PWD/.venv/bin:$$PATH" SIZE="300 MB to download, 1.3 GB on the disk" VENV=build/venvs/sdk $(environment) "$(product)/requirements-sdk.txt"

test-sdk: setup-dev setup-sdk ## run the SDK's own notebooks on a local cloud; EXAMPLES=checkout of aws/sagemaker-python-sdk
	@$(python) tests/sdk

bench: bench-jobs bench-drift bench-serving ## all benchmarks; they write build/bench.json; ROUNDS=5

bench-jobs: setup-dev ## time a job on the local cloud beside its bare process
	@PYTHONPATH="$(product)" $(python) -m benchmarks.jobs

bench-drift: setup-dev ## time the monitor beside pandas and evidently
	@VENV=build/venvs/drift $(environment) benchmarks/requirements.txt
	@PYTHONPATH="$(product)" $(python) -m benchmarks.drift

bench-serving: setup-dev ## alternate the endpoint's server with those of the field; nginx and wrk, by apt
	@for name in nginx wrk; do command -v $$name >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$name; } || exit; done
	@VENV=build/venvs/peers $(environment) benchmarks/serving/peers/requirements.txt
	@PYTHONPATH="$(product)" $(python) -m benchmarks.serving

bench-images: setup-dev ## measure an image model in five folds; ROUNDS=5 DATA=pictures.zip MODEL=name; writes build/bench-pictures.json
	@VENV=build/venvs/images $(environment) $(product_requirements) "$(product)/container/requirements-tensorflow.txt"
	@PYTHONPATH="$(product)" build/venvs/images/bin/python -m benchmarks.pictures

bench-build: setup-dev ## measure the pipeline's Build stage beside another commit's; AGAINST=commit
	@$(python) -m benchmarks.build

requirements: setup-dev ## compile the requirement files; UPGRADE=1 for the newest versions
	@cd "$(product)" && VENV=../.venv sh scripts/requirements
	@sh scripts/requirements

clean: ## remove what was made here, but for the environment
	@if [ -d build/demo ]; then $(python) scripts/demo.py clean; fi
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
