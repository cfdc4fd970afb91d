"""A project's CloudFormation templates: reading, checking and packaging."""
