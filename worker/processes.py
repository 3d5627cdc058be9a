"""Processes that never outlive the process that started them."""

import ctypes
import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent, the process ``parent``, ends.

    On systems other than Linux this only ends the process if the parent has ended already.
    """
    PR_SET_PDEATHSIG = 1
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl was called
        os._exit(1)


def start_as_child(parent: int) -> None:
    """Begin the life of a process that was forked from ``parent``: die with it, and leave its signals to it.

    The handlers that the parent has set would do the parent's work here: stop its audit, for example.
    """
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
