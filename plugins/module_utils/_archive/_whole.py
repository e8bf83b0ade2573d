# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check whether a backup file is intact, as far as the file itself can show. Private to this collection.

The format of backups is not public. If a file is an archive of a known format, its checksums and its end show whether
bytes are missing or damaged; the meaning is not checked. About any other file nothing is known.

The readers are our own, based on the decompressors of the standard library: its readers for tar and zip use as much
memory as an archive asks for, and can spend hours in one call. Ours read in pieces, and check time and size for each,
see :class:`_reading.Budget`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from .._deadline import Deadline
from .._files._access import local_errors, open_regular
from ._reading import Budget, DamagedError, LimitError, Limits, UnprovableError, file_pieces, inflate
from ._streams import unpack_bzip2, unpack_xz
from ._tar import BLOCK, is_header
from ._whole_tar import read_tar_to_its_end
from ._whole_zip import read_zip_to_its_end


@dataclass(frozen=True)
class Finding:
    """The result of checking a file; all three are ``None`` when nothing is known about it.

    :param kind: the format in which it was read to the end.
    :param damage: what is wrong with it, as a clause without a subject.
    :param limit: which limit (time, memory or number of bytes) stopped the check of a known format, as a clause without
        a subject.
    """

    kind: str | None = None
    damage: str | None = None
    limit: str | None = None


def not_checked(what: str, finding: Finding) -> str:
    """The warning about a file whose check hit a limit; ``what`` names the file."""
    return f"the content of {what} was not checked, and may be damaged (verify): it {finding.limit}"


def inspect(path: str, deadline: Deadline) -> Finding:
    """Check a local file, in at most about 45 MiB of memory; nothing is written.

    :param deadline: after it the result is that nothing is known.
    :raises LocalFileError: when it can't be read, or is not a regular file.
    """
    with local_errors(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        budget = Budget(Limits(), size, deadline.is_over)
        kind = _kind_of(os.pread(file.fileno(), BLOCK, 0))
        if kind is None:
            return Finding()
        try:
            _READERS[kind](file, size, budget)
        except DamagedError:
            return Finding(kind, f"is a {kind} archive that is damaged, or of which bytes are missing")
        except LimitError as error:
            return Finding(limit=str(error))
        except MemoryError:
            return Finding(limit="needs more memory than there is")
        except UnprovableError:
            return Finding()
        return Finding(kind)


def _kind_of(head: bytes) -> str | None:
    """The format by the first bytes of a file; ``None`` if they fit two, as of a tar with a member named PK."""
    kinds = [kind for kind, start in _STARTS.items() if head.startswith(start)]
    if is_header(head):
        kinds.append("tar")
    return kinds[0] if len(kinds) == 1 else None


def _read_gzip(file: BinaryIO, size: int, budget: Budget) -> None:
    for _piece in inflate(file_pieces(file, 0, size, budget), 31, budget):
        pass


def _read_bzip2(file: BinaryIO, size: int, budget: Budget) -> None:
    for _piece in unpack_bzip2(lambda: file_pieces(file, 0, size, budget), budget):
        pass


def _read_xz(file: BinaryIO, size: int, budget: Budget) -> None:
    for _piece in unpack_xz(lambda: file_pieces(file, 0, size, budget), budget):
        pass


_STARTS = {"gzip": b"\x1f\x8b\x08", "zip": b"PK\x03\x04", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_READERS: dict[str, Callable[[BinaryIO, int, Budget], None]] = {
    "gzip": _read_gzip,
    "zip": read_zip_to_its_end,
    "tar": read_tar_to_its_end,
    "bzip2": _read_bzip2,
    "xz": _read_xz,
}
