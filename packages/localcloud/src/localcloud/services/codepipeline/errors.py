"""How an action fails."""

from __future__ import annotations


class ActionError(Exception):
    """Fails an action with AWS's code and a message for a person."""

    def __init__(self, code: str, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.code, self.message = code, message


class AbandonedError(Exception):
    """Ends an action that nobody waits for any more."""
