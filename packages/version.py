"""The version of a package: a number that a person chooses, and a digest of the source.

An installer does not replace an installed version by another content with the same version. With the digest,
each change of the source is a version of its own.
"""

import hashlib
from pathlib import Path

DIGITS = 12  # of the digest, in hexadecimal
PACKAGES = Path(__file__).resolve().parent
DECLARED = ("pyproject.toml", "README.md")


def sources(package: Path) -> list[Path]:
    """Return the files that are in a package's wheel, or decide what is: sorted by path."""
    packed = [path for path in (package / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sorted([*packed, *(package / name for name in DECLARED)])


def version(name: str, number: str) -> str:
    """Return the version of the package in the folder `name`, for example 1.0.0+0123456789ab."""
    package, digest = PACKAGES / name, hashlib.sha256()
    for path in sources(package):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{number}+{digest.hexdigest()[:DIGITS]}"
