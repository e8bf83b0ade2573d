# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Translate the exceptions of the vendor's package into errors of this collection. Private to this collection.

Classes are recognised by name only, as their hierarchy is not documented. An error of the local operating system (a
full disk, too many open files) says nothing about the ActiveLogic system, and is never reported as its answer.
"""

from __future__ import annotations

import base64
import errno
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from .. import _failures
from .._connection import Settings
from .._errors import ActiveLogicError
from .._files._access import file_error
from ._sdk_process import SdkEndedError

LOST = ("PLDBIOError", "PLDBDetached", "ConnectionError", "EOFError", "TimeoutError")
ANSWERED = (
    "PLDBError",
    "PLDBCriticalError",
    "PLDBCapabilityError",
    "PLDBUnsupportedInFirmware",
    "PLDBUnsupportedInHardware",
)
NETWORK_CLASSES = ("ConnectionError", "TimeoutError", "gaierror", "herror", "SSLError")
NETWORK = frozenset(
    getattr(errno, name)
    for name in (
        "EADDRNOTAVAIL",
        "ECONNABORTED",
        "ECONNREFUSED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETRESET",
        "ENETUNREACH",
        "ENOTCONN",
        "EPIPE",
        "ESHUTDOWN",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
"""Errors of the operating system about the network. All others are about this machine."""

EXHAUSTED = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""This machine has run out of something; reported even if the package raised another exception because of it."""

MAX_SAID = 500
SHORTEST_PASSWORD = 4
"""Characters; a text that contains a shorter password is dropped, as masking would leave nothing of it."""


