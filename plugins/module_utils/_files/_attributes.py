# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owner, group, mode, flags and SELinux context of fetched files: checked in advance, set by descriptor.

Private to this collection. The options are those of ``ansible.builtin.file``; they apply to the backup, its two side
files, and new folders.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import _failures
from .._context import Context
from .._errors import ActiveLogicError
from ._access import exact, local_errors, shown, status_of
from ._destination import folder_of
from ._share import Share

ALL_MODES = 0o7777
_SYMBOLIC = re.compile(r"[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*\Z")
_LETTERS = set("aAcCdDeEFiIjmNPsStTuVx")
"""The flags that chattr(1) knows."""

_CHOWN, _LINUX_IMMUTABLE = 0, 9
"""Bits of capabilities(7)."""


# Modes


def mode_from(option: Any) -> int | str:
    """Parse the option ``mode``: permissions as a number, or a symbolic text.

    YAML reads ``0644`` without quotes as 420, which is right, and ``644`` as 644, which would be 01204. So a number is
    accepted if it is sensible as permissions and its decimal digits are not; if both are, it is ambiguous.

    :raises OptionError: for everything else.
    """
    if isinstance(option, bool) or not isinstance(option, (int, str)):
        raise _failures.MODE_WRONG.error(mode=option, flaw="is neither octal nor symbolic")
    if isinstance(option, int):
        if not _is_sensible(option) or _is_sensible(_as_octal(str(option))):
            raise _failures.MODE_WRONG.error(
                mode=option, flaw="is a number of which it is not clear whether it is octal"
            )
        return option
    text = option.strip()
    number = _as_octal(text)
    if number is None:
        if not _SYMBOLIC.match(text):
            raise _failures.MODE_WRONG.error(mode=option, flaw="is neither octal nor symbolic")
        return text
    if number > ALL_MODES:
        raise _failures.MODE_WRONG.error(mode=option, flaw="has too many digits")
    if re.match("[1-9][0-9]{2}\\Z", text) and not _is_sensible(number) and _is_sensible(int(text)):
        # A template turns a variable with 0644 without quotes into the text '420'.
        raise _failures.MODE_WRONG.error(
            mode=option, flaw="looks like an octal number that was turned into a decimal one"
        )
    return number


def _as_octal(text: str) -> int | None:
    return int(text, 8) if re.match("(0o)?[0-7]+\\Z", text) else None


def _is_sensible(mode: int | None) -> bool:
    """Whether these are usual permissions: readable for the owner, and at most as much for group, then for others."""
    if mode is None or not 0 < mode <= 0o777:
        return False
    owner, group, others = mode >> 6, mode >> 3 & 7, mode & 7
    return bool(owner & 4) and group & ~owner == 0 and others & ~group == 0


def folder_mode(mode: int) -> int:
    """The permissions of a new folder for files with this mode: whoever may read them may enter and list it."""
    return 0o700 | (0o050 if mode & 0o040 else 0) | (0o005 if mode & 0o004 else 0)


# Attributes


