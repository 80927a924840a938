"""How daemons run and end; apart from the exit codes, which commands want without asyncio."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from stentor.exits import ExitCode, FatalError, fatal_in
from stentor.logging import Log


def exit_code_of(work: Callable[[], None], log: Log) -> ExitCode:
    """Do the work of a process; a FatalError, alone or in groups, is logged and is its code."""
    try:
        work()
    except FatalError as exc:
        fatal = exc
    except BaseExceptionGroup as group:
        found = fatal_in(group)
        if found is None:
            raise
        fatal = found
    else:
        return ExitCode.OK
    log.error(fatal.event, message=str(fatal))
    return fatal.code


async def until_signalled(work: Coroutine[Any, Any, None], *numbers: signal.Signals) -> None:
    """Do `work` until one of these signals cancels it."""
    running = asyncio.ensure_future(work)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
