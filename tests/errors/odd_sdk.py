# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded system's package with one oddity: the class below that ``ODD_SDK`` names.

For behavior that no system shows on demand. Everything else, including the system itself, is real.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import activelogic_embedded as embedded
from activelogic_embedded import BackupFile
from activelogic_embedded.exception import PLDBIOError

__all__ = ["BackupFile", "async_connect"]

FILE = Path(os.environ["ODD_SDK_FILE"])
"""The local file that a case pushes."""

TAKEN = "taken.plb"
OUTSIDE = "../../20250601T000000Z-0000.plb"


class Odd:
    """A Backup resource without any oddity.

    Every command opens a new one, so ``opening`` can count commands.
    """

    machineid = ""
    """The machine id to report; empty for the real one."""

    def __init__(self, real: Any) -> None:
        self.real = real

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Runs before command ``number`` (from 1); ``session`` belongs to somebody else."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Renaming(Odd):
    """A new backup gets another name."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make it under an uppercase name."""
        return await self.real.create_new(name.upper(), resource_name)


class Escaping(Odd):
    """Reported names of new backups lead out of a folder, and the listing contains such names."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make it, but return another name."""
        await self.real.create_new(name, resource_name)
        return "../" + name

    async def list(self, cls: type) -> Any:
        """List more than exists."""
        return [*await self.real.list(cls), BackupFile(OUTSIDE, 5), BackupFile("\x1b[2J.plb", 5)]


class Endless(Odd):
    """The listing exceeds the client's limit."""

    async def list(self, cls: type) -> Any:
        """List one backup more than the limit."""
        return [BackupFile(f"{number}.plb", 5) for number in range(100_001)]


class Boastful(Odd):
    """The machine id contains a sequence that clears the screen."""

    machineid = "\x1b[2J"


class NotNew(Odd):
    """No backup is made, though a name is returned."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Return the name of an existing backup."""
        return TAKEN


class Keeping(Odd):
    """Removals have no effect."""

    async def remove(self, name: str) -> None:
        """Do nothing."""


class Vanishing(Odd):
    """Somebody removes a backup between a fetch's listings and its download."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Remove it before the second command."""
        if number == 2:
            await (await session.backup()).remove(TAKEN)


class Appearing(Odd):
    """Somebody makes a backup between a push's listing and its upload."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Make it before the second command."""
        if number == 2:
            await (await session.backup()).create_new(TAKEN)


class Crowded(Odd):
    """Whenever a backup is made, somebody else makes another one."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make both."""
        made = await self.real.create_new(name, resource_name)
        await self.real.create_new(TAKEN)
        return made


class ChangingFile(Odd):
    """The local file is written to during the push."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Write to it before the first command."""
        if number == 1:
            FILE.write_bytes(b"changed meanwhile")  # noqa: ASYNC240 - nothing else runs in this loop


class Forgetting(Odd):
    """An upload is accepted but not stored."""

    async def upload(self, backup_name: str, *, in_path: str) -> None:
        """Do nothing."""


class LostAfterUpload(Odd):
    """After an upload, listing no longer works."""

    is_over = False

    async def upload(self, backup_name: str, *, in_path: str) -> None:
        """Upload, and fail from then on."""
        await self.real.upload(backup_name, in_path=in_path)
        LostAfterUpload.is_over = True

    async def list(self, cls: type) -> Any:
        """List, or lose the connection."""
        if LostAfterUpload.is_over:
            raise PLDBIOError("the connection was lost")
        return await self.real.list(cls)


class Swallowing(Odd):
    """A download hides write errors."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Write as much as fits."""
        content = io.BytesIO()
        await self.real.download(backup_name, ofile_obj=content)
        with suppress(OSError), open(dest_path, "wb", buffering=0) as file:  # noqa: ASYNC230 - nothing else runs
            file.write(content.getvalue())


class Wrapping(Odd):
    """A download to a full disk fails with a connection error."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Write to a device that is always full."""
        try:
            with open("/dev/full", "wb", buffering=0) as file:  # noqa: ASYNC230 - nothing else runs in this loop
                file.write(b"content")
        except OSError as error:
            raise PLDBIOError("the transfer was ended") from error


class Undocumented(Odd):
    """A download fails with an undocumented exception, so the cause is unknown."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Raise the exception."""
        raise RuntimeError("nobody documented this")


class Flooding(Odd):
    """A download never ends."""

    async def download(self, _backup_name: str, *, dest_path: str = "", ofile_obj: Any = None) -> None:
        """Write forever."""
        with suppress(ValueError), ofile_obj or open(dest_path, "wb") as target:  # noqa: ASYNC230
            while True:
                target.write(bytes(100_000))


