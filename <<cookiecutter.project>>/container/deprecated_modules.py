"""The former places of what model files import, which a project's own models may use for one more release.

Importing a former module gives the present one, with the former names of what it defines, and logs a warning.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from container.deprecated_names import REMOVED_IN
from container.runtime.log import log

FORMS = {"make": "compile_model"}
# Former module: present module, and the former names of what it defines.
MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "container.errors": ("container.runtime.errors", {}),
    "container.log": ("container.runtime.log", {}),
    "container.cluster": ("container.runtime.process_group", {"Cluster": "ProcessGroup", "join": "connect"}),
    "container.compiled": ("container.inference.native", {}),
    "container.compiled.arrays": ("container.inference.native.tensor_file", {}),
    "container.compiled.boosting": ("container.inference.native.boosting", FORMS),
    "container.compiled.forest": ("container.inference.native.forest", FORMS),
    "container.compiled.form": (
        "container.inference.compiled_model",
        {"Form": "CompiledModel", "UnsuitableError": "UnsupportedModelError", "of": "compile_model"},
    ),
    "container.compiled.gradients": ("container.inference.hog_svm", {**FORMS, "answers": "predict"}),
    "container.compiled.line": ("container.inference.native.linear", FORMS),
    "container.compiled.links": ("container.inference.activations", {}),
    "container.compiled.litert": (
        "container.inference.litert",
        {"LARGEST": "MAX_INPUT", "narrowed": "to_float32"},
    ),
    "container.compiled.store": ("container.inference.native.serialization", {}),
    "container.models.linear_regression": (
        "container.models.linear_model",
        {"LinearRegression": "LinearModel"},
    ),
    "container.models.image.oriented_gradients": ("container.models.image.hog_svm", {}),
    "container.pictures": ("container.images", {}),
    "container.pictures.gradients": ("container.images.hog", {}),
}


class FormerModules(MetaPathFinder, Loader):
    """Find the former modules where no file has their name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a former module is loaded; None for any other module."""
        del path, target
        return spec_from_loader(name, self, is_package=True) if name in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a former module with the names of the present one."""
        place, names = MODULES[module.__name__]
        present = vars(importlib.import_module(place))
        log("deprecated", module=module.__name__, now=place, removed_in=REMOVED_IN)
        # A package's modules stay out, or their former names would not be found through this finder.
        public = {
            name: value
            for name, value in present.items()
            if not name.startswith("__") and not isinstance(value, ModuleType)
        }
        vars(module).update(public, **{old: present[new] for old, new in names.items()})


def install() -> None:
    """Let former modules be imported, after all others: a file of that name comes first."""
    if not any(isinstance(finder, FormerModules) for finder in sys.meta_path):
        sys.meta_path.append(FormerModules())
