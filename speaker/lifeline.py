"""Ties a child process to its supervisor, and tells the supervisor when it is ready."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h
READY_FD_VARIABLE = "STENTOR_READY_FD"
PARENT_VARIABLE = "STENTOR_SUPERVISOR"


def die_with_parent() -> None:
    """
    Have the kernel SIGKILL this process when its supervisor dies; no-op without a supervisor.

    SIGKILL rather than SIGTERM: a dead supervisor is a crash, and after a crash the next herald
    adopts seats under their lease, where an orderly stop would hand every seat over.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def tell_ready() -> None:
    """Tell the supervisor that this process does its work; no-op without a supervisor."""
    text = os.environ.pop(READY_FD_VARIABLE, None)
    if text is not None:
        os.write(int(text), b"1")
        os.close(int(text))
