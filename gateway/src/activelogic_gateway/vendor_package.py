# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports the vendor's package by name; only in the fork server and session processes, since it may crash."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .wire import MOST_SAID


class SdkMissing(Exception):
    """The Python module with the vendor's API can't be used; the text is one sentence."""


@dataclass(frozen=True)
class Sdk:
    """The parts of the module that are used."""

    async_connect: Callable[[str, str, str], Any]
    backup_file: type


def load_sdk(name: str) -> Sdk:
    """Import the module ``name``.

    :raises SdkMissing: if it is not installed, does not import, or lacks the vendor's API.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            raise SdkMissing(
                f"the Python package {name!r} (sdk) is not installed where the gateway runs; install it,"
                " or name another one"
            ) from error
        raise SdkMissing(f"the Python package {name!r} (sdk) needs {error.name!r}, which is not installed") from error
    except BaseException as error:  # such as SystemExit
        raise SdkMissing(
            f"the Python package {name!r} (sdk) can't be imported: {type(error).__name__}: {text_of(error)}"
        ) from error
    missing = [each for each in ("async_connect", "BackupFile") if not hasattr(module, each)]
    if missing:
        raise SdkMissing(f"the Python package {name!r} (sdk) has no {' and no '.join(missing)}")
    return Sdk(module.async_connect, module.BackupFile)


def text_of(error: BaseException) -> str:
    """Return the text of an exception in one line, or a placeholder if ``str`` fails."""
    try:
        return " ".join(str(error)[: 100 * MOST_SAID].split())[:MOST_SAID]
    except BaseException:
        return "(its text can't be read)"
