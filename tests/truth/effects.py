# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference between two observations of a system, in the terms of the table."""

from __future__ import annotations

import re
from typing import Any

from tests.harness.observer import Seen
from tests.truth.table import (
    BEFORE,
    COMPARE,
    IN_RULES,
    IN_WANTED,
    OTHERWISE,
    OURS,
    OURS_OF_A_PART,
    SAFETY,
    SYSTEM,
    Effect,
)

KINDS = {
    SAFETY: r"pre-restore-\d{8}T\d{6}Z-[0-9a-f]{4}\.plb",
    COMPARE: r"compare-\d{8}T\d{6}Z-[0-9a-f]{4}(-only-.+)?\.plb",
    OURS: r"(nightly-|x-only-|pre-restore-x-)?\d{8}T\d{6}Z-[0-9a-f]{4}\.plb",
    OURS_OF_A_PART: r"(nightly-)?\d{8}T\d{6}Z-[0-9a-f]{4}-only-ruleset\.plb",
    SYSTEM: r"\d{8}-\d\d\.\d\d\.plb",
}


def effect(before: Seen, after: Seen, wanted: dict[str, Any]) -> Effect:
    """The effect on a system between two observations.

    :param wanted: the configuration in the standard backups.
    """
    made = {name for name, entry in after.backups.items() if before.backups.get(name) != entry}
    kinds = {name: name if name in before.backups else kind_of(name) for name in made}
    return Effect(
        made=tuple(sorted(kinds.values())),
        gone=tuple(sorted(before.backups.keys() - after.backups.keys())),
        restores=after.restores - before.restores,
        holds=_label(before.configuration, after.configuration, wanted),
    )


def kind_of(name: str) -> str:
    """The kind of an unpredictable backup name, or the name itself."""
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)), name)


def _label(before: dict[str, Any], after: dict[str, Any], wanted: dict[str, Any]) -> str:
    labels = {
        BEFORE: before,
        IN_WANTED: wanted,
        IN_RULES: {**before, "Ruleset": wanted["Ruleset"]},
    }
    return next((label for label, configuration in labels.items() if configuration == after), OTHERWISE)
