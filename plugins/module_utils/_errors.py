# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hierarchy of errors. Private to this collection.

::

    ActiveLogicError
    ├── OptionError            an option is missing or invalid; nothing was contacted
    ├── DependencyError        a Python package is missing where the module runs
    ├── UnreachableError       no connection, or it was lost, before anything could happen
    │   ├── CertificateError   the gateway's certificate is not trusted
    │   └── LocalResourceError the machine where the module runs is out of files, memory or network
    ├── AuthenticationError    the login was refused
    ├── AccessDeniedError      not allowed for this user or address, or not now (throttled)
    ├── NotFoundError          no such system or backup
    ├── ConflictError          the name is taken, or someone else is changing the system
    │   └── StaleDataError     another session has committed (PLDBNewDataCommitted)
    ├── RefusedError           the system answered the command with an error
    ├── IncompleteBackupError  a backup is not complete
    ├── DeadlineError          one of our own timeouts expired
    ├── OutcomeUnknownError    a write may or may not have happened
    ├── NotRestoredError       a restore ran, but the system has another configuration
    ├── TransferError          bytes were lost or changed in transit
    ├── ProtocolError          the gateway sent an invalid answer
    ├── LocalFileError         a problem with a file or folder where the module runs
    ├── EndedError             a signal ended the module
    └── UnexpectedError        a bug in this collection

A task fails with these exceptions only, and only :mod:`_failures` creates them. Foreign exceptions are translated in
one place, in the transports and in the code for local files, with ``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._text import printable


class ActiveLogicError(Exception):
    """Base of all errors.

    :param reason: what happened, as the end of a sentence: no capital letter, no full stop, no secret.
    :param hint: what the user can do, as a separate clause; empty when there is no advice.
    :param operation: what was being done, such as "list the backups"; see :func:`during`.
    :param repeatable: whether the same request may be sent again.
    :param retry_after: seconds that the peer asked us to wait; ``None`` when it did not.

    ``facts`` are return values that are valid in spite of the failure, such as ``changed``. ``is_of_system`` says
    whether the system caused it, or the connection to the system; all other errors happened where the module runs, at
    the gateway, or between the two, and say nothing about the system. ``is_outage`` says whether it shows that the
    system is unavailable.
    """

    kind = "error"
    default_hint = ""

    def __init__(
        self,
        reason: str,
        *,
        hint: str = "",
        operation: str = "",
        repeatable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint or self.default_hint
        self.operation = operation
        self.repeatable = repeatable
        self.retry_after = retry_after
        self.facts: dict[str, Any] = {}
        self.is_of_system = False
        self.is_outage = False

    def sentence(self, system: str) -> str:
        """One sentence with the system, the operation, the reason and the hint; safe for a terminal.

        :param system: the system's name or address as the user wrote it; empty when it is not known.
        """
        where = f"ActiveLogic system {system}" if system else "ActiveLogic"
        start = f"{where}: could not {self.operation}: " if self.operation else f"{where}: "
        return printable(start + self.reason + (f"; {self.hint}" if self.hint else "") + ".")

    def to_result(self, system: str, tries: int, elapsed: float) -> dict[str, Any]:
        """The result of a task that fails with this error; ``elapsed`` in seconds."""
        texts = {"operation": printable(self.operation), "hint": printable(self.hint)}
        details = {"kind": self.kind, "system": system, **texts}
        counts = {"tries": tries, "elapsed": elapsed}
        return {"msg": self.sentence(system), "error": {**details, **counts}, **counts, **self.facts}


@contextmanager
def during(operation: str) -> Iterator[None]:
    """Set the operation of an error that is raised in the block, unless it has one already.

    :param operation: such as "list the backups".
    """
    try:
        yield
    except ActiveLogicError as error:
        error.operation = error.operation or operation
        raise


class OptionError(ActiveLogicError):
    """An option is missing or invalid."""

    kind = "option"


class DependencyError(ActiveLogicError):
    """A Python package is missing where the module runs."""

    kind = "dependency"


class UnreachableError(ActiveLogicError):
    """No connection could be made, or it was lost before the request could have any effect."""

    kind = "unreachable"


class CertificateError(UnreachableError):
    """The gateway's certificate is not trusted, or is for another name."""

    kind = "certificate"
    default_hint = "set ca_path to the certificate of the authority that signed it, or correct gateway_url"


class LocalResourceError(UnreachableError):
    """No connection could be made because of the machine where the module runs, not the other side."""

    kind = "local_resources"
    default_hint = "raise the limits of this user there (ulimit -a), or make room for it"


class AuthenticationError(ActiveLogicError):
    """The login was refused."""

    kind = "authentication"
    default_hint = "check username and password"


class AccessDeniedError(ActiveLogicError):
    """This user or address is not allowed to do this, or not now."""

    kind = "access_denied"
    default_hint = "check the privileges of the user"


class NotFoundError(ActiveLogicError):
    """No such system, or no such backup."""

    kind = "not_found"
    default_hint = "check the name"


class ConflictError(ActiveLogicError):
    """The name is taken, or someone else is changing the system."""

    kind = "conflict"
    default_hint = "look at the system's backups, and run the task again"


class StaleDataError(ConflictError):
    """Another session has committed to the resource since it was opened; the command did not run."""

    kind = "stale_data"
    default_hint = "run the task again"


class RefusedError(ActiveLogicError):
    """The system answered the command with an error; the command did not run."""

    kind = "refused"
    default_hint = "check name and resource_name, the privileges of the user, and the system"


class IncompleteBackupError(ActiveLogicError):
    """A backup is empty, smaller than required, damaged, or still growing."""

    kind = "incomplete"


class DeadlineError(ActiveLogicError):
    """One of our timeouts expired. The reason names the option that sets it."""

    kind = "deadline"


class OutcomeUnknownError(ActiveLogicError):
    """A command that changes something was sent, and it is not known whether it ran."""

    kind = "outcome_unknown"
    default_hint = "look at the system's backups before you run the task again"


class NotRestoredError(ActiveLogicError):
    """A restore ran, but a fresh backup proves that the system has another configuration."""

    kind = "not_restored"
    default_hint = "compare the backups"


class TransferError(ActiveLogicError):
    """The received content differs from the sent content, in length or in bytes."""

    kind = "transfer"
    default_hint = "run the task again"


class ProtocolError(ActiveLogicError):
    """The peer sent an answer that this collection can't understand."""

    kind = "protocol"
    default_hint = "check that gateway_url names an activelogic-gateway of a matching version"


class LocalFileError(ActiveLogicError):
    """A file or folder can't be used where the module runs."""

    kind = "local_file"
    default_hint = "correct the path, its permissions, or the room on its disk"


class EndedError(ActiveLogicError):
    """A signal asked the process to end."""

    kind = "ended"
    default_hint = "look at the system's backups before you run the task again"


class UnexpectedError(ActiveLogicError):
    """An unexpected exception."""

    kind = "unexpected"
    default_hint = "report it with this message, and look at the system's backups before you run the task again"
