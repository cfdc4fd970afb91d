"""The history of deliveries, read from the services: executions, actions, jobs, decisions and traffic."""
