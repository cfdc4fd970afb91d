"""See tests/lint/command.py."""

import sys
from pathlib import Path

# Python looks for modules in the folder that it runs, and the project is not an installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.lint.command import main

sys.exit(main())
