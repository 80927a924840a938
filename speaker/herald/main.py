"""
The herald process: `python -m speaker.herald.main SETTINGS`.

What is done here comes before the other modules are loaded: on a busy machine that takes a second
of the three that the lease leaves a restarted herald, and 0.4 s once it has its priority.
"""

import signal
import sys

from speaker import lifeline
from speaker.herald import lean, realtime


def main() -> int:
    """Run a herald until it is told to stop; returns the exit code."""
    lifeline.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the supervisor's affair
    lean.keep_out()
    granted = realtime.enter()
    from speaker.herald.process import run  # noqa: PLC0415 - see above

    return run(sys.argv[1], granted)


if __name__ == "__main__":
    sys.exit(main())
