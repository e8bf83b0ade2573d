# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print docs/errors.md, the reference of all errors, from the collection's own table."""

from __future__ import annotations

from ansible_collections.netops.activelogic.plugins.module_utils._failures import ALL, Failure
from ansible_collections.netops.activelogic.plugins.module_utils._transport._problems import PROBLEMS

HEAD = """\
<!--
Copyright (c) Contributors to the netops.activelogic collection
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# What can go wrong

This page is made by `make errors` from the table in `plugins/module_utils/_failures.py`.

A task that fails says so in one sentence, `msg`: the system, what was being done, what went wrong, and what to do.
Beside it stands `error` for programs, with `kind` (the word in brackets below), `operation`, `system`, `tries`,
`elapsed` (seconds) and `hint`. Names in braces are filled in. A failed push says in its `hint` also what became of the
backup on the system, and a failed restore where the configuration from before is.

| What went wrong | Class (`kind`) | Message | What to do |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_line(each) for each in ALL.values())


def _line(failure: Failure) -> str:
    kinds = ", ".join(f"`{kind}`" for kind, each in PROBLEMS.items() if each is failure)
    cells = (
        failure.what + (f" The gateway's {kinds}." if kinds else ""),
        f"{failure.error_class.__name__} (`{failure.error_class.kind}`)",
        failure.reason,
        failure.hint or failure.error_class.default_hint,
    )
    return "| " + " | ".join(each.replace("|", "\\|").replace("<", "&lt;") for each in cells) + " |\n"


if __name__ == "__main__":
    print(page(), end="")
