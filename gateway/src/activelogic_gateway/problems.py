# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Problem documents (RFC 9457): their kinds, and the conversion of the SDK's exceptions.

The SDK's classes are distinguished by name alone: whether they derive from one another is not documented.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from .redaction import redact

MEDIA_TYPE = "application/problem+json"

KINDS: dict[str, tuple[int, str]] = {
    "authentication_failed": (401, "The login is missing, or no session could be opened with it"),
    "too_many_failed_logins": (429, "Too many failed logins"),
    "unknown_system": (404, "No such system"),
    "unknown_backup": (404, "No such backup"),
    "unknown_operation": (404, "No such operation"),
    "unknown_route": (404, "No such route"),
    "no_content": (404, "This operation has no content"),
    "content_gone": (410, "The content is no longer kept"),
    "method_not_allowed": (405, "The route does not support this method"),
    "precondition_failed": (412, "The content does not match If-Match"),
    "bad_request": (400, "The request is malformed"),
    "invalid_request": (422, "The request does not match the API's schema"),
    "name_not_legal": (422, "The name is not a legal name of a backup"),
    "password_in_operation": (422, "The operation contains the password of its own login"),
    "empty_content": (422, "An empty file can't be uploaded"),
    "unsupported_media_type": (415, "The body has another media type"),
    "length_required": (411, "Content-Length is missing"),
    "length_mismatch": (400, "Content-Length differs from the operation's size"),
    "too_large": (413, "The content is too large"),
    "range_not_satisfiable": (416, "The range lies outside the content"),
    "headers_too_large": (431, "The headers are too large"),
    "request_timeout": (408, "The request came too slowly"),
    "digest_mismatch": (422, "The content has another digest"),
    "conflict": (409, "The operation is in another state or has another body"),
    "backup_exists": (409, "A backup of that name exists"),
    "wrong_machine": (409, "The system has another machine id"),
    "new_data_committed": (409, "Another session committed meanwhile; the command did not run"),
    "cancelled": (409, "The operation was deleted before it began"),
    "abandoned": (409, "The owner stopped polling the operation before it began"),
    "refused": (422, "The system answered the command with an error"),
    "replace_failed": (502, "A backup could not be replaced"),
    "unsupported": (501, "The system can't do this"),
    "capability_missing": (502, "The system and the Python package lack a common capability"),
    "sdk_error": (502, "The Python package of the system failed"),
    "unreachable": (502, "The system can't be reached"),
    "time_limit": (504, "A time limit of the gateway expired"),
    "transfer_incomplete": (502, "The backup was not transferred completely"),
    "too_busy": (503, "Too many operations or logins are waiting"),
    "gateway_restarted": (503, "The gateway was restarted before the operation began"),
    "shutting_down": (503, "The gateway is shutting down"),
    "spool_full": (507, "The gateway has no disk space for the content"),
    "internal_error": (500, "The gateway failed"),
}
"""HTTP status and title of each problem kind."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""The ``errno`` values that mean a full disk."""

NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
"""The ``errno`` values that mean that the gateway, not a system, has no file descriptors left."""

LOGIN_CHALLENGE = 'Basic realm="activelogic", charset="UTF-8"'


def type_of(kind: str) -> str:
    """Return the member ``type`` of problems of this kind."""
    return "urn:activelogic:problem:" + kind.replace("_", "-")


