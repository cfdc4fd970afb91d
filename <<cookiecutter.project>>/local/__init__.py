"""The project on this machine: its own templates, state machine and container on a local cloud."""
