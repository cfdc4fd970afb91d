"""Deployment of a SageMaker project's stacks, removal of all of a project, and packaging of its templates."""
