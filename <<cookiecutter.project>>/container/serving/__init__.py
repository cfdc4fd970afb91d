"""The endpoint: `GET /ping` and `POST /invocations`, by SageMaker's contract for serving containers."""


def main() -> None:
    """Serve the model in `<base>/model/` until SIGTERM.

    Raises:
        UserError: the port is in use, the model cannot be loaded, or the workers keep ending.
    """
    from container.serving.supervisor import serve  # noqa: PLC0415 - other commands never load the server

    serve()
