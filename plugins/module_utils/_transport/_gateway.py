# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through an activelogic-gateway: the vendor's verbs as operations of its HTTP API.

Private to this collection.
Every call here is safe to send again: reads change nothing, and everything else is an operation whose UUID this side
chooses, so that the gateway runs it at most once.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from .. import _failures, _sentences
from .._connection import Settings
from .._deadline import Deadline
from .._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    UnreachableError,
)
from .._files._access import Opener, open_regular
from .._model import Listing, Received, Sent, System, listed
from .._text import shorten
from ._base import LOST, RETURNED, Attempts
from ._content import Content
from ._documents import MAX_LISTING, IncompleteError, Rows, digest, text, whole, wrong
from ._http import Http, has_end
from ._problems import error_from_problem

LONG_POLL = 25.0
"""Seconds that the gateway may hold a poll (its own upper limit)."""

POLL_PAUSE = 0.5
"""Seconds before the next poll, where a gateway answers at once although nothing new has happened."""

MAX_STATE = 40
"""Characters that are shown of a state or a cause that is not known."""

UNSTARTED = ("queued", "awaiting_content")
NOT_LET_IN = (AuthenticationError, AccessDeniedError)
RUNNING = (*UNSTARTED, "running")
FINAL_STATES = ("succeeded", "failed", "unknown")
WRITES = ("create_new", "remove", "restore")
"""Actions that change the system as soon as the gateway has them; an upload waits for its commit."""


