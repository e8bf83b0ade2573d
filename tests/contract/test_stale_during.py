# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PLDBNewDataCommitted when another session commits during a command."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.systems import System
from tests.contract.ways import STALE, CommandError


class Interrupted(io.BytesIO):
    """Makes another session commit after its first piece was read."""

    def __init__(self, content: bytes, system: System) -> None:
        super().__init__(content)
        self._system = system
        self._is_first = True

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if self._is_first:
            self._is_first = False
            other = self._system.connect()
            other.create_new("other.plb")
            other.close()
        return piece


@pytest.mark.sentence("stale.every_command")
def test_a_commit_during_an_upload_makes_it_stale_and_nothing_is_stored(sdk: Any, system: System) -> None:
    system.needs(standins.COMMITS_AT_THE_END)
    with pytest.raises(CommandError) as caught:
        sdk.call("upload", "mine.plb", ifile_obj=Interrupted(b"content", system))
    assert caught.value.word == STALE
    assert list(system.backups()) == ["other.plb"]
