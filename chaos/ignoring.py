"""`python ignoring.py COMMAND …`: runs a command for which a full disk is an error and not a signal.

A process that writes beyond its RLIMIT_FSIZE is ended by SIGXFSZ, unless it ignores that; then the write fails,
as it does on a full disk.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.execv(sys.argv[1], sys.argv[1:])
