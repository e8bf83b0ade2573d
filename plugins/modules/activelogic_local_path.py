#!/usr/bin/python
# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a local path before anything is written there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: activelogic_local_path
short_description: Check a local path before backups are written there
version_added: 0.1.0
description:
  - Fails when a path is not absolute after C(~) and variables are replaced. A relative path would be used in the folder
    of the playbook; that of a collection's playbook is inside the installed collection, and is deleted by its next
    upgrade.
  - Fails when a job of AWX, of the Automation Platform or of ansible-navigator runs in a container, and the path lies
    inside it, not in a folder that is mounted from outside. Such files are lost when the job ends.
  - The roles of this collection use it before they make a backup. It reaches no system.
author:
  - Contributors to the netops.activelogic collection (@netops)
attributes:
  check_mode:
    description: Can run in check mode, and does the same there.
    support: full
  diff_mode:
    description: Returns the state before and after.
    support: none
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
options:
  path:
    description:
      - The path to check. What it lies in need not exist.
    type: path
    required: true
  option:
    description:
      - The name of the option or variable that holds the path, for the message.
    type: str
    default: path
  host:
    description:
      - The system whose backups go there, for the message. The name in the inventory where it is not set.
    type: str
  allow_ephemeral:
    description:
      - Warn of a path inside the container of a job where it would fail otherwise.
    type: bool
    default: false
  switch:
    description:
      - The name of the variable that sets O(allow_ephemeral), for the message.
    type: str
    default: allow_ephemeral
  in_job:
    description:
      - Whether the path belongs to a job that runs in a container. The environment tells where it is not set.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the folder of the archive
  netops.activelogic.activelogic_local_path:
    path: "{{ archive }}"
    option: archive
"""

RETURN = r"""
path:
  description: The path, with C(~) and variables replaced.
  type: str
  returned: success
  sample: /srv/activelogic-backups
error:
  description: What went wrong, for programs, as the other modules of this collection return it.
  type: dict
  returned: failure
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._files._lasting import checked, in_container_of_a_job


def argument_spec() -> dict[str, dict[str, Any]]:
    """The module's options; the action plugin reads them too."""
    return {
        "path": {"type": "path", "required": True},
        "option": {"type": "str", "default": "path"},
        "host": {"type": "str"},
        "allow_ephemeral": {"type": "bool", "default": False},
        "switch": {"type": "str", "default": "allow_ephemeral"},
        "in_job": {"type": "bool", "default": False},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        path, warning = checked(
            params["path"],
            params["option"],
            params["switch"],
            allowed=params["allow_ephemeral"],
            in_job=params["in_job"] or in_container_of_a_job(os.environ),
            folder=os.getcwd(),
        )
    except ActiveLogicError as error:
        module.fail_json(**error.to_result(params["host"] or "", tries=1, elapsed=0.0))
    if warning:
        module.warn(warning)
    module.exit_json(changed=False, path=path)


if __name__ == "__main__":
    main()
