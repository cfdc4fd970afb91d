"""Remove the files of declined options and the caches of tests in the template; print the next step."""

import json
import shutil
import sys
from pathlib import Path

ANSWERS: dict[str, str] = json.loads(r"""<< cookiecutter | tojson >>""")

# Files that a project has for one answer only.
OPTIONS = {
    ("framework", "tensorflow"): (
        "container/requirements-tensorflow.*",
        "container/models/_distributed.py",
        "container/models/_keras.py",
        "container/models/_network.py",
        "container/models/multilayer_perceptron.py",
        "container/models/image/_convolutions.py",
        "container/models/image/convolutional_network.py",
        "tests/container/test_convolutions.py",
        "tests/container/test_multilayer_perceptron.py",
        "tests/container/test_networks.py",
        "tests/container/serving/test_serving_tensorflow.py",
    ),
    ("workload", "image"): (
        "container/images/[!_]*.py",
        "container/inference/hog_svm.py",
        "container/models/image/_convolutions.py",
        "container/models/image/convolutional_network.py",
        "container/models/image/hog_svm.py",
        "container/payload/images.py",
        "container/serving/image_service.py",
        "local/pictures.py",
        "tests/container/monitor/test_monitor_pictures.py",
        "tests/container/serving/test_serving_pictures.py",
        "tests/container/test_convolutions.py",
        "tests/container/test_image_models.py",
        "tests/container/test_image_sources.py",
        "tests/container/test_images.py",
        "tests/local/test_pictures.py",
    ),
}

for (question, answer), patterns in OPTIONS.items():
    if ANSWERS[question] != answer:
        for path in [path for pattern in patterns for path in Path().glob(pattern)]:
            path.unlink()
for pattern in ("__pycache__", ".*_cache", ".hypothesis"):
    for folder in list(Path().rglob(pattern)):
        # Generating over an older project keeps the bytecode in its .venv, which speeds up its imports.
        if ".venv" not in folder.parts:
            shutil.rmtree(folder)

sys.stdout.write(f"Made the project {ANSWERS['project']}. Next: cd {ANSWERS['project']} && make run\n")
for tool in ("make", "git"):
    if not shutil.which(tool):
        sys.stdout.write(
            f"{tool} is missing and the project needs it: install your system's package {tool}.\n"
        )
