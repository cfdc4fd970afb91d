"""The endpoint: `GET /ping` and `POST /invocations`, by SageMaker's contract for serving containers."""


def main() -> None:
    """Serve the model in `<base>/model/` until SIGTERM. Raises `UserError` when it cannot."""
    from container.serving.supervisor import serve  # noqa: PLC0415  other commands never load the server

    serve()
