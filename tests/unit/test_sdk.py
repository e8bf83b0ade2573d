# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The direct way: what counts as a listing, how the vendor's exceptions are classified, and what is reported."""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from activelogic_embedded import exception
from ansible_collections.netops.activelogic.plugins.module_utils._connection import Settings
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._transport import _sdk_session
from ansible_collections.netops.activelogic.plugins.module_utils._transport._sdk_errors import (
    Translator,
    without_password,
)

SECRET = "pä ss\\W0rd/+\"'?x"  # noqa: S105 - not a real password
FILE = "/archive/there.plb"


@dataclass
class Row:
    name: Any
    size: Any


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def system_error(number: int, path: str | bytes | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


def because(error: Exception, behind: Exception) -> Exception:
    """An exception with a cause, as with ``raise ... from``."""
    error.__cause__ = behind
    return error


def meanwhile(error: Exception, behind: Exception) -> Exception:
    """An exception with a context: raised while another one was handled."""
    error.__context__ = behind
    return error


def answer(error: BaseException, phase: str = _sdk_session.SENT) -> dict[str, Any]:
    """What the package's process would answer; it must be serializable to JSON."""
    made: dict[str, Any] = json.loads(json.dumps({"error": _sdk_session.describe(error), "phase": phase}))
    return made


def translator(password: str = SECRET) -> Translator:
    return Translator(Settings("edge1", "admin", password, sdk_module="vendor"))


# Listings


@pytest.mark.parametrize(
    "listed",
    [
        "a.plb",
        b"a.plb",
        {"a.plb": 1},
        None,
        5,
        iter([Row("a.plb", 1)]),
        [object()],
        [Row(None, 1)],
        [Row(b"a.plb", 1)],
        [Row(5, 1)],
        [Row("a.plb", None)],
        [Row("a.plb", "1")],
        [Row("a.plb", 1.0)],
        [Row("a.plb", float("nan"))],
        [Row("a.plb", True)],
        [Row("a.plb", -1)],
        [Row("a.plb", 2**63)],
        [Row("a.plb", 10**5000)],
        [("a.plb", 1)],
        ["a.plb"],
        [Row("a.plb", 1)] * (_sdk_session.MAX_ROWS + 1),
    ],
    ids=range(21),
)
def test_what_is_no_listing_is_a_flaw(listed: Any) -> None:
    with pytest.raises(_sdk_session._FlawError):
        _sdk_session._rows(listed)


def test_a_listing_is_a_list_of_names_and_sizes() -> None:
    class Text(str):
        """A subclass that a package might use."""

    rows = [Row("a.plb", 0), Row(Text("b.plb"), 2**63 - 1), Row("\udcff", 5)]
    assert _sdk_session._rows(rows) == [("a.plb", 0), ("b.plb", 2**63 - 1), ("\udcff", 5)]
    assert json.loads(json.dumps(_sdk_session._rows(tuple(rows)))) == [
        ["a.plb", 0],
        ["b.plb", 2**63 - 1],
        ["\udcff", 5],
    ]


# While connecting

FULL, FILES = system_error(errno.ENOSPC), system_error(errno.EMFILE)
DENIED, ELSEWHERE = system_error(errno.EACCES, "/etc/vendor.pem"), system_error(errno.EHOSTUNREACH)
NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
UNTRUSTED = ssl.SSLError(1, "wrong version number")  # 1 is also the value of EPERM
PLAIN = OSError("something")

CONNECTING: list[tuple[Callable[[], BaseException], str, bool]] = [
    (lambda: exception.PLDBIOError("no"), "authentication", False),
    (lambda: because(exception.PLDBIOError("no"), DENIED), "authentication", False),
    (lambda: because(exception.PLDBIOError("no"), ConnectionResetError()), "authentication", False),
    (lambda: because(exception.PLDBIOError("no"), FILES), "local_file", False),
    (lambda: meanwhile(exception.PLDBIOError("no"), because(KeyError(), FULL)), "local_file", False),
    (lambda: ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "unreachable", True),
    (lambda: TimeoutError("late"), "unreachable", True),
    (lambda: ELSEWHERE, "unreachable", True),
    (lambda: NO_NAME, "unreachable", True),
    (lambda: UNTRUSTED, "unreachable", True),
    (lambda: PLAIN, "unreachable", True),
    (lambda: exception.PLDBDetached("going down"), "unreachable", True),
    (lambda: FILES, "local_file", False),
    (lambda: FULL, "local_file", False),
    (lambda: DENIED, "local_file", False),
    (lambda: system_error(errno.ENOENT, b"/etc/vendor.pem"), "local_file", False),
    (lambda: exception.PLDBError("no"), "refused", False),
    (lambda: exception.PLDBCapabilityError("no"), "refused", False),
    (lambda: KeyError("no"), "protocol", False),
    (lambda: SystemExit(3), "protocol", False),
    (UnspeakableError, "protocol", False),
]


@pytest.mark.parametrize(("raised", "kind", "repeatable"), CONNECTING, ids=lambda each: str(each)[:20])
def test_what_a_login_meets(raised: Callable[[], BaseException], kind: str, repeatable: bool) -> None:
    error = translator().connecting(answer(raised()), repeatable=False)
    assert (error.kind, error.repeatable) == (kind, repeatable), error.reason


def test_a_login_that_worked_before_may_be_sent_again() -> None:
    """PLDBIOError does not say whether the password is wrong, and repeated wrong ones may lock the account."""
    for repeatable in (True, False):
        error = translator().connecting(answer(exception.PLDBIOError("no")), repeatable)
        assert error.repeatable is repeatable
        assert "refused the login of user admin, or the connection to it could not be established (no)" in error.reason
        order = [error.hint.index(each) for each in ("is up", "username and password", "hosts")]
        assert order == sorted(order)


# Commands: error kind for a read, error kind for a write that was sent, whether the session is lost

COMMANDS: list[tuple[Callable[[], BaseException], str, str, bool]] = [
    (lambda: exception.PLDBIOError("no"), "unreachable", "outcome_unknown", True),
    (lambda: exception.PLDBDetached("no"), "unreachable", "outcome_unknown", True),
    (lambda: ConnectionResetError(errno.ECONNRESET, "reset"), "unreachable", "outcome_unknown", True),
    (lambda: BrokenPipeError(errno.EPIPE, "pipe"), "unreachable", "outcome_unknown", True),
    (EOFError, "unreachable", "outcome_unknown", True),
    (lambda: ELSEWHERE, "unreachable", "outcome_unknown", True),
    (lambda: UNTRUSTED, "unreachable", "outcome_unknown", True),
    (lambda: _sdk_session._NotConnectedError("not connected"), "unreachable", "outcome_unknown", True),
    (lambda: exception.PLDBNewDataCommitted("no"), "stale_data", "stale_data", False),
    (lambda: exception.PLDBError("no"), "refused", "refused", False),
    (lambda: because(exception.PLDBError("no"), FULL), "local_file", "outcome_unknown", False),
    (lambda: because(exception.PLDBIOError("no"), FULL), "local_file", "outcome_unknown", False),
    (lambda: because(exception.PLDBIOError("no"), DENIED), "unreachable", "outcome_unknown", True),
    (lambda: exception.PLDBUnsupportedInFirmware("no"), "refused", "refused", False),
    (lambda: FULL, "local_file", "outcome_unknown", False),
    (lambda: FILES, "local_file", "outcome_unknown", False),
    (lambda: DENIED, "local_file", "outcome_unknown", False),
    (lambda: system_error(errno.ENOENT, FILE), "local_file", "local_file", False),
    (lambda: PLAIN, "protocol", "outcome_unknown", False),
    (MemoryError, "protocol", "outcome_unknown", False),
    (lambda: TypeError("no"), "protocol", "outcome_unknown", False),
    (UnspeakableError, "protocol", "outcome_unknown", False),
]


@pytest.mark.parametrize(("raised", "read", "written", "is_lost"), COMMANDS, ids=lambda each: str(each)[:20])
def test_what_a_command_meets(raised: Callable[[], BaseException], read: str, written: str, is_lost: bool) -> None:
    found = [translator().command(answer(raised()), writes, FILE) for writes in (False, True)]
    assert [error.kind for error, _lost in found] == [read, written], found[0][0].reason
    assert [lost for _error, lost in found] == [is_lost, is_lost]
    opening = translator().command(answer(raised(), _sdk_session.OPENING), True, FILE)[0]
    assert opening.kind == read, "a command that was not sent did not run"
    committing = translator().command(answer(raised(), _sdk_session.COMMITTING), True, FILE)[0]
    assert committing.kind == "outcome_unknown"
    assert "its commit failed" in committing.reason


@pytest.mark.parametrize(
    ("text", "is_lock"),
    [
        ("Resource is LOCKED by admin", True),
        ("can't get lock", True),
        ("blocked", False),
        ("clock is wrong", False),
        ("no", False),
    ],
)
def test_a_lock_is_told_where_the_system_speaks_of_one(text: str, is_lock: bool) -> None:
    read, write = (translator().command(answer(exception.PLDBError(text)), writes, "")[0] for writes in (False, True))
    assert ("may hold the lock" in write.reason) is is_lock
    assert "may hold the lock" not in read.reason
    assert "lock" in write.hint or "session has committed" in write.hint


@pytest.mark.parametrize("path", ["", FILE])
def test_a_full_disk_is_told_with_its_file(path: str) -> None:
    error: ActiveLogicError = translator().command(answer(FULL), False, path)[0]
    assert "No space left on device" in error.reason
    assert path in error.reason


# Error texts


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.upper(),
        repr(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET).lower(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"admin:{SECRET}".encode()).decode(),
        SECRET.encode().hex(),
        SECRET.replace(" ", " \n\t "),
    ],
)
def test_no_form_of_the_password_is_told(form: str) -> None:
    for error in (exception.PLDBError(f"a {form} b"), because(KeyError(form), FULL), system_error(errno.EACCES, form)):
        for made in (
            translator().connecting(answer(error), repeatable=False),
            translator().command(answer(error), True, "")[0],
            translator().importing(answer(error)),
        ):
            assert form not in made.sentence("edge1")
    told = translator().command(answer(exception.PLDBError(f"a {form} b.")), True, "")[0]
    assert told.reason == "the system answered with PLDBError (a ******** b)"


def test_a_short_password_drops_a_text_that_holds_it_and_no_other() -> None:
    assert without_password("a banana", "admin", "a") == ""
    assert without_password("xyz", "admin", "a") == "xyz"
    assert without_password("any text", "admin", "") == "any text"


def test_what_a_terminal_would_obey_is_told_as_text() -> None:
    error = exception.PLDBError("\x1b[31mred\u202e\r\nforged: line " + "x" * 5000)
    told = translator().command(answer(error), False, "")[0].reason
    assert "(\\x1b[31mred\\u202e forged: line xx" in told
    assert told.isprintable()
    assert len(told) < 600
