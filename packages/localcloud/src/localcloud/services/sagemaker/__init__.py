"""Amazon SageMaker AI: jobs, models, endpoints, monitoring schedules, Studio."""
