# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that can go wrong, in one tree. Private to this collection.

::

    ActiveLogicError
    ├── OptionError            an option is missing or impossible; nothing was contacted
    ├── DependencyError        a Python package is missing where the module runs
    ├── UnreachableError       no connection, or it was lost, before anything could happen
    │   ├── CertificateError   the gateway's certificate is not trusted
    │   └── LocalResourceError the machine where the module runs has no more open files, memory or network
    ├── AuthenticationError    the login was refused
    ├── AccessDeniedError      the address or the user may not do this now (throttled, no privilege)
    ├── NotFoundError          no such system or backup
    ├── ConflictError          the name is taken, or somebody else is at work
    │   └── StaleDataError     another session committed (PLDBNewDataCommitted)
    ├── RefusedError           the system answered the command with an error
    ├── IncompleteBackupError  a backup that is not whole
    ├── DeadlineError          one of our own clocks ran out
    ├── OutcomeUnknownError    a write may or may not have happened
    ├── NotRestoredError       a restore ran, and the system holds something else
    ├── TransferError          bytes were lost or changed on the way
    ├── ProtocolError          the gateway answered something that makes no sense
    ├── LocalFileError         a file or folder where the module runs
    ├── EndedError             the module was asked to end by a signal
    └── UnexpectedError        a defect of this collection

Nothing else in this collection defines exceptions that a task can fail with, and only :mod:`_failures` makes them.
Foreign exceptions are translated once, in the transports and in the code that touches local files, with
``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._text import printable


class ActiveLogicError(Exception):
    """Base of all errors.

    :param reason: what happened, as the end of a sentence: no capital letter, no full stop, no secret.
    :param hint: what the user can do, as a clause of its own; empty when there is nothing to advise.
    :param operation: what was being done, as in "list the backups"; filled in by whoever knows it.
    :param repeatable: whether the same request may be sent again.
    :param retry_after: seconds that the peer asked us to wait; ``None`` when it did not.

    ``facts`` are return values that hold in spite of the failure, such as ``changed``. ``is_of_system`` says whether it
    is an answer of the system, or a failure between that and who asks it; all others say nothing about the system, for
    they happened where the module runs, at the gateway, or between those two. ``is_outage`` says whether it shows that
    the system is away.
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
        """One sentence that names the operation, the system, the reason, and what to do, fit for a terminal.

        :param system: the system's name or address as the user wrote it; empty when it is not known.
        """
        where = f"ActiveLogic system {system}" if system else "ActiveLogic"
        start = f"{where}: could not {self.operation}: " if self.operation else f"{where}: "
        return printable(start + self.reason + (f"; {self.hint}" if self.hint else "") + ".")

    def to_result(self, system: str, tries: int, elapsed: float) -> dict[str, Any]:
        """What a task returns that fails with this error; ``elapsed`` in seconds."""
        texts = {"operation": printable(self.operation), "hint": printable(self.hint)}
        details = {"kind": self.kind, "system": system, **texts}
        counts = {"tries": tries, "elapsed": elapsed}
        return {"msg": self.sentence(system), "error": {**details, **counts}, **counts, **self.facts}


@contextmanager
def during(operation: str) -> Iterator[None]:
    """Give an error that leaves the block the operation that it happened in, unless it has one already.

    :param operation: as in "list the backups".
    """
    try:
        yield
    except ActiveLogicError as error:
        error.operation = error.operation or operation
        raise


class OptionError(ActiveLogicError):
    """An option is missing or impossible."""

    kind = "option"


class DependencyError(ActiveLogicError):
    """A Python package is missing where the module runs."""

    kind = "dependency"


class UnreachableError(ActiveLogicError):
    """No connection could be made, or it was lost before the request could have had an effect."""

    kind = "unreachable"


class CertificateError(UnreachableError):
    """The gateway's certificate is not trusted, or does not fit its name."""

    kind = "certificate"
    default_hint = "set ca_path to the certificate of the authority that signed it, or correct gateway_url"


class LocalResourceError(UnreachableError):
    """No connection could be made, for a reason where the module runs; it says nothing about the other side."""

    kind = "local_resources"
    default_hint = "raise the limits of this user there (ulimit -a), or make room for it"


class AuthenticationError(ActiveLogicError):
    """The login was refused."""

    kind = "authentication"
    default_hint = "check username and password"


class AccessDeniedError(ActiveLogicError):
    """This user or address may not do this, or not now."""

    kind = "access_denied"
    default_hint = "check the privileges of the user"


class NotFoundError(ActiveLogicError):
    """No such system, or no such backup."""

    kind = "not_found"
    default_hint = "check the name"


class ConflictError(ActiveLogicError):
    """The name is taken, or somebody else is at work on the system."""

    kind = "conflict"
    default_hint = "look at the system's backups, and run the task again"


class StaleDataError(ConflictError):
    """Another session committed to the resource since it was opened; the command did not run."""

    kind = "stale_data"
    default_hint = "run the task again"


class RefusedError(ActiveLogicError):
    """The system answered the command with an error; the command did not run."""

    kind = "refused"
    default_hint = "check name and resource_name, the privileges of the user, and the system"


class IncompleteBackupError(ActiveLogicError):
    """A backup is empty, smaller than asked for, or still growing."""

    kind = "incomplete"


class DeadlineError(ActiveLogicError):
    """A clock of ours ran out. The reason names the option that sets it."""

    kind = "deadline"


class OutcomeUnknownError(ActiveLogicError):
    """A command that changes something was sent, and whether it ran is not known."""

    kind = "outcome_unknown"
    default_hint = "look at the system's backups before you run the task again"


class NotRestoredError(ActiveLogicError):
    """A restore ran, and a fresh backup proves that the system holds another configuration than the backup."""

    kind = "not_restored"
    default_hint = "compare the backups"


class TransferError(ActiveLogicError):
    """What arrived is not what was sent: other length or other content."""

    kind = "transfer"
    default_hint = "run the task again"


class ProtocolError(ActiveLogicError):
    """The peer answered something that this collection can't understand."""

    kind = "protocol"
    default_hint = "check that gateway_url names an activelogic-gateway of a matching version"


class LocalFileError(ActiveLogicError):
    """A file or folder where the module runs can't be used."""

    kind = "local_file"
    default_hint = "correct the path, its permissions, or the room on its disk"


class EndedError(ActiveLogicError):
    """The process was asked to end by a signal."""

    kind = "ended"
    default_hint = "look at the system's backups before you run the task again"


class UnexpectedError(ActiveLogicError):
    """An exception that nobody foresaw."""

    kind = "unexpected"
    default_hint = "report it with this message, and look at the system's backups before you run the task again"
