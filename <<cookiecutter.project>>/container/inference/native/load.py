"""The C library, built when it is missing."""

import os
from functools import cache

from container.inference.native import build, library
from container.inference.native.library import Library, UnavailableError


@cache
def load() -> Library:
    """Return the library, which is built where it is missing and a compiler is found.

    Raises:
        UnavailableError: there is neither a library nor a compiler.
    """
    try:
        return library.read(library.BUILT)
    except UnavailableError:
        build.build(library.BUILT, os.environ)
    return library.read(library.BUILT)
