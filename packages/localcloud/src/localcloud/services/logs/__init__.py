"""CloudWatch Logs: ministack's, whose FilterLogEvents takes a prefix of streams."""
