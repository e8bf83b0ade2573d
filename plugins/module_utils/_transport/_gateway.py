# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reach a system through an activelogic-gateway: the vendor's verbs as operations of its HTTP API.

Private to this collection.
Every request here is safe to repeat: reads change nothing, and everything else is an operation with a UUID that the
client chooses, so the gateway runs it at most once.
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
from ._documents import MAX_LISTING, IncompleteError, Rows, byte_count, digest, text, wrong
from ._http import Http, has_end
from ._problems import error_from_problem

LONG_POLL = 25.0
"""Longest time in seconds that the gateway holds a poll (its own limit)."""

POLL_PAUSE = 0.5
"""Seconds before the next poll when the gateway answers at once although nothing has changed."""

MAX_STATE = 40
"""Characters shown of an unknown state or cause."""

UNSTARTED = ("queued", "awaiting_content")
LOGIN_ERRORS = (AuthenticationError, AccessDeniedError)
RUNNING = (*UNSTARTED, "running")
FINAL_STATES = ("succeeded", "failed", "unknown")
WRITES = ("create_new", "remove", "restore")
"""Actions that change the system once the gateway has accepted them; an upload waits for its commit."""


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
        """See :attr:`Transport.tries`."""
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
        """Parse a listing row by row while it arrives."""
        rows = Rows()

        def names_and_sizes() -> Iterator[tuple[str, int]]:
            size = 0
            for piece in self._http.body(response):
                size += len(piece)
                if size > MAX_LISTING:
                    raise wrong(f"has more than {_sentences.size(MAX_LISTING)}")
                for row in rows.take(piece):
                    yield text(row, "name"), byte_count(row, "size")
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
        """Have the gateway download a backup, with retries; yields operation, size in bytes and SHA-256 (hex)."""
        operation, result = self._fetch(name, deadline)
        try:
            yield operation, byte_count(result, "size"), digest(result)
        finally:
            self._abandon(operation, drop_content=True)

    def _fetch(self, name: str, deadline: Deadline) -> tuple[str, dict[str, Any]]:
        attempts = Attempts(self._settings, self._sleep, self._http.count)
        while True:
            with attempts:
                operation = self._submit({"action": "download", "name": name})
                try:
                    return operation, self._finish(operation, deadline, writes=False)
                except BaseException:
                    self._abandon(operation, drop_content=True)
                    raise

    def upload(self, name: str, path: str, replace: bool) -> Sent:
        deadline = self._deadline("transfer_timeout")
        with open_regular(path) as source:
            size = os.fstat(source.fileno()).st_size
            operation = self._submit({"action": "upload", "name": name, "size": size, "replace": replace})
            try:
                self._await(operation, ("awaiting_content", *FINAL_STATES), deadline, writes=False)
                sha256 = self._content.send(self._content_path(operation), source, path, size, deadline)
                self._commit(operation, sha256)
                self._finish(operation, deadline, writes=True)
                return Sent(size, sha256)
            finally:
                self._abandon(operation)

    def _commit(self, operation: str, sha256: str) -> None:
        """Commit an upload, so that it goes to the system. If the answer is lost, the operation's state tells.

        :raises OutcomeUnknownError: when the state can't be read either.
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
        operation = self._submit(body)
        try:
            return self._finish(operation, deadline, writes=True)
        finally:
            self._abandon(operation)

    def _submit(self, body: dict[str, Any]) -> str:
        """Submit an operation to the gateway and return its id. The caller has to end it, whatever happens.

        :raises ActiveLogicError: when it was not accepted, or may not have been; it is ended then if possible.
        """
        operation = str(uuid.uuid4())
        document = {key: value for key, value in body.items() if value is not None}
        self._unfinished.add(operation)
        is_submitted = False
        try:
            try:
                self._http.document("PUT", self._operation_path(operation), document)
            except (UnreachableError, ProtocolError) as error:
                self._require_submitted(operation, error, writes=body["action"] in WRITES)
            is_submitted = True
        finally:
            if not is_submitted:
                self._abandon(operation)
        return operation

    def _require_submitted(self, operation: str, error: ActiveLogicError, writes: bool) -> None:
        """Check whether the gateway has an operation, after the answer to its submission was lost.

        :param writes: whether the operation may change the system without another request.
        :raises ActiveLogicError: ``error``, when the gateway does not have it.
        :raises OutcomeUnknownError: when that can't be found out.
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
        """Delete an operation if it is unfinished, or if the gateway need not keep its content any longer."""
        if operation not in self._unfinished and not drop_content:
            return
        self._unfinished.discard(operation)
        # If this fails, the gateway drops it by itself, as nobody polls it; the first error is the one to report.
        with suppress(ActiveLogicError):
            self._http.json("DELETE", self._operation_path(operation), retries=0, accept=(404, 409))

    def _end_unstarted(self, operation: str) -> bool:
        """Cancel an operation that has not been seen to start; returns whether it certainly never did."""
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
        """Poll until the operation is in one of ``states``; raise an error if it failed or its outcome is unknown.

        :param writes: whether the operation may have changed the system if contact is lost.
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
            except (UnreachableError, NotFoundError, ProtocolError, *LOGIN_ERRORS) as error:
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
        """The error for a deadline that has passed; ``state`` and ``waiting_for`` are the latest known."""
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
    """Describe the operation that has to end first, by the gateway's ``waiting_for``."""
    action = str(waiting_for.get("action"))[:20].replace("_", " ")
    name = str(waiting_for.get("name") or "")[:255]
    since = waiting_for.get("since")
    ahead = waiting_for.get("ahead")
    what = f"the {action} of " + (f"the backup {name!r}" if name else "a backup")
    what += f" by user {str(waiting_for.get('user'))[:255]!r}"
    what += f", which has been running since {str(since)[:30]}" if since else ", which is about to begin"
    return what + (f", and {ahead - 1} more after it" if isinstance(ahead, int) and ahead > 1 else "")
