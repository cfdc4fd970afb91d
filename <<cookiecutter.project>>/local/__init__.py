"""The project on this machine: its own templates, state machine and container on a local cloud."""

import signal
import sys

if sys.argv[0] == "-m":  # an interrupt ends the command, also while modules are imported, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
