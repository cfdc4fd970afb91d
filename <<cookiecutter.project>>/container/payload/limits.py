"""The largest request and response bodies, by InvokeEndpoint's model in the API of SageMaker's runtime."""

MAX_REQUEST_BYTES = MAX_RESPONSE_BYTES = 6 * 1024 * 1024
