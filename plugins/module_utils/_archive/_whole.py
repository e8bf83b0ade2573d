# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a backup file whole, as far as it can tell itself? Private to this collection.

What is inside a backup is the vendor's secret. Where it is an archive of a known format, its checksums and its end
tell whether bytes are missing or damaged; what it means is not looked at. Where it is none, nothing is known.

The readers are our own, over the decompressors of the standard library: those for tar and zip there hold as much in
memory as an archive asks for, and can spend hours in one call. Ours read piece by piece, ask the clock for each, and
stop at :class:`_reading.Budget`.
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
    """What a file tells about itself.

    :param kind: the format that it was read in to its end; empty when nothing is known.
    :param damage: what speaks against it, as a clause without its subject; empty when nothing does.
    :param limit: why it was not read to its end although its format is known: the time, memory or number of bytes that
        one file may cost, as a clause without its subject. Nothing is known then.
    """

    kind: str = ""
    damage: str = ""
    limit: str = ""


def not_checked(what: str, finding: Finding) -> str:
    """The warning about a file that reached a limit; ``what`` names it."""
    return f"the content of {what} was not checked, and may be damaged (verify): it {finding.limit}"


def inspect(path: str, deadline: Deadline) -> Finding:
    """Read a local file to its end, in at most about 45 MiB of memory; nothing is written.

    :param deadline: when it is over nothing is known.
    :raises LocalFileError: when it can't be read, or is no regular file.
    """
    with local_errors(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        budget = Budget(Limits(), size, deadline.is_over)
        kind = _kind_of(os.pread(file.fileno(), BLOCK, 0))
        if not kind:
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


def _kind_of(head: bytes) -> str:
    """The one format that a file begins like; none where it may be two, such as a tar with a member named PK."""
    kinds = [kind for kind, start in _STARTS.items() if head.startswith(start)]
    if is_header(head):
        kinds.append("tar")
    return kinds[0] if len(kinds) == 1 else ""


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
