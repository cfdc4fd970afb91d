"""Bodies of requests and responses, from their content types to arrays and back."""
