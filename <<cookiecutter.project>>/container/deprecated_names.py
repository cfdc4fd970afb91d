"""The former names of models and hyperparameters, which projects may use for one more release.

Only the standard library is imported: the pipeline reads this module too, before anything is installed.
"""

from collections.abc import Iterable

REMOVED_IN = "2.0"  # the release in which the former names stop working
MODELS = {
    "linear_regression": "linear_model",
    "oriented_gradients": "hog_svm",
    "tensorflow": "multilayer_perceptron",
}
HYPERPARAMETERS = {
    "convolutional_network": {"shift": "translation", "turn": "rotation", "light": "brightness"},
    "hog_svm": {"max_pictures": "max_images"},
}

TENSORFLOW = frozenset({"convolutional_network", "multilayer_perceptron", "tensorflow"})


def missing_model_hint(name: str) -> str:
    """Return where a model is to be had that a project lacks; nothing for a model that no project has."""
    return "; a project that is generated with framework=tensorflow has it" if name in TENSORFLOW else ""


def model_name(name: str, files: Iterable[str]) -> str:
    """Return the present name of a model, given the names of the model files of its workload.

    A file that has the former name is a user's own model, and keeps it.
    """
    return name if name in files else MODELS.get(name, name)


def hyperparameter_names(model: str, fields: Iterable[str] = ()) -> dict[str, str]:
    """Return the present name of each former hyperparameter of a model, except of those among its fields."""
    own = set(fields)
    return {old: new for old, new in HYPERPARAMETERS.get(model, {}).items() if old not in own}


def warning(kind: str, old: str, new: str) -> str:
    """Return the message about a former name; `kind` is what has it, "model" or "hyperparameter"."""
    return f"the {kind} '{old}' is now called '{new}': change project.toml before release {REMOVED_IN}"