class Translator:
    """Turns error answers of the package's process into errors, for one login."""

    def __init__(self, settings: Settings) -> None:
        self._module = settings.sdk_module
        self._username = settings.username
        self._password = settings.password

    # By what failed

    def importing(self, answer: Mapping[str, Any]) -> ActiveLogicError:
        """The package could not be imported, or lacks something."""
        if "flaw" in answer:
            return _failures.SDK_FAILED.error(module=self._module, flaw=answer["flaw"])
        error = answer["error"]
        names, said = error["names"], self._said(error)
        if "ImportError" in names and said:
            return _failures.SDK_MISSING.error(name=self._module, said=self._text(error))
        return _failures.SDK_MISSING.error(name=self._module, said=f"{names[0]}{said}")

    def ended(self, ended: SdkEndedError, writes: bool) -> ActiveLogicError:
        """The process has ended."""
        return self._failed(str(ended), writes)

    def local(self, why: str, writes: bool = False) -> ActiveLogicError:
        """Something failed where the module runs."""
        if writes:
            return _failures.LOCAL_FAILED_UNKNOWN.error(module=self._module, why=why)
        return _failures.LOCAL_FAILED.error(module=self._module, why=why)

    def connecting(self, answer: Mapping[str, Any], repeatable: bool) -> ActiveLogicError:
        """A login failed.

        :param repeatable: whether the login may be retried after PLDBIOError, which does not say what is wrong.
        """
        if "flaw" in answer:
            return self._failed(answer["flaw"], writes=False)
        error = answer["error"]
        names, said = error["names"], self._said(error)
        if local := self._local(error, "", writes=False):
            return local
        if "PLDBIOError" in names:
            return _failures.SYSTEM_LOGIN.error(user=self._username, said=said, repeatable=repeatable)
        if "ConnectionRefusedError" in names:
            return _failures.SYSTEM_REFUSES.error(said=said, repeatable=True)
        if any(name in names for name in ("TimeoutError", "OSError", "EOFError", "PLDBDetached")):
            return _failures.SYSTEM_UNREACHABLE.error(said=said, repeatable=True)
        if any(name in names for name in (*ANSWERED, "PLDBNewDataCommitted")):
            return _failures.SYSTEM_LOGIN_FAILED.error(exception=names[0], said=said)
        return self._failed(f"failed with {names[0]}{said}", writes=False)

    def command(self, answer: Mapping[str, Any], writes: bool, path: str) -> tuple[ActiveLogicError, bool]:
        """A command failed; returns the error, and whether the session is lost.

        :param writes: whether the command changes something.
        :param path: the local file of a transfer.
        """
        writes = writes and answer.get("phase") != "opening"
        if "flaw" in answer:
            return self._failed(answer["flaw"], writes), False
        error = answer["error"]
        names, said = error["names"], self._said(error)
        if answer.get("phase") == "committing":
            return _failures.SYSTEM_COMMIT_UNKNOWN.error(what=f"its commit failed with {names[0]}{said}"), True
        if "PLDBNewDataCommitted" in names:
            return _failures.SYSTEM_STALE.error(said=said), False
        if local := self._local(error, path, writes):
            return local, False
        if names[0] not in ANSWERED and self._is_lost(error):
            if writes:
                return _failures.SYSTEM_LOST_UNKNOWN.error(said=said), True
            return _failures.SYSTEM_LOST.error(said=said, repeatable=True), True
        if any(name in names for name in ANSWERED):
            if writes and re.search(r"\block(ed|s)?\b", error["text"], re.IGNORECASE):
                return _failures.SYSTEM_LOCKED.error(exception=names[0], said=said), False
            return _failures.SYSTEM_ERROR.error(exception=names[0], said=said), False
        return self._failed(f"failed with {names[0]}{said}", writes), False

    # Kinds of errors

    def _failed(self, flaw: str, writes: bool) -> ActiveLogicError:
        if writes:
            return _failures.SDK_FAILED_UNKNOWN.error(module=self._module, flaw=flaw)
        return _failures.SDK_FAILED.error(module=self._module, flaw=flaw)

    def _is_lost(self, error: Mapping[str, Any]) -> bool:
        names, behind = error["names"], error["system_error"]
        if any(name in names for name in LOST):
            return True
        if behind is not None and behind["is_itself"] and _is_network(behind):
            return True
        return bool(error["is_not_connected"])

    def _local(self, error: Mapping[str, Any], path: str, writes: bool) -> ActiveLogicError | None:
        """The error for a local cause of an exception; ``None`` if it has none."""
        behind = error["system_error"]
        if behind is None or _is_network(behind) or behind["number"] is None:
            return None
        if not behind["is_itself"] and behind["number"] not in EXHAUSTED:
            return None
        found, why = behind["path"], self._clean(behind["why"])
        # A file that could not be opened was not sent; any other failure may have happened during the transfer.
        if found is not None and (not writes or found == path):
            return file_error(OSError(behind["number"], why, self._clean(found)), path)
        if path and not writes:
            return file_error(OSError(behind["number"], why), path)
        return self.local(why if found is None else f"{self._clean(found)}: {why}", writes)

    # Texts

    def _said(self, error: Mapping[str, Any]) -> str:
        """The text of an exception, in brackets."""
        text = self._text(error)
        return f" ({text})" if text else ""

    def _text(self, error: Mapping[str, Any]) -> str:
        return self._clean(error["text"]).rstrip(".")[:MAX_SAID]

    def _clean(self, text: str) -> str:
        """An untrusted text on one line, without the password and without control characters."""
        text = without_password(text, self._username, self._password)
        text = without_password(" ".join(text.split()), self._username, self._password)
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _is_network(behind: Mapping[str, Any]) -> bool:
    return any(name in behind["names"] for name in NETWORK_CLASSES) or behind["number"] in NETWORK


def without_password(text: str, username: str, password: str) -> str:
    """Mask the password in a text, also when it is quoted or encoded; drop the text if the password is very short."""
    if not password:
        return text
    plain, pair = password.encode("utf-8", "surrogatepass"), f"{username}:{password}".encode("utf-8", "surrogatepass")
    forms = {
        password,
        " ".join(password.split()),
        repr(password)[1:-1],
        json.dumps(password)[1:-1],
        quote(plain, safe=""),
        quote(plain),
        quote_plus(plain),
        base64.b64encode(plain).decode("ascii"),
        base64.urlsafe_b64encode(plain).decode("ascii"),
        base64.b64encode(pair).decode("ascii"),
        base64.urlsafe_b64encode(pair).decode("ascii"),
        plain.hex(),
    }
    for form in sorted(filter(None, forms), key=len, reverse=True):
        if len(form) < SHORTEST_PASSWORD and form in text:
            return ""
        text = re.sub(re.escape(form), "********", text, flags=re.IGNORECASE)
    return text
