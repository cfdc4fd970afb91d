"""Build the library, as the Dockerfile does: `python -m container.inference.native`."""

import sys

from container.inference.native.library import BUILT, UnavailableError
from container.inference.native.load import load
from container.runtime.log import log

if __name__ == "__main__":
    try:
        log("built", compiler=load().compiler, directory=BUILT)
    except UnavailableError as error:
        sys.exit(f"error: {error}")
