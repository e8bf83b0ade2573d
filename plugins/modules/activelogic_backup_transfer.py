#!/usr/bin/python
# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch backups from ActiveLogic systems, and push them."""

DOCUMENTATION = r"""
module: activelogic_backup_transfer
short_description: Fetch backups from ActiveLogic systems, and push them
version_added: 0.1.0
description:
  - Copies a backup from a system into a file where the module runs, or a file to a system, and verifies it.
  - The data of a fetched backup is accompanied by C(<file>.sha256), for C(sha256sum -c), and by C(<file>.json), which
    says what it is and where it is from. Where that makes a name of more than 255 bytes, C(<file>) is cut there, and
    followed by C(~) and 16 hex digits of the SHA-256 of the whole name; RV(file) tells the paths.
  - An old file stays as it is until the new one is complete and verified. The three files are exchanged together, while
    no other task does so in that folder (for which O(wait_timeout) is waited). Where a task is killed in between, the
    next one completes or undoes the exchange. Somebody who looks in the meantime may miss a side file, and never sees
    one that belongs to other data.
  - A fetch works in a hidden folder beside the file, C(.<name>.<16 hex digits>.part), which is gone when it ends. One
    that a killed task left is removed by the next task on the same machine; by one on another machine, or where the
    file system has no locks, when nothing has happened in it for 24 hours.
  - Where the file system can't lock or flush folders, or set modes, the module does without, and warns once.
  - O(owner), O(group), O(mode), O(attributes) and the SELinux options are those of the backup, its digest and its
    manifest alike, and are checked before anything is fetched. O(attributes) are set when everything is in its place;
    files that they make immutable can't be replaced by a later task.
  - File names are UTF-8, whatever the locale of the machine where the module runs.
author:
  - Contributors to the netops.activelogic collection (@netops)
extends_documentation_fragment:
  - ansible.builtin.files
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
  direction:
    description:
      - V(fetch) copies from the system into a file, V(push) copies a file to the system.
    type: str
    choices: [fetch, push]
    required: true
  name:
    description:
      - The name of the backup on the system. With O(direction=push) the base name of O(src) where it is not set.
    type: str
  latest:
    description:
      - Fetch the newest complete full backup whose age is known.
      - If the date of one that could be the newest lies more than five minutes ahead of the clock where the module
        runs, it is not known which one is, and the task fails. RV(passed_over) names it. Set the clocks right, or use
        O(name).
    type: bool
    default: false
  prefix:
    description:
      - With O(latest=true), look only at backups whose names begin so.
    type: str
    default: ''
  timezone:
    description:
      - The time zone of names that the system chose, such as V(UTC) or V(Europe/Stockholm). Without it their age is
        not known.
    type: str
  dest:
    description:
      - Where to put a fetched backup. A folder, or a path that ends in C(/), takes the name of the backup, and is made
        where it is missing. Any other path is the file itself.
      - It has to be absolute once C(~) and variables are replaced. A relative one would depend on the folder of the
        playbook, which for the playbook of a collection is the installed collection.
      - Folders that are made get O(owner), O(group) and the mode C(0700); where O(mode) lets the group or others read
        the files, they may also list and enter the folders.
    type: path
  checksum:
    description:
      - The SHA-256 that the fetched backup must have, written V(sha256:<64 hex digits>).
    type: str
  on_missing:
    description:
      - Whether a backup that is not there is an error, or skipped.
    type: str
    choices: [fail, skip]
    default: fail
  validate:
    description:
      - A command that checks the fetched backup before it takes its place; C(%s) stands for the file. It is not run
        by a shell. Its program is looked up in E(PATH), or named with an absolute path.
    type: str
  src:
    description:
      - The file to push. Its path has to be absolute once C(~) and variables are replaced.
    type: path
  verify:
    description:
      - How the copy is verified. V(size) compares its size with the listing of the system. V(archive) also looks into
        the local file; one that is an archive of a usual format (gzip, zip, tar, bzip2 or xz) has to be whole.
        V(content) does the same, and compares the content with one more download from the system. RV(verified_by) tells
        what each proves.
      - An archive that would need more than about 45 MiB of memory, more than O(transfer_timeout), or that unpacks to
        more than 256 MiB and to more than 100 times its size, is not read to its end. Then a warning says so, and
        RV(verified_by) lacks V(archive).
      - V(content) is the default of O(direction=push), V(archive) of O(direction=fetch).
      - With O(direction=fetch) and V(content) also a file that is there already is compared with the system.
    type: str
    choices: [archive, content, size]
  other_machine:
    description:
      - With O(direction=push), push a file whose manifest says that it was fetched from another machine. A manifest
        counts that is beside the file, or beside a link to it or the target of that. Whether the file is as manifest
        and C(<file>.sha256) say is checked all the same, and one of these that can't be read or understood is an
        error.
      - With O(direction=fetch), replace a file whose manifest names another machine, or can't be read or understood. A
        file without a manifest is replaced without this.
    type: bool
    default: false
  force:
    description:
      - With O(direction=fetch), fetch a file again that is there already.
      - With O(direction=push), replace a backup of the same name and other content. The old one is downloaded first,
        into a folder C(activelogic-replaced-*) in the temporary folder of the machine where the module runs, which
        E(TMPDIR) names, and removed from there when the new one is verified. Where that fails, the old one is put back.
      - Where the old one can't be put back, or it is not known whether the new one arrived, the copy stays, and the
        message says where. A run that is killed leaves it there too, and nothing removes it.
    type: bool
    default: false
  mode:
    description:
      - The permissions of the backup, its digest and its manifest, also when they are there already. Backups hold
        secrets.
      - Write it in quotes. V(0640) without them is understood as well. A number that can be meant otherwise is refused,
        such as V(640), which as a number would be V(01200).
    type: raw
    default: '0600'
  unsafe_writes:
    description:
      - Where the fetched file can't be renamed to its place, as at a mount point, write over the old file instead. An
        interruption then leaves neither.
      - Only the task, or C(module_defaults), can switch it on. E(ANSIBLE_UNSAFE_WRITES), which AWX sets in each job,
        does not.
    type: bool
    default: false
seealso:
  - module: netops.activelogic.activelogic_backup
  - module: netops.activelogic.activelogic_backup_info
"""

