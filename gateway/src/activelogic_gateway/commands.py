# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five commands of operations, run on a session with a system, and their outcome when they fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from .config import Limits
from .documents import Request
from .fetch import fetch
from .problems import ANSWERED, Problem, class_names, from_sdk, is_named, kind_of
from .spool import Content, Spool, sync_and_hash
from .vendor_session import CommandFailed, ConnectFailed, Identity, Session, TimeLimit

STABLE_LISTINGS = 5
LISTING_PAUSE = 1.0
"""An upload has the wrong size if five listings, this many seconds apart, show the same wrong size other than 0."""


@dataclass
class Progress:
    """How far a command got.

    :ivar sent: the command that changes something was sent to the system.
    :ivar done: all bytes of an upload were sent.
    """

    sent: bool = False
    done: bool = False


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: ``succeeded``, ``failed`` (known not to have happened) or ``unknown`` (it may have).

    :ivar cause: why the outcome is ``unknown``.
    """

    state: str
    result: dict[str, Any] | None = None
    problem: Problem | None = None
    cause: str | None = None


@dataclass
class SpoolPlace:
    """An operation's files in the spool; ``content`` is the file to upload, or the file that was downloaded."""

    spool: Spool
    key: str
    content: Content | None = None


class Command:
    """One command on one session with a system."""

    def __init__(
        self, session: Session, system: str, request: Request, place: SpoolPlace, progress: Progress, limits: Limits
    ) -> None:
        self._session = session
        self._system = system
        self._request = request
        self._place = place
        self._progress = progress
        self._limits = limits

    async def run(self, identity: Identity) -> dict[str, Any]:
        """Check the machine id, then run the requested command.

        :return: the members of the operation's result.
        :raises Problem: if the command can't be run.
        :raises CommandFailed, TimeLimit: as the session does.
        """
        wanted = self._request.expected_machine_id
        if wanted is not None and wanted != identity.machineid:
            raise Problem(
                "wrong_machine", f"system {self._system} has the machine id {identity.machineid}, not {wanted}"
            )
        commands = {
            "create_new": self._create_new,
            "restore": self._restore,
            "remove": self._remove,
            "download": self._download,
            "upload": self._upload,
        }
        return await commands[self._request.action]()

    async def _listed(self) -> dict[str, int]:
        return {each.name: each.size for each in await self._session.list(self._limits.read_seconds)}

    async def _require_listed(self) -> int:
        """Return the size of the operation's backup in bytes; raises ``unknown_backup``."""
        listed = await self._listed()
        name = self._request.name
        if name not in listed:
            raise Problem("unknown_backup", f"system {self._system} has no backup {name!r}")
        return listed[name]

    async def _create_new(self) -> dict[str, Any]:
        request = self._request
        if request.name and request.name in await self._listed():
            raise Problem("backup_exists", f"system {self._system} has a backup {request.name!r} already")
        self._progress.sent = True
        return {"name": await self._session.create_new(request.name, request.resource_name, self._limits.write_seconds)}

    async def _restore(self) -> dict[str, Any]:
        await self._require_listed()
        self._progress.sent = True
        await self._session.restore(self._request.name, self._request.resource_name, self._limits.write_seconds)
        return {}

    async def _remove(self) -> dict[str, Any]:
        await self._require_listed()
        self._progress.sent = True
        await self._session.remove(self._request.name, self._limits.write_seconds)
        return {}

    async def _download(self) -> dict[str, Any]:
        """Download into the spool; complete only if the listings before and after show the size of the file."""
        name = self._request.name
        before = await self._require_listed()
        self._place.spool.reserve(self._place.key, "part", before)
        try:
            part = await fetch(
                self._place.spool, self._session, self._place.key, "part", name, before, self._limits.transfer_seconds
            )
            after = (await self._listed()).get(name)
            size, sha256 = await sync_and_hash(part)
            if not size == before == after:
                listed = f"{before} before and {'none' if after is None else after} after"
                raise Problem("transfer_incomplete", f"{name}: {size} bytes arrived, the system listed {listed}")
            path = self._place.spool.keep(self._place.key, "part", "bin")
        except BaseException:
            await asyncio.shield(self._place.spool.drop(self._place.key))
            raise
        self._place.content = Content(path, size, sha256)
        return {"name": name, "size": size, "sha256": sha256}

    async def _upload(self) -> dict[str, Any]:
        request, content = self._request, self._place.content
        if content is None:
            raise Problem("content_gone", "the content is no longer kept")
        before = (await self._listed()).get(request.name)
        if before is not None and not request.replace:
            raise Problem("backup_exists", f"system {self._system} has a backup {request.name!r} already")
        self._progress.sent = True
        if before is None:
            await self._session.upload(request.name, content.path, self._limits.transfer_seconds)
        else:
            await self._replace(content)
        self._progress.done = True  # whatever fails now, the bytes have been sent
        await self._check_uploaded(content, before)
        return {"name": request.name, "size": content.size, "sha256": content.sha256}

    async def _replace(self, content: Content) -> None:
        """Upload over a backup that exists.

        Whether the vendor's upload overwrites is not documented, so try that first. If the system responds with an
        error, download the old backup into the spool, remove it, and upload again; if the system refuses that too (or
        the package rejects the arguments), upload the old backup again. The problem (``replace_failed``) says whether
        that worked. A risk remains: if the connection is lost or a time limit expires after the removal, the outcome is
        unknown, and the system may have neither the old nor the new backup. The client still has its file.
        """
        name = self._request.name
        try:
            await self._session.upload(name, content.path, self._limits.transfer_seconds)
        except CommandFailed as failure:
            if kind_of(failure.error, connecting=False) != "refused":
                raise
            refused = class_names(failure.error)[0]
        else:
            return
        size = await self._require_listed()
        self._place.spool.reserve(self._place.key, "old", size)
        saved = await fetch(
            self._place.spool, self._session, self._place.key, "old", name, size, self._limits.transfer_seconds
        )
        if saved.stat().st_size != size:
            raise Problem(
                "replace_failed", f"{name}: the upload was refused ({refused}); the old backup could not be saved first"
            )
        await self._session.remove(name, self._limits.write_seconds)
        try:
            await self._session.upload(name, content.path, self._limits.transfer_seconds)
        except CommandFailed as failure:
            if kind_of(failure.error, connecting=False) not in ANSWERED and not is_named(failure.error, "TypeError"):
                raise
            refused = class_names(failure.error)[0]
            said = f"{name}: the upload was refused ({refused}), even after the old backup was removed"
        else:
            return
        try:
            await self._session.upload(name, saved, self._limits.transfer_seconds)
            back = (await self._listed()).get(name) == size
        except (CommandFailed, TimeLimit):
            back = False
        said += "; the old backup was put back" if back else "; the old backup could not be put back"
        raise Problem("replace_failed", said, exception=refused)

    async def _check_uploaded(self, content: Content, before: int | None) -> None:
        """Require the full size in the listing; remove a partial upload, so that nobody mistakes it for a backup."""
        name = self._request.name
        size = (await self._listed()).get(name)
        if size != content.size:  # list in a new session: others may see the change only after this one has ended
            await self._session.renew(self._limits.read_seconds)
            size = await self._stable_size(content.size)
        if size == content.size:
            return
        if size is None:
            raise Problem(
                "transfer_incomplete", f"{name}: {content.size} bytes were uploaded, but the system does not list it"
            )
        said = f"{name}: {content.size} bytes were uploaded, the system lists {size}"
        if size == before:
            raise Problem("transfer_incomplete", f"{said}, as before; nothing was removed")
        try:
            await self._session.remove(name, self._limits.write_seconds)
        except (CommandFailed, TimeLimit) as failure:
            raise Problem("transfer_incomplete", f"{said}; the part could not be removed") from failure
        raise Problem("transfer_incomplete", f"{said}; the part was removed")

    async def _stable_size(self, wanted: int) -> int | None:
        """List until the size is the wanted one, or another that stays: a system may list an unfinished upload."""
        seen: list[int | None] = []
        for _ in range(int(self._limits.read_seconds / LISTING_PAUSE) + STABLE_LISTINGS):
            seen.append((await self._listed()).get(self._request.name))
            is_stable = len(seen) >= STABLE_LISTINGS and len(set(seen[-STABLE_LISTINGS:])) == 1
            if seen[-1] in (wanted, None) or (is_stable and seen[-1]):
                break
            await asyncio.sleep(LISTING_PAUSE)
        return seen[-1]


