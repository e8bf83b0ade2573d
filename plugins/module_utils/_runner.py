# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module's work; the only file that uses AnsibleModule. Private to this collection."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import FrameType
from typing import TYPE_CHECKING, Any

from ._client import Client, open_client
from ._connection import logins_in_places, masking_warning, settings_from
from ._context import Context, Notes
from ._errors import ActiveLogicError
from ._failures import ENDED_BY_SIGNAL, UNEXPECTED
from ._names import zone_from
from ._notice import VARIABLE, Notice
from ._options import hide_login, require_absolute_paths
from ._text import printable

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class _Module:
    """Implements :class:`Ansible` with an AnsibleModule."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    @property
    def temporary_folder(self) -> str:
        folder: str = self._module.tmpdir  # created on first use
        return folder

    def warn(self, text: str) -> None:
        self._module.warn(text)

    def run(self, command: list[str]) -> tuple[int, str]:
        code, _out, errors = self._module.run_command(command, expand_user_and_vars=False, handle_exceptions=False)
        return code, errors

    def program(self, name: str) -> str | None:
        found: str | None = self._module.get_bin_path(name)
        return found

    def mode_from(self, status: os.stat_result, text: str) -> int:
        return int(self._module._symbolic_mode_to_octal(status, text))

    def flags_of(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._module.get_file_attributes(path, include_version=False)
        return found

    def set_security_context(self, path: str) -> bool:
        arguments = self._module.load_file_common_arguments(dict(self._module.params), path=path)
        return bool(self._module.set_context_if_different(path, arguments["secontext"], False))


class _EndedBySignal(BaseException):
    """A signal asked the process to end; unwinds the stack, so that files and operations are cleaned up."""


def run(module: AnsibleModule, work: Callable[[Context], dict[str, Any]]) -> None:
    """Do a module's work and exit.

    ``work`` returns the result, to which ``elapsed`` (seconds) and ``tries`` are added. Any exception becomes a failure
    with a one-sentence message and the structured ``error``.
    """
    start = time.monotonic()
    client: Client | None = None
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _unwind)
    module.no_log_values.update(logins_in_places(module.params))
    notes = Notes(str(module.params.get("host") or ""), Notice(os.environ.get(VARIABLE, "")))
    try:
        try:
            require_absolute_paths(module.argument_spec, module.params)
            zone = zone_from(module.params["timezone"])
            client = open_client(settings_from(module.params))
            context = Context(
                params=module.params,
                client=client,
                check_mode=module.check_mode,
                ansible=_Module(module),
                now=datetime.now(timezone.utc),
                zone=zone,
                notes=notes,
                diff=bool(module._diff),
            )
            result = work(context)
        finally:
            if client is not None:
                client.close()
    except ActiveLogicError as error:
        _fail(module, error, notes, client, start)
    except _EndedBySignal as ended:
        _fail(module, ENDED_BY_SIGNAL.error(signal=ended), notes, client, start)
    except Exception as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught
        # The text is omitted because it may contain secrets.
        unexpected = UNEXPECTED.error(exception=type(error).__name__, place=_place(error))
        _fail(module, unexpected, notes, client, start)
    else:
        result = {"tries": client.tries, "elapsed": _since(start), **result}
        if "reason" in result:
            result["reason"] = printable(result["reason"])
        _warn(module, client, result)
        module.exit_json(**result)


def _warn(module: AnsibleModule, client: Client | None, result: Mapping[str, Any]) -> None:
    """Warn about unusable rows of the listing, and about a password that masks too much."""
    if client is not None and client.passed_over:
        module.warn(printable(client.passed_over))
    warning = masking_warning(module.params, result)
    if warning is not None:
        module.warn(warning)


def _fail(module: AnsibleModule, error: ActiveLogicError, notes: Notes, client: Client | None, start: float) -> None:
    notes.complete(error)
    tries = 1 if client is None else client.tries
    failure = error.to_result(hide_login(str(module.params.get("host") or "")), tries, _since(start))
    _warn(module, client, failure)
    module.fail_json(**failure)


def _place(error: Exception) -> str:
    """Where an exception was raised: file, line, and function."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}"


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise _EndedBySignal(signal.Signals(number).name)
