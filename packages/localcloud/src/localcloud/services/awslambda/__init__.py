"""AWS Lambda: weighted aliases, metrics by version, errors by their own names."""