class UnspeakableError(Exception):
    """An exception whose ``str()`` fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def throw(error: BaseException, because: BaseException | None = None) -> Any:
    """Raise an exception, with another one as its cause."""
    raise error from because


def say(*lines: str) -> None:
    """Print like a careless package: through Python, and directly to both descriptors."""
    for line in lines:
        print(line)
        print(line, file=sys.stderr)
        for descriptor in (1, 2):
            os.write(descriptor, f"{line}\n".encode())


def system_error(number: int, path: str | None = None) -> OSError:
    """An OSError as the operating system reports it."""
    return OSError(number, os.strerror(number), path)


def to_sockets(text: bytes) -> None:
    """Write to all sockets of this process, like a package that mistakes their descriptors for its own."""
    for number in range(3, 64):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, text)


def leave_child(then: Callable[[], Any]) -> None:
    """Fork a child that keeps this process's descriptors open and runs forever."""
    if os.fork() == 0:
        while True:
            time.sleep(60)
    then()


class NastyText(str):
    """A string whose ``str()`` differs and whose comparison fails."""

    def __str__(self) -> str:
        return "../../other.plb"

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = str.__hash__


class EndlessList(list[BackupFile]):
    """A list that claims to be empty and never ends."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[BackupFile]:
        while True:
            yield BackupFile("a.plb", 1)


PASSWORD = os.environ.get("ODD_SDK_PASSWORD", "")
TRICKS: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "print": lambda: say('{"changed": true}', PASSWORD, "x" * 100_000),
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: throw(KeyboardInterrupt()),
    "end": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
    "hold": lambda: ctypes.PyDLL(None).sleep(60),  # holds the GIL all the time
    "memory": lambda: bytearray(3 * 1024**3),
    "unspeakable": lambda: throw(UnspeakableError()),
    "KeyError": lambda: throw(KeyError("nobody documented this")),
    "ValueError": lambda: throw(ValueError("not connected")),
    "ENOSPC": lambda: throw(system_error(errno.ENOSPC)),
    "EMFILE": lambda: throw(system_error(errno.EMFILE)),
    "EACCES": lambda: throw(system_error(errno.EACCES, "/etc/activelogic/ca.pem")),
    "EMFILE behind": lambda: throw(PLDBIOError("can't connect"), system_error(errno.EMFILE)),
    "EHOSTUNREACH": lambda: throw(system_error(errno.EHOSTUNREACH)),
    "sizes as floats": lambda: [BackupFile("a.plb", 1.0)],  # type: ignore[arg-type]
    "garbage": lambda: to_sockets(b"hello\n"),
    "a line without an end": lambda: to_sockets(b"x" * 4 * 1024**2),
    "JSON in depth": lambda: to_sockets(b"[" * 200_000 + b"\n"),
    "an answer of its own": lambda: to_sockets(b'{"number": 3, "value": {"result": ["x"], "is_committed": 1}}\n'),
    "an old answer": lambda: to_sockets(b'{"number": 1, "value": null}\n'),
    "rows of its own": lambda: to_sockets(b'{"number": 3, "rows": [[1, "x"]]}\n'),
    "closed": lambda: os.closerange(3, 256),
    "child": lambda: leave_child(lambda: None),
    "child and end": lambda: leave_child(lambda: os._exit(7)),
    "a list without an end": EndlessList,
    "a text of 40 MB": lambda: "x" * 40_000_000,
    "names of 1 MB": lambda: [BackupFile(f"{number}" + "x" * 1_000_000, 1) for number in range(60)],
    "nasty texts": lambda: [BackupFile(NastyText("there.plb"), 1)],
    "a mapping": lambda: {"a.plb": 1},
}
AT = os.environ.get("ODD_SDK_AT", "")
"""Where the trick is performed: ``import``, ``connect``, ``machineid``, or a command."""

TRICK = TRICKS[os.environ.get("ODD_SDK_TRICK", "nothing")]
"""The trick; if it returns something, that replaces the answer."""


class Tricky(Odd):
    """Performs the trick before a command, or (with ``after create_new`` and the like) after it."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)

        async def tricky(*positional: Any, **named: Any) -> Any:
            if name == AT:
                found = TRICK()
                if found is not None:
                    return found
            result = await real(*positional, **named)
            found = TRICK() if f"after {name}" == AT else None
            return result if found is None else found

        return tricky


if AT == "import":
    TRICK()

ODDITY: type[Odd] = globals()[os.environ["ODD_SDK"]]


class Connection:
    """A session with an odd Backup resource."""

    commands = 0

    def __init__(self, real: Any, other: Any) -> None:
        self.real = real
        self.other = other
        self.distversion = real.distversion

    @property
    def machineid(self) -> Any:
        """The machine id, or the trick's result."""
        found = TRICK() if AT == "machineid" else None
        return (ODDITY.machineid or self.real.machineid) if found is None else found

    async def backup(self) -> Odd:
        """Open the Backup resource."""
        Connection.commands += 1
        await ODDITY.opening(Connection.commands, self.other)
        return ODDITY(await self.real.backup())

    def close(self) -> None:
        """End the session."""
        self.real.close()
        self.other.close()
        if AT == "close":
            TRICK()


async def async_connect(host: str, username: str, password: str) -> Connection:
    """Log in, with a second session for somebody else."""
    if AT == "connect":
        TRICK()
    first = await embedded.async_connect(host, username, password)
    return Connection(first, await embedded.async_connect(host, username, password))
