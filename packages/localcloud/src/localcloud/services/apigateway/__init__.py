"""Amazon API Gateway: what ministack lacks."""
