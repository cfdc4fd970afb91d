"""The window of a comparison: captured requests of another time are left out."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from container.runtime.environment import Variable


def parse_second(text: str) -> str:
    """Return a time to the second in UTC, as `inferenceTime` has it before its Z; Model Monitor adds blanks.

    Raises:
        ValueError: the text is not a time of ISO 8601.
    """
    moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text.replace(" ", "")))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


_RULE = "a time such as 2026-01-31T14:00:00Z"


@dataclass(frozen=True)
class Window:
    """Hold the first second of a window and the one after its last, in UTC; an empty one is not a limit."""

    start: Annotated[str, Variable("start_time", parse=parse_second, rule=_RULE)] = ""
    end: Annotated[str, Variable("end_time", parse=parse_second, rule=_RULE)] = ""

    def contains(self, time: str) -> bool:
        """Tell whether an `inferenceTime` lies in the window."""
        return self.start <= time and (not self.end or time < self.end)
