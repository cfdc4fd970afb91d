"""The process that SageMaker starts: its paths, user, log, errors, and its peers on other hosts."""
