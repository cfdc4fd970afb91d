"""The version: a number that a person chooses, and a digest of the source.

An installer does not replace an installed version by another content with the same version. With the digest,
each change of the source is a version of its own.
"""

import hashlib
from pathlib import Path

NUMBER = "1.0.0"
DIGITS = 12  # of the digest, in hexadecimal
HERE = Path(__file__).parent
DECLARED = ("pyproject.toml", "README.md")


def sources() -> list[Path]:
    """Return the files that are in the wheel, or decide what is: sorted by path."""
    packed = [path for path in (HERE / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sorted([*packed, *(HERE / name for name in DECLARED)])


def version() -> str:
    """Return the version, for example 1.0.0+0123456789ab."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(HERE).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{NUMBER}+{digest.hexdigest()[:DIGITS]}"