EXAMPLES = r"""
- name: Fetch the newest backup
  netops.activelogic.activelogic_backup_transfer:
    direction: fetch
    latest: true
    dest: /srv/backups/{{ inventory_hostname }}/

- name: Fetch a named backup into a named file
  netops.activelogic.activelogic_backup_transfer:
    direction: fetch
    name: before-upgrade.plb
    dest: /srv/backups/edge1-before-upgrade.plb

- name: Push a backup to the system that it came from
  netops.activelogic.activelogic_backup_transfer:
    direction: push
    src: /srv/backups/edge1/before-upgrade.plb
"""

RETURN = r"""
action:
  description: What was done, or would be done in check mode. V(fetched), V(pushed), V(unchanged) or V(skipped).
  type: str
  returned: success
  sample: fetched
backup:
  description: The backup; V(null) when it was skipped.
  type: dict
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
    sha256:
      description: The SHA-256 of its content, in hex; V(null) in check mode when it has not been fetched.
      type: str
      sample: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
file:
  description: The file where the module runs; V(null) when the backup was skipped.
  type: dict
  returned: success
  contains:
    path:
      description: Its path.
      type: str
      sample: /srv/backups/edge1/before-upgrade.plb
    size:
      description: Its size in bytes.
      type: int
      sample: 10394934
    sha256_file:
      description: The file with its SHA-256; V(null) for a push.
      type: str
    manifest:
      description: The file that says what it is; V(null) for a push.
      type: str
bytes_transferred:
  description: Bytes of content that were received or sent.
  type: int
  returned: success
  sample: 10394934
resumed_from:
  description: Where the transfer went on after a lost connection, in bytes; 0 when it did not have to.
  type: int
  returned: success
verified_by:
  description:
    - What vouches for the transfer.
    - V(size) is the listing of the system. It shows that nothing is missing, and does not show changed bytes.
    - V(digest) is the gateway's own SHA-256 of what it got from the system. It shows changed bytes between gateway and
      module, and does not show those between system and gateway.
    - V(archive) is the file itself, which is a whole archive by its own checksums and its end. It shows what was
      missing or damaged on the system already; of a file that is no such archive nothing is known.
    - V(content) is one more download from the system. It shows changed bytes on the whole way, unless both downloads
      were changed in the same manner.
  type: list
  elements: str
  returned: success
  sample: [size, digest]
unchanged_by:
  description:
    - Why nothing had to be copied. V(manifest) when manifest, file and listing agree, V(content) when the system holds
      the same content; V(null) otherwise.
  type: str
  returned: success
passed_over:
  description:
    - With O(latest=true), full backups with O(prefix) that could have been the newest, and can't be relied on; 100 at
      most.
    - Empty when there are none, and without O(latest).
  type: list
  elements: dict
  returned: success, and in a failure of O(latest)
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
from ansible_collections.netops.activelogic.plugins.module_utils._module._work import work_for_direction
from ansible_collections.netops.activelogic.plugins.module_utils._runner import run


def argument_spec() -> dict[str, dict[str, Any]]:
    """The module's options; the action plugin reads them too."""
    return {
        **connection_argument_spec(),
        "direction": {"type": "str", "choices": ["fetch", "push"], "required": True},
        "name": {"type": "str"},
        "latest": {"type": "bool", "default": False},
        "prefix": {"type": "str", "default": ""},
        "timezone": {"type": "str"},
        "dest": {"type": "path"},
        "checksum": {"type": "str"},
        "on_missing": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
        "validate": {"type": "str"},
        "src": {"type": "path"},
        "verify": {"type": "str", "choices": ["archive", "content", "size"]},
        "other_machine": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "mode": {"type": "raw", "default": "0600"},
        # As core has it, without its fallback: the environment of a job must not have the last good copy overwritten.
        "unsafe_writes": {"type": "bool", "default": False},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        add_file_common_args=True,
        supports_check_mode=True,
        mutually_exclusive=[("name", "latest")],
        required_if=[
            ("direction", "fetch", ("dest",)),
            ("direction", "push", ("src",)),
        ],
        required_by=connection_required_by(),
    )
    run(module, work_for_direction(module.params["direction"]))


if __name__ == "__main__":
    main()
