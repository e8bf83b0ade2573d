# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's reference, sentence by sentence in our words; tests name the sentences that they cover."""

from __future__ import annotations

import ast
from pathlib import Path

SENTENCES = {
    # Backup.list
    "list.returns": "list(BackupFile) gives all backups, each as a BackupFile",
    "list.name": "BackupFile.name is the name of the backup",
    "list.size": "BackupFile.size is its size in bytes",
    "list.value_error": "any other class is a ValueError",
    "list.stale": "PLDBNewDataCommitted when another session has committed new data",
    # Backup.create_new
    "create_new.creates": "create_new makes a new backup",
    "create_new.name": "name is the name of the backup",
    "create_new.generated_name": "without a name one is generated, of the form YYYYMMDD-HH.MM.plb",
    "create_new.resource_name": "resource_name is the resource to be included",
    "create_new.all_resources": "all resources are included without resource_name",
    "create_new.returns": "the name of the backup is returned, a str",
    # Backup.restore
    "restore.restores": "restore brings back what a backup holds",
    "restore.resource_name": "resource_name is the resource to be restored",
    "restore.resource_type": "resource_name may be a Resource or an int",
    "restore.all_resources": "all resources are restored without resource_name",
    # Backup.remove
    "remove.removes": "remove removes the backup of that name",
    # Backup.download
    "download.dest_path": "the data are written to the file at dest_path",
    "download.dest_path_types": "dest_path is a str or a pathlib.Path",
    "download.ofile_obj": "the data are written to the file object ofile_obj",
    "download.ofile_obj_modes": "ofile_obj is opened in a binary writable mode, wb+ among them",
    "download.bytesio": "ofile_obj may be a BytesIO",
    "download.keyword_only": "ofile_obj and dest_path are given by name",
    "download.error.name": "TypeError: backup_name is no str",
    "download.error.not_file": "TypeError: ofile_obj is no file object",
    "download.error.not_writable": "TypeError: ofile_obj is not writable",
    "download.error.path": "TypeError: dest_path is neither str nor pathlib.Path",
    "download.error.neither": "TypeError: neither ofile_obj nor dest_path",
    "download.error.both": "TypeError: both ofile_obj and dest_path",
    "download.error.text": "TypeError: ofile_obj is opened in text mode",
    # Backup.upload
    "upload.in_path": "the data are read from the file at in_path",
    "upload.in_path_types": "in_path is a str or a pathlib.Path",
    "upload.ifile_obj": "the data are read from the file object ifile_obj, opened in binary mode",
    "upload.any_bytes": "text and binary files alike can be uploaded",
    "upload.name": "backup_name is the name that the backup gets",
    "upload.keyword_only": "ifile_obj and in_path are given by name",
    "upload.error.name": "TypeError: backup_name is no str",
    "upload.error.path": "TypeError: in_path is neither str nor pathlib.Path",
    "upload.error.neither": "TypeError: neither ifile_obj nor in_path",
    "upload.error.both": "TypeError: both ifile_obj and in_path",
    "upload.error.not_file": "TypeError: ifile_obj is no file object",
    "upload.error.not_readable": "TypeError: ifile_obj is not readable",
    "upload.error.text": "TypeError: ifile_obj is opened in text mode",
    "upload.error.empty": "TypeError: the input file is empty",
    # Facts about the rest of the package
    "connect.async": "async_connect gives a Connection for asyncio",
    "connect.sync": "sync_connect gives it with ordinary blocking methods",
    "connect.refused": "ConnectionRefusedError (or TimeoutError) where nothing answers",
    "connect.authorization": "PLDBIOError where the login is refused",
    "connection.facts": "machineid and distversion tell which system it is",
    "connection.closed": "both raise ValueError when not connected",
    "connection.context": "as a context manager it closes on exit",
    "privilege.none": "a user without privilege can run no command",
    "privilege.read": "a read user can run the commands that only read",
    "privilege.write": "a write user can run all commands",
    "stale.every_command": "a command on a resource that another session has committed to: PLDBNewDataCommitted",
    "stale.for_good": "retrying on the same object never helps; a new resource does",
    "overview.list": "SystemOverview.list(GraphSystem) lists every known system",
    "exceptions.names": "the exceptions stand in activelogic.exception under the vendor's names",
}

HEAD = """\
<!--
Copyright (c) Contributors to the netops.activelogic collection
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# The contract, and the tests that show it

What the vendor's public documentation says of the Backup resource and of connecting, in our words, and the tests in
`tests/contract` that show it. Made by `python tests/contract/sentences.py > docs/contract.md`; a test compares.

| sentence | tests |
|---|---|
"""


def tests_by_sentence() -> dict[str, list[str]]:
    """The tests that cover each sentence, as ``file::function``, read from their markers."""
    found: dict[str, list[str]] = {each: [] for each in SENTENCES}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(function, ast.FunctionDef):
                continue
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.sentence":
                    for argument in decorator.args:
                        found[ast.literal_eval(argument)].append(f"{path.name}::{function.name}")
    return found


def table() -> str:
    """The page docs/contract.md."""
    rows = [
        f"| {SENTENCES[each]} (`{each}`) | {'<br>'.join(f'`{test}`' for test in tests)} |\n"
        for each, tests in tests_by_sentence().items()
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(table(), end="")