class Problem(Exception):
    """A refusal or failure of one of :data:`KINDS`; becomes an RFC 9457 document.

    :param detail: a sentence for people; must not contain a secret.
    :param reason: the detail without any leading system and action, such as "system edge1: could not log in: ".
    :param exception: class name of the SDK's exception, if one is the cause.
    :param retry_after: seconds for the header Retry-After.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        reason: str | None = None,
        exception: str | None = None,
        system: str | None = None,
        operation: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.reason = detail if reason is None else reason
        self.exception = exception
        self.system = system
        self.operation = operation
        self.status, self.title = KINDS[kind]
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if self.status == 401:
            self.headers["WWW-Authenticate"] = LOGIN_CHALLENGE

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": type_of(self.kind),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "kind": self.kind,
            "exception": self.exception,
            "system": self.system,
            "operation": self.operation,
        }


_CONNECTING = {
    "PLDBIOError": "authentication_failed",
    "PLDBCapabilityError": "capability_missing",
    "PLDBUnsupportedInFirmware": "unsupported",
    "PLDBUnsupportedInHardware": "unsupported",
    "PLDBDetached": "unreachable",
    "PLDBNewDataCommitted": "new_data_committed",
    "PLDBCriticalError": "refused",
    "PLDBError": "refused",
    "OSError": "unreachable",  # TimeoutError, ConnectionRefusedError and failed name resolution are OSErrors
}
_COMMAND = {
    "PLDBNewDataCommitted": "new_data_committed",
    "PLDBUnsupportedInFirmware": "unsupported",
    "PLDBUnsupportedInHardware": "unsupported",
    "PLDBCapabilityError": "capability_missing",
    "PLDBIOError": "unreachable",
    "PLDBDetached": "unreachable",
    "PLDBCriticalError": "refused",
    "PLDBError": "refused",
    "OSError": "unreachable",
}
ANSWERED = frozenset({"new_data_committed", "unsupported", "capability_missing", "refused"})
"""Kinds after which a command is known not to have run: the system responded with an error."""


def class_names(error: BaseException) -> list[str]:
    """Return the class names of ``error``, most derived first; an exception from a session process carries them."""
    carried: list[str] | None = getattr(error, "class_names", None)
    return carried if carried is not None else [each.__name__ for each in type(error).__mro__]


def is_named(error: BaseException, name: str) -> bool:
    """Whether ``error`` is an instance of a class of this name, or of a class derived from it."""
    return name in class_names(error)


def kind_of(error: BaseException, connecting: bool) -> str:
    """Return the problem kind for an exception of the SDK.

    :param connecting: whether ``async_connect`` raised it: there PLDBIOError means a failed authorization, later a
        lost connection (vendor's pages on connecting and on exceptions).
    """
    if getattr(error, "errno", None) in NO_ROOM:
        return "spool_full"
    if getattr(error, "errno", None) in NO_DESCRIPTORS:
        return "too_busy"
    table = _CONNECTING if connecting else _COMMAND
    return next((table[name] for name in class_names(error) if name in table), "sdk_error")


def from_sdk(error: BaseException, *, connecting: bool, doing: str, system: str, secrets: tuple[str, ...]) -> Problem:
    """Convert an exception of the SDK into a problem.

    :param doing: what was being done, as in "list the backups".
    :param secrets: strings that must not appear in the detail.
    """
    kind = kind_of(error, connecting)
    name = class_names(error)[0]
    if kind == "authentication_failed":
        return not_logged_in(system, is_known=True, exception=name)
    try:
        said = redact(" ".join(str(error).split()), secrets)[:500]
    except Exception:  # a defect of the package: the problem is reported without the exception's text
        said = ""
    reason = f"{name}: {said}" if said else name
    if kind == "refused" and "lock" in said.lower():  # how the system says so is not documented
        reason += "; another session may hold the lock"
    return Problem(
        kind,
        f"system {system}: could not {doing}: {reason}",
        reason=reason,
        exception=name,
        system=system,
        retry_after=60 if kind == "spool_full" else None,
    )


def not_logged_in(system: str, is_known: bool, exception: str | None = None) -> Problem:
    """Make the problem for a session that could not be opened, possibly because the system refused the login.

    PLDBIOError while connecting means a failed authorization, or a connection that could not be established or
    encrypted (vendor's page on exceptions); nothing distinguishes these.

    :param is_known: whether the caller has a login that works; to others, don't reveal whether the system exists.
    """
    reason = "it refused the login, or the connection to it could not be established"
    if not is_known:
        reason += ", or the gateway has no system of this name"
    return Problem("authentication_failed", f"system {system}: {reason}", reason=reason, exception=exception)