class GatewayTransport:
    """The Backup resource of one system, through the gateway at ``settings.gateway_url``."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._http = Http(settings, clock, sleep)
        self._content = Content(self._http, settings, sleep)
        self._system_path = "/v1/systems/" + quote(settings.host, safe="")
        self._unfinished: set[str] = set()
        self.passed_over = ""

    @property
    def tries(self) -> int:
        """How often the request was sent that had to be sent most often."""
        return self._http.tries

    # The verbs of the Backup resource

    def identity(self) -> System:
        document = self._http.document("GET", self._system_path)
        return System.reported(self._settings.host, text(document, "machineid"), text(document, "distversion"))

    def list(self) -> Listing:
        return self._listing()

    def probe(self) -> None:
        self._listing(retries=0)

    def _listing(self, retries: int | None = None) -> Listing:
        path = self._system_path + "/backups"
        found: Listing = self._http.json("GET", path, retries=retries, read=self._read_listing)
        self.passed_over = found.passed_over or self.passed_over
        return found

    def _read_listing(self, response: Any) -> Listing:
        """A listing; its rows are taken while they arrive."""
        rows = Rows()

        def names_and_sizes() -> Iterator[tuple[str, int]]:
            size = 0
            for piece in self._http.body(response):
                size += len(piece)
                if size > MAX_LISTING:
                    raise wrong(f"has more than {_sentences.size(MAX_LISTING)}")
                for row in rows.take(piece):
                    yield text(row, "name"), whole(row, "size")
            if not size and not has_end(response):
                raise self._http.lost()
            try:
                rows.finish()
            except IncompleteError:
                raise wrong("is not JSON") if has_end(response) else self._http.lost() from None

        return listed(names_and_sizes())

    def create_new(self, name: str, resource_name: str | None) -> str:
        result = self._write({"action": "create_new", "name": name, "resource_name": resource_name})
        return text(result, "name")

    def remove(self, name: str) -> None:
        self._write({"action": "remove", "name": name})

    def restore(self, name: str, resource_name: str | None, expected_machine_id: str | None) -> str:
        body = {
            "action": "restore",
            "name": name,
            "resource_name": resource_name,
            "expected_machine_id": expected_machine_id,
        }
        try:
            self._write(body)
        except OutcomeUnknownError:
            return LOST
        return RETURNED

    def download(self, name: str, path: str, opener: Opener | None = None) -> Received:
        deadline = self._deadline("transfer_timeout")
        with self._fetched(name, deadline) as (operation, size, sha256):
            return self._content.receive(self._content_path(operation), path, size, sha256, deadline, opener)

    def digest(self, name: str) -> Received:
        with self._fetched(name, self._deadline("transfer_timeout")) as (_operation, size, sha256):
            return Received(size, sha256, True, 0)

    @contextmanager
    def _fetched(self, name: str, deadline: Deadline) -> Iterator[tuple[str, int, str]]:
        """Have the gateway fetch a backup, again where that fails on the way; gives operation, size and SHA-256."""
        operation, result = self._fetch(name, deadline)
        try:
            yield operation, whole(result, "size"), digest(result)
        finally:
            self._abandon(operation, drop_content=True)

    def _fetch(self, name: str, deadline: Deadline) -> tuple[str, dict[str, Any]]:
        attempts = Attempts(self._settings, self._sleep, self._http.count)
        while True:
            with attempts:
                operation = self._give({"action": "download", "name": name})
                try:
                    return operation, self._finish(operation, deadline, writes=False)
                except BaseException:
                    self._abandon(operation, drop_content=True)
                    raise

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        deadline = self._deadline("transfer_timeout")
        with open_regular(path) as source:
            size = os.fstat(source.fileno()).st_size
            operation = self._give({"action": "upload", "name": name, "size": size, "replace": replace})
            try:
                self._await(operation, ("awaiting_content", *FINAL_STATES), deadline, writes=False)
                sha256 = self._content.send(self._content_path(operation), source, path, size, deadline)
                self._commit(operation, sha256)
                self._finish(operation, deadline, writes=True)
                return Sent(size, sha256)
            finally:
                self._abandon(operation)

    def _commit(self, operation: str, sha256: str) -> None:
        """Let an upload go on to the system. Where the answer gets lost, the operation tells whether it does.

        :raises OutcomeUnknownError: when that can't be asked either.
        """
        try:
            self._http.document("PUT", self._operation_path(operation) + "/commit", {"sha256": sha256})
        except (UnreachableError, ProtocolError) as error:
            try:
                state = text(self._http.document("GET", self._operation_path(operation)), "state")
            except ActiveLogicError:
                raise _failures.OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            if state == "awaiting_content":
                raise

    def close(self) -> None:
        self._http.close()

    # Operations

    def _operation_path(self, operation: str) -> str:
        return f"{self._system_path}/operations/{operation}"

    def _content_path(self, operation: str) -> str:
        return self._operation_path(operation) + "/content"

    def _deadline(self, option: str) -> Deadline:
        return Deadline(option, getattr(self._settings, option), self._clock)

    def _write(self, body: dict[str, Any]) -> dict[str, Any]:
        """Have the gateway run a command that changes the system, and return its result."""
        deadline = self._deadline("wait_timeout")
        operation = self._give(body)
        try:
            return self._finish(operation, deadline, writes=True)
        finally:
            self._abandon(operation)

    def _give(self, body: dict[str, Any]) -> str:
        """Give an operation to the gateway, and return its id. Whoever asked for it has to end it on every way out.

        :raises ActiveLogicError: when it is not there, or nobody knows; it was ended then as far as that is possible.
        """
        operation = str(uuid.uuid4())
        given = {key: value for key, value in body.items() if value is not None}
        self._unfinished.add(operation)
        is_given = False
        try:
            try:
                self._http.document("PUT", self._operation_path(operation), given)
            except (UnreachableError, ProtocolError) as error:
                self._require_arrived(operation, error, writes=body["action"] in WRITES)
            is_given = True
        finally:
            if not is_given:
                self._abandon(operation)
        return operation

    def _require_arrived(self, operation: str, error: ActiveLogicError, writes: bool) -> None:
        """The answer to giving an operation got lost: ask whether the gateway knows it all the same.

        :param writes: whether it may run without anything more from this side, and change the system then.
        :raises ActiveLogicError: the ``error`` of giving it, when it did not arrive.
        :raises OutcomeUnknownError: when that can't be asked.
        """
        try:
            self._http.document("GET", self._operation_path(operation))
        except NotFoundError:
            raise error from None
        except ActiveLogicError:
            if writes:
                raise _failures.OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            raise error from None

    def _abandon(self, operation: str, drop_content: bool = False) -> None:
        """End an operation that is unfinished, or whose content the gateway need not keep."""
        if operation not in self._unfinished and not drop_content:
            return
        self._unfinished.discard(operation)
        # On failure the gateway drops it by itself, since nobody polls; the first error is the one to report.
        with suppress(ActiveLogicError):
            self._http.json("DELETE", self._operation_path(operation), retries=0, accept=(404, 409))

    def _end_unstarted(self, operation: str) -> bool:
        """End an operation that was not seen to start; whether it is certain that it never did."""
        path = self._operation_path(operation)
        try:
            self._http.json("DELETE", path, retries=0)
            self._unfinished.discard(operation)
            return text(self._http.json("GET", path, retries=0), "state") in (*UNSTARTED, "failed")
        except ActiveLogicError:
            return False

    def _finish(self, operation: str, deadline: Deadline, writes: bool) -> dict[str, Any]:
        document = self._await(operation, FINAL_STATES, deadline, writes)
        self._unfinished.discard(operation)
        result = document.get("result")
        if isinstance(result, dict):
            return result
        error = wrong("has no result")
        raise _failures.OPERATION_LOST.error(operation_id=operation, reason=error.reason) if writes else error

    def _await(self, operation: str, states: tuple[str, ...], deadline: Deadline, writes: bool) -> dict[str, Any]:
        """Poll until the operation is in one of ``states``; a failed or unknown one raises.

        :param writes: whether a lost answer leaves it open if something on the system has changed.
        """
        path = self._operation_path(operation)
        state = "queued"
        seen = {state}
        document: dict[str, Any] = {}
        while True:
            asked_at = self._clock()
            left = deadline.left()
            if left <= 0:
                raise self._expired(operation, state, document.get("waiting_for"), deadline, writes)
            wait = max(0.0, min(LONG_POLL, self._settings.read_timeout / 2, left))
            try:
                document = self._http.document("GET", f"{path}?wait={wait:.1f}", deadline=deadline)
                state = shorten(text(document, "state"), MAX_STATE)
            except (UnreachableError, NotFoundError, ProtocolError, *NOT_LET_IN) as error:
                if not writes:
                    raise
                raise _failures.OPERATION_LOST.error(operation_id=operation, reason=error.reason) from error
            if state == "failed":
                self._unfinished.discard(operation)
                raise error_from_problem(document.get("problem"), self._settings, may_repeat=not writes)
            if state == "unknown":
                self._unfinished.discard(operation)
                cause = document.get("cause")
                known = shorten(cause, MAX_STATE).replace("_", " ") if isinstance(cause, str) else "no cause is given"
                raise _failures.OPERATION_UNKNOWN.error(cause=known)
            if state in states:
                return document
            if (state in seen or state not in RUNNING) and self._clock() - asked_at < min(wait, POLL_PAUSE):
                self._sleep(min(POLL_PAUSE, wait))
            seen.add(state)

    def _expired(
        self, operation: str, state: str, waiting_for: Any, deadline: Deadline, writes: bool
    ) -> ActiveLogicError:
        """The error of a clock that ran out; ``state`` and what it waits for are the last that is known."""
        seconds, option = deadline.seconds, deadline.option
        if writes and (state not in UNSTARTED or not self._end_unstarted(operation)):
            return _failures.OPERATION_LATE_UNKNOWN.error(seconds=seconds, option=option, state=state)
        if state == "queued" and isinstance(waiting_for, dict):
            uuid = waiting_for.get("operation") or "<its id>"
            return _failures.OPERATION_LATE_BEHIND.error(
                seconds=seconds,
                option=option,
                what=_describe_first(waiting_for),
                user=repr(str(waiting_for.get("user"))[:255]),
                request=f"DELETE {self._http.url}{self._operation_path(str(uuid))}?force=true",
            )
        return _failures.OPERATION_LATE.error(seconds=seconds, option=option, state=state)


def _describe_first(waiting_for: Mapping[str, Any]) -> str:
    """The operation that has to end first, out of the gateway's ``waiting_for``."""
    action = str(waiting_for.get("action"))[:20].replace("_", " ")
    name = str(waiting_for.get("name") or "")[:255]
    since = waiting_for.get("since")
    ahead = waiting_for.get("ahead")
    what = f"the {action} of " + (f"the backup {name!r}" if name else "a backup")
    what += f" by user {str(waiting_for.get('user'))[:255]!r}"
    what += f", which has been running since {str(since)[:30]}" if since else ", which is about to begin"
    return what + (f", and {ahead - 1} more after it" if isinstance(ahead, int) and ahead > 1 else "")
