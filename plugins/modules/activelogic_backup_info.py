#!/usr/bin/python
# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the backups of an ActiveLogic system."""

DOCUMENTATION = r"""
module: activelogic_backup_info
short_description: Look at the backups of an ActiveLogic system
version_added: 0.1.0
description:
  - Lists the backups that a system holds, and says which one is the newest and whether it is fresh.
  - Never changes anything, and does not fail because nothing is there.
author:
  - Contributors to the netops.activelogic collection (@netops)
extends_documentation_fragment:
  - netops.activelogic._connection
  - netops.activelogic._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description:
      - Only the backup of exactly this name.
    type: str
  pattern:
    description:
      - Only backups whose names fit this pattern, as in a shell, such as V(nightly-*). Upper and lower case differ.
    type: str
  newer_than:
    description:
      - Only backups that are younger than this, such as V(90s), V(30m), V(24h), V(7d) or V(2w). Those of unknown age
        are left out.
    type: str
  older_than:
    description:
      - Only backups that are older than this. Those of unknown age are left out.
    type: str
  max_age:
    description:
      - Say in RV(fresh) whether the newest full backup is at most this old. The system is then listed twice, two
        seconds apart, and a backup that is not complete does not count.
    type: str
  verify:
    description:
      - How the newest full backup is checked with O(max_age), once it is listed as complete.
      - V(archive) downloads it and checks that it is intact. That can be told where it is an archive of a usual format
        (gzip, zip, tar, bzip2 or xz) by its checksums and its end. One that is not does not count. It needs the right
        to download, and room for a copy in the folder for temporary files where the module runs.
      - An archive that would need more than about 45 MiB of memory, more than O(transfer_timeout), or that unpacks to
        more than 256 MiB and to more than 100 times its size, is not read to its end, and a warning says so.
      - V(size) relies on the listing alone.
    type: str
    choices: [archive, size]
    default: archive
  timezone:
    description:
      - The time zone of names that the system chose, such as V(UTC) or V(Europe/Stockholm). Without it their age is
        not known.
    type: str
seealso:
  - module: netops.activelogic.activelogic_backup
  - module: netops.activelogic.activelogic_backup_transfer
"""

EXAMPLES = r"""
- name: List the backups
  netops.activelogic.activelogic_backup_info:
  register: backups

- name: Say which systems have no fresh backup
  netops.activelogic.activelogic_backup_info:
    max_age: 26h
  register: freshness
  failed_when: freshness.fresh is not true
"""

RETURN = r"""
backups:
  description: The backups that fit, sorted by name.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: 20260131T021500Z-7f3a.plb
    size:
      description: Its size in bytes.
      type: int
      sample: 10394934
    created:
      description: When it was made, in UTC, as its name tells; V(null) when that is not known.
      type: str
      sample: '2026-01-31T02:15:00Z'
    created_source:
      description: Where that is known from, V(name) or V(unknown).
      type: str
      sample: name
    age_seconds:
      description: How old it is; V(null) when that is not known.
      type: int
      sample: 7215
    purpose:
      description: V(full), V(partial) for one resource, or V(safety) for one that was made before a restore.
      type: str
      sample: full
count:
  description: How many backups fit.
  type: int
  returned: success
  sample: 3
total_size:
  description: Their sizes together, in bytes.
  type: int
  returned: success
  sample: 31184802
latest:
  description:
    - The newest full backup among RV(backups) whose age is known, in their form; V(null) when there is none.
    - Only with O(max_age) it is known to be complete, as far as O(verify) looks.
    - A backup whose date lies more than five minutes ahead of the clock where the module runs is never the latest, and
      there is a warning, because it may be newer. RV(passed_over) names it.
  type: dict
  returned: success
fresh:
  description:
    - Whether RV(latest) is at most O(max_age) old. V(null) when O(max_age) is not set, or when there are full backups
      of unknown age and none that is known to be fresh.
  type: bool
  returned: success
passed_over:
  description:
    - Full backups of the wanted names that could have been RV(latest), and can't be relied on; 100 at most.
    - Also those that O(newer_than) and O(older_than) leave out because their age is not known.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: 20260131T022200Z-7f3a.plb
    why:
      description: What speaks against it.
      type: str
      sample: has a date that lies 7 min ahead of the clock
system:
  description: The system that answered.
  type: dict
  returned: success
  contains:
    host:
      description: The option O(host).
      type: str
      sample: edge1
    machineid:
      description: Its machine id.
      type: str
      sample: '001122334455'
    distversion:
      description: Its firmware.
      type: str
      sample: 22.20.06.1
elapsed:
  description: Seconds that the module took.
  type: float
  returned: always
tries:
  description: How often the most repeated request was sent; 1 when nothing had to be repeated.
  type: int
  returned: always
error:
  description: What went wrong, for programs.
  type: dict
  returned: failure
  contains:
    kind:
      description: A word for the class of the error.
      type: str
      sample: incomplete
    operation:
      description: What was being done.
      type: str
      sample: list the backups
    system:
      description: The option O(host).
      type: str
      sample: edge1
    tries:
      description: As RV(tries).
      type: int
    elapsed:
      description: As RV(elapsed).
      type: float
    hint:
      description: What to do about it.
      type: str
"""

from ansible_collections.netops.activelogic.plugins.module_utils._python import require_python

require_python()

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.netops.activelogic.plugins.module_utils._connection import (
    connection_argument_spec,
    connection_required_by,
)
from ansible_collections.netops.activelogic.plugins.module_utils._module._backup_info import query
from ansible_collections.netops.activelogic.plugins.module_utils._runner import run


def argument_spec() -> dict[str, dict[str, Any]]:
    """The module's options; the action plugin reads them too."""
    return {
        **connection_argument_spec(),
        "name": {"type": "str"},
        "pattern": {"type": "str"},
        "newer_than": {"type": "str"},
        "older_than": {"type": "str"},
        "max_age": {"type": "str"},
        "verify": {"type": "str", "choices": ["archive", "size"], "default": "archive"},
        "timezone": {"type": "str"},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("name", "pattern")],
        required_by=connection_required_by(),
    )
    run(module, query)


if __name__ == "__main__":
    main()
