# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the attributes of the modules. Private to this collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Descriptions of the attributes; each module states its own support."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, which reports what would change without changing anything.
  diff_mode:
    description: Returns the state before and after.
  idempotent:
    description: Changes nothing when run again with the same options.
  action_group:
    description: Takes defaults from C(module_defaults) of the group C(group/netops.activelogic.activelogic).
    support: full
    membership:
      - netops.activelogic.activelogic
  async:
    description: Supports the keyword C(async).
    support: full
  delegation:
    description: Can be delegated; the options of the system still come from the host in the inventory.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: posix
"""
