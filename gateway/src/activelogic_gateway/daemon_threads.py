# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An executor for a loop whose calls may hang for ever: nothing waits for its threads but :meth:`DaemonThreads.join`.

A loop's own executor is joined at the end of ``asyncio.run``, and again when the interpreter exits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """One daemon thread for each call. It derives from the pool because ``set_default_executor`` takes nothing else."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # of the pool's own, which is never used
        self._calls: set[threading.Thread] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the call on a thread of its own."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        thread = threading.Thread(target=run, name="activelogic-call", daemon=True)
        self._calls = {each for each in self._calls if each.is_alive()} | {thread}
        thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the loop must not wait."""

    def join(self) -> None:
        """Wait for all calls, however long they take."""
        for each in self._calls:
            each.join()
