# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Translate the problem documents and statuses of a gateway into errors. Private to this collection."""

from __future__ import annotations

import re
from typing import Any

from .. import _failures
from .._connection import Settings
from .._errors import AccessDeniedError, ActiveLogicError, TransferError, UnreachableError
from .._failures import Failure
from .._text import shorten

REPEATABLE_STATUS = (429, 502, 503, 504)

_SECONDS = re.compile(r"[0-9]{1,9}")

PROBLEMS: dict[str, Failure] = {
    "authentication_failed": _failures.PROBLEM_LOGIN,
    "too_many_failed_logins": _failures.PROBLEM_LOGINS,
    "unknown_system": _failures.PROBLEM_SYSTEM,
    "unknown_backup": _failures.PROBLEM_BACKUP,
    "unknown_operation": _failures.PROBLEM_OPERATION,
    "no_content": _failures.PROBLEM_OPERATION,
    "content_gone": _failures.PROBLEM_OPERATION,
    "unknown_route": _failures.PROBLEM_REQUEST,
    "method_not_allowed": _failures.PROBLEM_REQUEST,
    "precondition_failed": _failures.PROBLEM_REQUEST,
    "bad_request": _failures.PROBLEM_REQUEST,
    "invalid_request": _failures.PROBLEM_REQUEST,
    "unsupported_media_type": _failures.PROBLEM_REQUEST,
    "length_required": _failures.PROBLEM_REQUEST,
    "length_mismatch": _failures.PROBLEM_REQUEST,
    "range_not_satisfiable": _failures.PROBLEM_REQUEST,
    "headers_too_large": _failures.PROBLEM_REQUEST,
    "name_not_legal": _failures.PROBLEM_NAME,
    "password_in_operation": _failures.PASSWORD_IN_OPERATION,
    "empty_content": _failures.PROBLEM_EMPTY,
    "conflict": _failures.PROBLEM_CONFLICT,
    "cancelled": _failures.PROBLEM_CONFLICT,
    "backup_exists": _failures.PROBLEM_TAKEN,
    "wrong_machine": _failures.PROBLEM_MACHINE,
    "new_data_committed": _failures.PROBLEM_STALE,
    "abandoned": _failures.PROBLEM_LATER,
    "too_busy": _failures.PROBLEM_LATER,
    "gateway_restarted": _failures.PROBLEM_LATER,
    "shutting_down": _failures.PROBLEM_LATER,
    "request_timeout": _failures.PROBLEM_LATER,
    "unreachable": _failures.PROBLEM_UNREACHABLE,
    "time_limit": _failures.PROBLEM_TIME,
    "digest_mismatch": _failures.PROBLEM_TRANSFER,
    "transfer_incomplete": _failures.PROBLEM_TRANSFER,
    "replace_failed": _failures.PROBLEM_TRANSFER,
    "too_large": _failures.PROBLEM_ROOM,
    "spool_full": _failures.PROBLEM_ROOM,
    "refused": _failures.PROBLEM_REFUSED,
    "unsupported": _failures.PROBLEM_REFUSED,
    "capability_missing": _failures.PROBLEM_REFUSED,
    "sdk_error": _failures.PROBLEM_DEFECT,
    "internal_error": _failures.PROBLEM_DEFECT,
}
"""The failure for each ``kind`` of problem; an unknown kind counts as a refusal."""


def error_from_response(response: Any, document: Any, settings: Settings) -> ActiveLogicError:
    status = response.status_code
    if isinstance(document, dict) and "kind" in document:
        return error_from_problem(document, settings, _retry_after(response), status in REPEATABLE_STATUS)
    if status == 401:
        return _failures.PROBLEM_LOGIN.error(said="the gateway refused the login")
    if status in REPEATABLE_STATUS:
        return _failures.GATEWAY_STATUS_BUSY.error(status=status, repeatable=True, retry_after=_retry_after(response))
    if 300 <= status < 400:
        return _failures.GATEWAY_REDIRECT.error(status=status)
    return _failures.GATEWAY_STATUS.error(status=status)


def error_from_problem(
    problem: Any, settings: Settings, retry_after: float | None = None, may_repeat: bool = False
) -> ActiveLogicError:
    """Translate a problem document (RFC 9457) of the gateway."""
    if not isinstance(problem, dict):
        return _failures.GATEWAY_ANSWER_WRONG.error(flaw="has no problem")
    texts = {key: value for key, value in problem.items() if isinstance(value, str)}
    kind = texts.get("kind", "")
    # The final message names the system and the operation anyway. Older gateways send no separate reason.
    reason = (texts.get("reason") or texts.get("detail") or texts.get("title") or kind).strip().rstrip(".")
    reason = shorten(reason.replace(settings.password, "********")) or "the gateway does not say why"
    failure = PROBLEMS.get(kind, _failures.PROBLEM_REFUSED)
    # AccessDeniedError may be retried: no login was tried, so no refused login is repeated.
    may_repeat = may_repeat and issubclass(failure.error_class, (UnreachableError, TransferError, AccessDeniedError))
    return failure.error(said=reason, repeatable=may_repeat, retry_after=retry_after)


def _retry_after(response: Any) -> float | None:
    """The header Retry-After in seconds, if it is a number (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    return float(text) if _SECONDS.fullmatch(text) else None
