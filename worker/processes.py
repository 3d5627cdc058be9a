"""Processes that never outlive the one that started them."""

import ctypes
import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when process ``parent``, which must be its parent, ends. Where there is no Linux
    this only notices a parent that has ended already."""
    PR_SET_PDEATHSIG = 1
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)
