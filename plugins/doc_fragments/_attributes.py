# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of what the modules support. Private to this collection."""

from __future__ import annotations


class ModuleDocFragment:
    """The descriptions of the attributes; each module says its own support."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, and says then what would change without changing anything.
  diff_mode:
    description: Returns what was there before and what is there afterwards.
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
