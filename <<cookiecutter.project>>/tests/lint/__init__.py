"""Checks of templates and state machines beyond a parser's: `python tests/lint`."""
