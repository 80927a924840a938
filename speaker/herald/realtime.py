"""What keeps the herald on time: scheduling, memory, garbage collection. All of it best effort."""

import ctypes
import gc
import os
from pathlib import Path

PRIORITY = 10  # of SCHED_FIFO: above every ordinary task, below the kernel's own threads (50)
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # asm-generic/mman.h
SMAPS_ROLLUP = Path("/proc/self/smaps_rollup")


def enter() -> dict[str, bool]:
    """
    Ask for real-time scheduling and locked memory; say what was granted.

    Children do not inherit the priority. Memory is locked as it is touched (MCL_ONFAULT), since
    locking all that is mapped would read in libLLVM, which stock libbcc is linked with.
    """
    return {"sched_fifo": _sched_fifo(), "locked_memory": _lock_memory()}


def _sched_fifo() -> bool:
    try:
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True


def _lock_memory() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) == 0


def settle() -> None:
    """Call once everything is loaded: what lives until the end is never looked at again by gc."""
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).malloc_trim(0)


def spare() -> None:
    """Call after a plan was taken, so that full collections of garbage leave it alone."""
    gc.freeze()


def anonymous_bytes() -> int:
    """Anonymous memory of this process, 0 where the kernel does not tell."""
    try:
        lines = SMAPS_ROLLUP.read_text().splitlines()
    except OSError:
        return 0
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("Anonymous:")]
    return int(kilobytes) * 1024
