# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: activelogic_summary
short_description: Show which systems a role saved, and why others were not
version_added: 0.1.0
description:
  - Shows a table of systems as plain lines, when the last system that has begun is through, and how many of how many
    were saved. A system that failed before has a row too. Where systems follow one another (C(serial)), each table
    shows those that are new, and counts all.
  - The roles of this collection use it. It works on the control node, reaches no system, and changes nothing.
author:
  - Contributors to the netops.activelogic collection (@netops)
attributes:
  check_mode:
    description: Can run in check mode, and says then what would have been saved.
    support: full
  diff_mode:
    description: Returns the state before and after.
    support: none
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
options:
  step:
    description:
      - V(begin) says that the role begins for a system. V(end) says that it is through, and shows the table.
      - V(end) fails for a system that was not saved.
    type: str
    choices: [begin, end]
    required: true
  run:
    description:
      - What V(begin) returned as RV(run).
    type: str
  made:
    description:
      - The result of M(netops.activelogic.activelogic_backup).
    type: dict
  fetched:
    description:
      - The result of M(netops.activelogic.activelogic_backup_transfer).
    type: dict
  failure:
    description:
      - Why the system was not saved. Empty when nothing failed.
    type: str
"""

EXAMPLES = r"""
- name: Begin the table
  netops.activelogic.activelogic_summary:
    step: begin
  register: begun

- name: Show the table
  netops.activelogic.activelogic_summary:
    step: end
    run: "{{ begun.run }}"
    made: "{{ made }}"
    fetched: "{{ fetched }}"
"""

RETURN = r"""
run:
  description: Where the systems of one run of a role meet.
  type: str
  returned: when O(step=begin)
system:
  description: What came of this system, with C(host), C(result), C(file), C(size) in bytes, and C(reason).
  type: dict
  returned: success, when O(step=end)
summary:
  description:
    - How many systems of the play there are (C(total)), how many of them were C(saved), and the names of those that
      C(failed), C(left) the play earlier, or were C(not_reached) so far. In check mode also how many are C(unchanged),
      and how many a run C(would_save). C(systems) has what came of each; it is left out where the task fails.
  type: dict
  returned: when O(step=end), for the system that shows the table
"""
