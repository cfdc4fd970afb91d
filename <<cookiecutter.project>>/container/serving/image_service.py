"""The service of image classifiers.

A response is JSON with each label's probability, or CSV with the label and its probability, as `Accept` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.images import decode
from container.payload import images, negotiation
from container.payload.limits import MAX_RESPONSE_BYTES
from container.payload.responses import CONTENT_TYPES
from container.serving.messages import Response
from container.serving.service import Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from container.model_artifact import ModelArtifact


class ImageService(Service):
    """Respond to requests with images."""

    def __init__(self, artifact: ModelArtifact, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(artifact, max_bytes)
        self.side = artifact.schema.side or 0

    def respond(self, body: bytes, content_type: bytes, accept: bytes) -> Response:
        """Return the predictions for a body of a `Content-Type`, encoded as `Accept` asks.

        Raises:
            RequestError: the request cannot be read, or the response cannot be written.
        """
        bodies = images.split(body, content_type)
        response_kind = negotiation.response_type(accept, negotiation.JSON)
        self.encoder.check_rows(len(bodies), response_kind)
        pixels: NDArray[Any] = np.stack(
            [
                decode.pixels(images.decode_image(encoded, row), self.side)
                for row, encoded in enumerate(bodies, 1)
            ]
        )
        encoded = self.encoder.encode(self.artifact.predict(pixels), response_kind)
        self.totals.rows += len(pixels)
        headers = [
            (b"content-type", CONTENT_TYPES[response_kind]),
            (b"content-length", b"%d" % len(encoded)),
        ]
        return Response(200, headers, encoded)

    def warm_up(self) -> None:
        """Predict a grey image, so that the first caller does not pay for lazy imports."""
        grey: NDArray[Any] = np.full((1, self.artifact.schema.width), 128, dtype=np.uint8)
        self.artifact.predict(grey)
