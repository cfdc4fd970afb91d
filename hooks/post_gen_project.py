"""Drop what declined options have, and what tests have left in the template; say what to do next."""

import json
import shutil
import sys
from pathlib import Path

ANSWERS: dict[str, str] = json.loads(r"""<< cookiecutter | tojson >>""")

# What a project has for one answer only.
OPTIONS = {("framework", "tensorflow"): "container/requirements-tensorflow.*"}

for (question, answer), paths in OPTIONS.items():
    if ANSWERS[question] != answer:
        for path in list(Path().glob(paths)):
            path.unlink()
for pattern in ("__pycache__", ".*_cache", ".hypothesis"):
    for folder in list(Path().rglob(pattern)):
        if (
            ".venv" not in folder.parts
        ):  # of an older project, whose imports would be slow without their bytecode
            shutil.rmtree(folder)

sys.stdout.write(f"Made the project {ANSWERS['project']}. Next: cd {ANSWERS['project']} && make run\n")
for tool in ("make", "git"):
    if not shutil.which(tool):
        sys.stdout.write(
            f"{tool} is missing and the project needs it: install your system's package {tool}.\n"
        )
