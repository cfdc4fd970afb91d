"""The commands of `python -m local` that every project has, one module a group; each has `register(app)`."""
