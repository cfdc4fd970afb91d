"""Build the library, as the Dockerfile does: `python -m container.inference.native`."""

import sys

from container.inference.native import library
from container.runtime.log import log

if __name__ == "__main__":
    try:
        log("built", compiler=library.load().compiler, directory=library.BUILT)
    except library.UnavailableError as error:
        sys.exit(f"error: {error}")
