# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fill in the options of activelogic_backup_transfer, then run it."""

from __future__ import annotations

from typing import Any

from ansible_collections.netops.activelogic.plugins.modules.activelogic_backup_transfer import argument_spec
from ansible_collections.netops.activelogic.plugins.plugin_utils._action import ActionModuleBase


class ActionModule(ActionModuleBase):
    """Action plugin of the module of the same name."""

    has_file_options = True

    def module_argument_spec(self) -> dict[str, dict[str, Any]]:
        """The options of the module."""
        return argument_spec()
