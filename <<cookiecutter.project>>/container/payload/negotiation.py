"""Content negotiation: the media type of a request, and the one that its caller accepts in the response."""

from __future__ import annotations

from functools import lru_cache

from container.payload.errors import RequestError, quoted

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
NPY = "application/x-npy"
SUPPORTED = (JSON, CSV, JSON_LINES, NPY)
SUPPORTED_TEXT = f"{', '.join(SUPPORTED[:-1])} or {SUPPORTED[-1]}"
CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


@lru_cache(maxsize=256)
def content_type(header: bytes) -> tuple[str, str]:
    """Return a request's media type and its `header` parameter (`present`, `absent` or empty, RFC 4180).

    Raises:
        RequestError: with status 415, for an unsupported media type or character set.
    """
    name, parameters = _parse(header)
    if name not in SUPPORTED:
        sent = quoted(name) if name else "no Content-Type"
        raise RequestError(415, "unsupported-media-type", f"the request has {sent}; send {SUPPORTED_TEXT}")
    charset = parameters.get("charset", "").lower()
    if charset not in CHARSETS:
        raise RequestError(415, "unsupported-charset", f"the request is in {quoted(charset)}; send UTF-8")
    return name, parameters.get("header", "").lower()


@lru_cache(maxsize=256)
def response_type(header: bytes, default: str) -> str:
    """Return the media type that `Accept` prefers, or `default` where it has no preference.

    Raises:
        RequestError: with status 406, the caller accepts none of the supported types.
    """
    if not header:
        return default
    weights = {
        kind: _weight(header, kind) for kind in (default, *(kind for kind in SUPPORTED if kind != default))
    }
    best = max(weights, key=lambda kind: weights[kind])  # the first, the default, among equals
    if weights[best] > 0:
        return best
    accepted = quoted(header.decode("latin-1"))
    raise RequestError(406, "not-acceptable", f"Accept is {accepted}; answers are {SUPPORTED_TEXT}")


@lru_cache(maxsize=256)
def negotiate(content: bytes, accept: bytes) -> tuple[str, str, str]:
    """Return a request's media type, its `header` parameter, and the media type of the response.

    Raises:
        RequestError: with status 415 or 406, one of them is not supported.
    """
    kind, header = content_type(content)
    return kind, header, response_type(accept, kind)


def media_type(header: bytes) -> str:
    """Return a request's media type, without its parameters."""
    return _parse(header)[0]


def _weight(header: bytes, kind: str) -> float:
    """Return a media type's q-value by an `Accept` header, whose most specific range decides (RFC 9110)."""
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
