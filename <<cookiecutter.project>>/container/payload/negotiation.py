"""Which form a request has, and which form its caller takes an answer in."""

from __future__ import annotations

from functools import lru_cache

from container.payload.errors import Refusal, shown

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
NPY = "application/x-npy"
SUPPORTED = (JSON, CSV, JSON_LINES, NPY)
LISTED = f"{', '.join(SUPPORTED[:-1])} or {SUPPORTED[-1]}"
CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


@lru_cache(maxsize=256)
def content_type(header: bytes) -> tuple[str, str]:
    """Return a request's media type and its `header` parameter (`present`, `absent` or empty, RFC 4180).

    Raises `Refusal` 415 for a type, or a character set, that is not read here.
    """
    name, parameters = _parse(header)
    if name not in SUPPORTED:
        said = shown(name) if name else "no Content-Type"
        raise Refusal(415, "unsupported-media-type", f"the request has {said}; send {LISTED}")
    charset = parameters.get("charset", "").lower()
    if charset not in CHARSETS:
        raise Refusal(415, "unsupported-charset", f"the request is in {shown(charset)}; send UTF-8")
    return name, parameters.get("header", "").lower()


@lru_cache(maxsize=256)
def answer_type(header: bytes, default: str) -> str:
    """Return the media type to answer in: the best that `Accept` asks for, `default` where it does not say.

    Raises `Refusal` 406 when the caller takes nothing that is written here.
    """
    if not header:
        return default
    weights = {
        kind: _weight(header, kind) for kind in (default, *(kind for kind in SUPPORTED if kind != default))
    }
    best = max(weights, key=lambda kind: weights[kind])  # the first, the default, among equals
    if weights[best] > 0:
        return best
    asked = shown(header.decode("latin-1"))
    raise Refusal(406, "not-acceptable", f"Accept is {asked}; answers are {LISTED}")


@lru_cache(maxsize=256)
def forms(content: bytes, accept: bytes) -> tuple[str, str, str]:
    """Return a request's media type, its `header` parameter, and the type to answer in. Raises `Refusal`."""
    kind, header = content_type(content)
    return kind, header, answer_type(accept, kind)


def name_of(header: bytes) -> str:
    """Return a request's media type, without its parameters."""
    return _parse(header)[0]


def _weight(header: bytes, kind: str) -> float:
    """Return the q-value that an `Accept` header gives a media type: its most specific range decides."""
    ranges = {name: _quality(parameters) for name, parameters in map(_parse, header.split(b","))}
    family = kind.partition("/")[0] + "/*"
    return next((ranges[name] for name in (kind, family, "*/*") if name in ranges), 0.0)


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


def _parse(header: bytes) -> tuple[str, dict[str, str]]:
    name, *rest = header.decode("latin-1").split(";")
    pairs = (part.partition("=") for part in rest)
    return name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
