"""Run the end-to-end tests: `make test-e2e`.

Many tests wait for the local cloud's clock. Meanwhile bakes run their own checks, at the lowest priority.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "build" / "bakes.log"
# These tests measure users' latencies, so nothing else runs beside them.
ALONE = ["tests/canary/test_canary.py"]
WAITING = ["tests/canary/test_killed.py", "tests/faults", "tests/loop"]
BUSY = ["tests/template/test_own_checks.py"]


def pytest(*arguments: str) -> list[str]:
    """Return the command that runs end-to-end tests."""
    return [sys.executable, "-m", "pytest", "-m", "e2e", *arguments]


def passes(*arguments: str) -> bool:
    """Run tests, and return whether they have passed."""
    return subprocess.run(pytest(*arguments), cwd=ROOT, check=False).returncode == 0


def pass_beside() -> bool:
    """Run waiting and busy tests side by side, print their output, and return whether all have passed."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        busy = subprocess.Popen(
            ["nice", "-n", "19", *pytest(*BUSY)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        waiting = passes(*WAITING)
        code = busy.wait()
    sys.stdout.write(LOG.read_text(encoding="utf-8", errors="replace"))
    sys.stdout.flush()
    return waiting and code == 0


def main() -> int:
    """Run all tests, also after a failure; return the exit code."""
    known = [f"--ignore={path}" for path in (*ALONE, *WAITING, *BUSY)]
    passed = [passes(*ALONE), pass_beside(), passes(*known)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