class Attributes:
    """The attributes that the options ask for.

    :raises OptionError: when they are invalid.
    """

    def __init__(self, context: Context, share: Share) -> None:
        self._context = context
        self._ansible = context.ansible
        self._share = share
        params = context.params
        self._mode = mode_from("0600" if params["mode"] is None else params["mode"])
        self._mode_of(_NEW_FILE)
        self._uid = _id_of("owner", params["owner"])
        self._gid = _id_of("group", params["group"])
        self._how, self._flags = _flags_from(params["attributes"])
        self._has_context = any(params[each] for each in ("seuser", "serole", "setype", "selevel"))

    def require_possible(self, path: str) -> None:
        """Check in advance whether the files at ``path`` could get these attributes.

        :raises LocalFileError: when they can't, as far as that is known without trying.
        """
        params, folder = self._context.params, folder_of(path)
        above = os.stat(folder)
        if not _has_capability(_CHOWN):
            if self._uid not in (None, os.geteuid()):
                raise _failures.OWNER_REFUSED.error(option="owner", name=params["owner"])
            groups = {os.getegid(), *os.getgroups()} | ({above.st_gid} if above.st_mode & stat.S_ISGID else set())
            if self._gid is not None and self._gid not in groups:
                raise _failures.OWNER_REFUSED.error(option="group", name=params["group"])
        if self._flags:
            if not self._ansible.program("chattr"):
                raise _failures.ATTRIBUTES_WRONG.error(
                    attributes=params["attributes"], flaw="can't be set without chattr"
                )
            if self._flags_of(folder) is None:
                raise _failures.ATTRIBUTES_WRONG.error(
                    attributes=params["attributes"], flaw=f"can't be set on the file system of {shown(folder)}"
                )
            if self._flags & set("ai") and not _has_capability(_LINUX_IMMUTABLE):
                raise _failures.OWNER_REFUSED.error(option="attributes", name=params["attributes"])

    def require_replaceable(self, paths: Iterable[str]) -> None:
        """:raises LocalFileError: when one of the files exists and its flags forbid replacing it."""
        for path in paths:
            if status_of(path) is not None and (self._flags_of(path) or set()) & set("ai"):
                raise _failures.FILE_IMMUTABLE.error(path=shown(path))

    # New files

    def give(self, descriptor: int, path: str) -> None:
        """Set owner, group and mode of a new open file, which will be moved to ``path``."""
        self._give(descriptor, path, self._mode_of(os.fstat(descriptor)))

    def give_folder(self, path: str, descriptor: int) -> None:
        """Set owner, group and mode of a new open folder, so that whoever may read the files may enter it."""
        mode = folder_mode(self._mode_of(_NEW_FILE)) | os.fstat(descriptor).st_mode & stat.S_ISGID
        self._give(descriptor, path, mode)
        self._set_context(path)

    def finish(self, paths: Iterable[str]) -> None:
        """Set the SELinux context and the flags of files that are in place; some flags would have prevented the rename.

        :raises LocalFileError: when chattr refuses.
        """
        placed = list(paths)
        try:
            for path in placed:
                self._set_context(path)
            for path in placed:
                self._set_flags(path)
        except ActiveLogicError as error:
            error.facts["changed"] = True
            raise

    # Existing files

    def update(self, paths: Iterable[str]) -> bool:
        """Set the attributes of files whose content stays; returns whether that changed anything (or would)."""
        changes = [self._update(path) for path in paths]
        return any(changes)

    def _update(self, path: str) -> bool:
        changed = self._how == "-" and self._set_flags(path)
        with _opened(path) as descriptor:
            status = os.fstat(descriptor)
            mode = self._mode_of(status)
            before = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
            wanted = (_or(self._uid, status.st_uid), _or(self._gid, status.st_gid), mode)
            if before != wanted:
                kept = self._flags if self._how == "-" else set()
                if ((self._flags_of(path) or set()) - kept) & set("ai"):
                    raise _failures.FILE_IMMUTABLE.error(path=shown(path))
                changed = self._context.check_mode or self._give(descriptor, path, mode) or changed
        changed = self._set_context(path) or changed
        return (self._how != "-" and self._set_flags(path)) or changed

    # Single attributes

    def _mode_of(self, status: os.stat_result) -> int:
        if isinstance(self._mode, int):
            return self._mode
        return self._ansible.mode_from(status, self._mode)

    def _give(self, descriptor: int, path: str, mode: int) -> bool:
        status = os.fstat(descriptor)
        uid, gid = _or(self._uid, status.st_uid), _or(self._gid, status.st_gid)
        changed = (uid, gid) != (status.st_uid, status.st_gid)
        if changed:
            with local_errors(path):
                os.fchown(descriptor, uid, gid)
        return self._share.set_mode(descriptor, mode, path) or changed

    def _set_context(self, path: str) -> bool:
        if not self._has_context:
            return False
        return self._ansible.set_security_context(exact(path))

    def _flags_of(self, path: str) -> set[str] | None:
        """The flags of a file; ``None`` when its file system has none, or lsattr is missing."""
        found = self._ansible.flags_of(exact(os.path.abspath(path)))
        return set(found["attr_flags"]) if "attr_flags" in found else None

    def _set_flags(self, path: str) -> bool:
        if not self._flags:
            return False
        now = self._flags_of(path) or set()
        asked = {"+": now | self._flags, "-": now - self._flags, "=": self._flags | now & {"e"}}[self._how]
        if asked == now:
            return False
        if self._context.check_mode:
            return True
        words = [self._ansible.program("chattr") or "chattr", self._how + "".join(sorted(self._flags))]
        with local_errors(words[0]):
            code, said = self._ansible.run([*words, exact(os.path.abspath(path))])
        if code != 0:
            raise _failures.ATTRIBUTES_REFUSED.error(path=shown(path), said=" ".join(said.split())[:200])
        return True


_NEW_FILE = os.stat_result((stat.S_IFREG | 0o600, *[0] * 9))


def _or(wanted: int | None, present: int) -> int:
    return present if wanted is None else wanted


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A descriptor of a file, without following links."""
    with local_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _id_of(option: str, name: Any) -> int | None:
    """The numeric id of a user or group, which is given by name or number."""
    if name is None:
        return None
    try:
        number = int(name)
    except ValueError:
        pass
    else:
        if 0 <= number < 0xFFFFFFFF:  # the largest one means "unchanged" in chown(2)
            return number
        raise _failures.OWNER_UNKNOWN.error(option=option, name=name)
    try:
        return pwd.getpwnam(name).pw_uid if option == "owner" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise _failures.OWNER_UNKNOWN.error(option=option, name=name) from None


def _flags_from(option: Any) -> tuple[str, set[str]]:
    """The operator (``+``, ``-`` or ``=``) and the flags, as in chattr(1)."""
    text = str(option or "")
    if not text:
        return "=", set()
    how, letters = (text[0], text[1:]) if text[0] in "+-=" else ("=", text)
    if not letters or set(letters) - _LETTERS:
        raise _failures.ATTRIBUTES_WRONG.error(attributes=text, flaw="are no flags that chattr knows")
    return how, set(letters)


def _has_capability(number: int) -> bool:
    """Whether this process has a Linux capability."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as source:
            held = next(line.split()[1] for line in source if line.startswith("CapEff:"))
        return bool(int(held, 16) >> number & 1)
    except (OSError, ValueError, StopIteration, IndexError):
        return os.geteuid() == 0