def problem_of(failure: ConnectFailed | CommandFailed | TimeLimit, system: str, secrets: tuple[str, ...]) -> Problem:
    """Convert a failure of a session into a problem.

    :param secrets: strings that must not appear in the problem.
    """
    if isinstance(failure, TimeLimit):
        return Problem("time_limit", f"system {system}: {failure}", reason=str(failure), system=system)
    connecting = isinstance(failure, ConnectFailed)
    doing = "log in" if isinstance(failure, ConnectFailed) else failure.doing
    return from_sdk(failure.error, connecting=connecting, doing=doing, system=system, secrets=secrets)


def outcome_of(
    failure: ConnectFailed | CommandFailed | TimeLimit,
    request: Request,
    progress: Progress,
    system: str,
    secrets: tuple[str, ...],
) -> Outcome:
    """Decide between ``failed`` and ``unknown``.

    The outcome is ``unknown`` only if a command that changes something was sent, and the system did not respond to it.
    """
    problem = problem_of(failure, system, secrets)
    state, cause = "failed", None
    if request.writes and progress.sent and not isinstance(failure, ConnectFailed):
        has_run = isinstance(failure, CommandFailed) and failure.has_run
        if isinstance(failure, TimeLimit):
            state, cause = "unknown", "time_limit"
        elif problem.kind == "unreachable" or (progress.done and problem.kind in ANSWERED):
            state, cause = "unknown", "connection_lost"
        elif has_run or (problem.kind not in ANSWERED and not _refused_argument(request, failure)):
            state, cause = "unknown", "unexpected_error"
    return Outcome(state, problem=problem, cause=cause)


def _refused_argument(request: Request, failure: CommandFailed | TimeLimit) -> bool:
    """Whether upload rejected its arguments: it raises TypeError before it sends anything (see the vendor's docs)."""
    return request.action == "upload" and isinstance(failure, CommandFailed) and is_named(failure.error, "TypeError")
