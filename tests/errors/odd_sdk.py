# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded system's package, but for one oddity: the class below that ``ODD_SDK`` names.

For what no system does at will. Everything else, and everything on the system, is real.
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
    """Backups without any oddity.

    Every command opens them anew, so that ``opening`` sees the number of each command.
    """

    machineid = ""
    """What the system says of itself, where that is not the truth."""

    def __init__(self, real: Any) -> None:
        self.real = real

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """What happens before command ``number`` (from 1); ``session`` is one of somebody else."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Renaming(Odd):
    """A new backup gets another name."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make it, under a name in capitals."""
        return await self.real.create_new(name.upper(), resource_name)


class Escaping(Odd):
    """The system gives new backups names that lead out of a folder, and lists some."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make it, and tell another name."""
        await self.real.create_new(name, resource_name)
        return "../" + name

    async def list(self, cls: type) -> Any:
        """List more than there is."""
        return [*await self.real.list(cls), BackupFile(OUTSIDE, 5), BackupFile("\x1b[2J.plb", 5)]


class Endless(Odd):
    """The system lists more than anybody reads."""

    async def list(self, cls: type) -> Any:
        """List one more than is read."""
        return [BackupFile(f"{number}.plb", 5) for number in range(100_001)]


class Boastful(Odd):
    """The system has a machine id that clears the screen."""

    machineid = "\x1b[2J"


class NotNew(Odd):
    """A new backup is not made, though its name is told."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Name one that is there."""
        return TAKEN


class Keeping(Odd):
    """Nothing is ever removed."""

    async def remove(self, name: str) -> None:
        """Do nothing."""


class Vanishing(Odd):
    """Somebody removes a backup between the looks of a fetch and its download."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Before the second command."""
        if number == 2:
            await (await session.backup()).remove(TAKEN)


class Appearing(Odd):
    """Somebody makes a backup between the look of a push and its upload."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Before the second command."""
        if number == 2:
            await (await session.backup()).create_new(TAKEN)


class Crowded(Odd):
    """Somebody makes a backup whenever one is made."""

    async def create_new(self, name: str = "", resource_name: str | None = None) -> Any:
        """Make two."""
        made = await self.real.create_new(name, resource_name)
        await self.real.create_new(TAKEN)
        return made


class ChangingFile(Odd):
    """The local file is written to while it is pushed."""

    @classmethod
    async def opening(cls, number: int, session: Any) -> None:
        """Before the first command."""
        if number == 1:
            FILE.write_bytes(b"changed meanwhile")  # noqa: ASYNC240 - nothing else runs in this loop


class Forgetting(Odd):
    """An upload is accepted, and comes to nothing."""

    async def upload(self, backup_name: str, *, in_path: str) -> None:
        """Do nothing."""


class LostAfterUpload(Odd):
    """After an upload nobody can list any more."""

    is_over = False

    async def upload(self, backup_name: str, *, in_path: str) -> None:
        """Upload, for the last time."""
        await self.real.upload(backup_name, in_path=in_path)
        LostAfterUpload.is_over = True

    async def list(self, cls: type) -> Any:
        """List, or lose the connection."""
        if LostAfterUpload.is_over:
            raise PLDBIOError("the connection was lost")
        return await self.real.list(cls)


class Swallowing(Odd):
    """A download says nothing of what it could not write."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Write what there is room for."""
        content = io.BytesIO()
        await self.real.download(backup_name, ofile_obj=content)
        with suppress(OSError), open(dest_path, "wb", buffering=0) as file:  # noqa: ASYNC230 - nothing else runs
            file.write(content.getvalue())


class Wrapping(Odd):
    """A download on a full disk fails with an error of the connection."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Write to a device that is always full."""
        try:
            with open("/dev/full", "wb", buffering=0) as file:  # noqa: ASYNC230 - nothing else runs in this loop
                file.write(b"content")
        except OSError as error:
            raise PLDBIOError("the transfer was ended") from error


class Undocumented(Odd):
    """A download fails with an exception that nobody documented, so that nobody knows whose fault it is."""

    async def download(self, backup_name: str, *, dest_path: str) -> None:
        """Never downloads."""
        raise RuntimeError("nobody documented this")


class Flooding(Odd):
    """A download has no end."""

    async def download(self, _backup_name: str, *, dest_path: str = "", ofile_obj: Any = None) -> None:
        """Write for ever."""
        with suppress(ValueError), ofile_obj or open(dest_path, "wb") as target:  # noqa: ASYNC230
            while True:
                target.write(bytes(100_000))


class UnspeakableError(Exception):
    """An exception that can't be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def throw(error: BaseException, because: BaseException | None = None) -> Any:
    """Raise an exception, with another one behind it."""
    raise error from because


def say(*lines: str) -> None:
    """Print as careless packages do: by Python, and past it to both descriptors."""
    for line in lines:
        print(line)
        print(line, file=sys.stderr)
        for descriptor in (1, 2):
            os.write(descriptor, f"{line}\n".encode())


def system_error(number: int, path: str | None = None) -> OSError:
    """An error of the operating system."""
    return OSError(number, os.strerror(number), path)


def to_sockets(text: bytes) -> None:
    """Write into all sockets of this process, as a package does that takes their numbers for its own."""
    for number in range(3, 64):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, text)


def leave_child(then: Callable[[], Any]) -> None:
    """Start a copy of this process that holds its descriptors open, and goes on for ever."""
    if os.fork() == 0:
        while True:
            time.sleep(60)
    then()


class NastyText(str):
    """A text that says something else wherever it is asked."""

    def __str__(self) -> str:
        return "../../other.plb"

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = str.__hash__


class EndlessList(list[BackupFile]):
    """A list that says that it is empty, and has no end."""

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
    "hold": lambda: ctypes.PyDLL(None).sleep(60),  # keeps the lock of the interpreter all the while
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
"""Where the trick happens: ``import``, ``connect``, ``machineid``, or a command."""

TRICK = TRICKS[os.environ.get("ODD_SDK_TRICK", "nothing")]
"""What happens; its result, where it has one, is the answer."""


class Tricky(Odd):
    """A command does something else; of create_new and the like before, or (``after create_new``) also afterwards."""

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
    """A session whose backups are odd."""

    commands = 0

    def __init__(self, real: Any, other: Any) -> None:
        self.real = real
        self.other = other
        self.distversion = real.distversion

    @property
    def machineid(self) -> Any:
        """The machine id, or something else."""
        found = TRICK() if AT == "machineid" else None
        return (ODDITY.machineid or self.real.machineid) if found is None else found

    async def backup(self) -> Odd:
        """Open the backups."""
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
    """Log in, with a second session in which somebody else works."""
    if AT == "connect":
        TRICK()
    first = await embedded.async_connect(host, username, password)
    return Connection(first, await embedded.async_connect(host, username, password))
