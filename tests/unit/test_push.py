# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to the backup that a push replaces when one command after another fails.

The system is a test double: no real one would fail in exactly this order on demand.
"""

from __future__ import annotations

import hashlib
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _failures
from ansible_collections.netops.activelogic.plugins.module_utils._context import Context, Notes
from ansible_collections.netops.activelogic.plugins.module_utils._deadline import Deadline
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._model import BackupFile, Listing, Received, System
from ansible_collections.netops.activelogic.plugins.module_utils._module._push import push
from ansible_collections.netops.activelogic.plugins.module_utils._notice import Notice

NAME = "there.plb"
OLD = b"what the system has"
NEW = b"what is pushed"


def received(content: bytes) -> Received:
    return Received(len(content), hashlib.sha256(content).hexdigest(), True, len(content))


class FailingSystem:
    """A system with one backup that loses the answer to an upload; after that only listing works."""

    def __init__(self) -> None:
        self.is_away = False
        self.calls: list[str] = []

    def deadline(self, option: str) -> Deadline:
        return Deadline(option, 60)

    def identity(self) -> System:
        return System("edge1", "001122334455", "1.0")

    def list(self) -> Listing:
        return Listing((BackupFile(NAME, len(OLD)),))

    def find(self, name: str) -> BackupFile | None:
        return self.list().find(name)

    def digest(self, _name: str) -> Received:
        if self.is_away:
            raise _failures.SYSTEM_UNREACHABLE.error(said="")
        return received(OLD)

    def download(self, _name: str, path: str, opener: Any) -> Received:
        with open(path, "wb", opener=opener) as file:
            file.write(OLD)
        return received(OLD)

    def upload(self, _name: str, _path: str, *_more: Any) -> Any:
        self.calls.append("upload")
        self.is_away = True
        raise _failures.SYSTEM_LOST_UNKNOWN.error(said="")

    def is_listed_after(self, _error: ActiveLogicError, _name: str) -> bool:
        return True

    def remove(self, name: str) -> None:
        self.calls.append(f"remove {name}")


def test_the_old_backup_is_kept_where_the_answer_is_lost_and_nothing_can_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "new.plb").write_bytes(NEW)
    system = FailingSystem()
    params = {"src": str(tmp_path / "new.plb"), "name": NAME, "direction": "push", "verify": "content", "force": True}
    client: Any = system
    context = Context(
        params={**params, "other_machine": False, "timezone": None},
        client=client,
        check_mode=False,
        ansible=None,  # type: ignore[arg-type] # a push does not use it
        now=datetime.now(timezone.utc),
        zone=None,
        notes=Notes("edge1", Notice("")),
    )
    with pytest.raises(ActiveLogicError) as caught:
        push(context)
    (kept,) = tmp_path.glob("activelogic-replaced-*/there.plb")
    assert kept.read_bytes() == OLD
    assert f"the backup from before is kept in {kept}" in caught.value.hint
    assert system.calls == ["upload"]
