# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups with all kinds of names and sizes pass through all module functions, each on its own system.

``FAULTS=full`` adds more of both, among them a size of 2 GiB.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import BACKUP, TRANSFER, Run, Runner, succeeded
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, GATEWAY
from tests.harness.module_runs import ModuleRunner
from tests.harness.observer import configuration_of
from tests.harness.systems import change_configuration

FULL = os.environ.get("FAULTS") == "full"
KIB, MIB, GIB = 1024, 1024 * 1024, 1024 * 1024 * 1024

NAMES = [
    '-o, "it\'s" 100%41 #1 a&b=c?d;e:~ $HOME `id` \u00e4\U0001f4be ' + unicodedata.normalize("NFD", "\u00e9") + ".plb",
    "\u00e4" * 127 + "z",
]
MORE_NAMES = [
    "with some spaces.plb",
    " spaces around ",
    "caf\u00e9.plb",
    unicodedata.normalize("NFD", "caf\u00e9.plb"),
    "\u65e5\u672c\u8a9e \u0440\u0443\u0441 \u05e9\u05dc\u05d5\u05dd.plb",
    "\U0001f4be\U0001f468\u200d\U0001f469\u200d\U0001f467.plb",
    "-rf",
    "-",
    "--help",
    "a,b,c.plb",
    "'single' \"double\".plb",
    "100%.plb",
    "%2e%2e%2fx.plb",
    "a#b.plb",
    "a?b=c.plb",
    "a;b.plb",
    "~",
    "~root",
    ".hidden",
    "...",
    "backup.json",
    "backup.sha256",
    "backup.part",
    "backup.plb.json",
    "*.plb",
    "[0-9].plb",
    "$HOME `id` $(id).plb",
    "a+b c&d.plb",
    "123",
    "true",
    "n" * 248,
    "n" * 249,
    "n" * 254 + "a",
    "\U0001f4be" * 63 + "abc",
]
SIZES = [1, 10_000_000]
MORE_SIZES = [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 2 * GIB]

pytestmark = pytest.mark.xdist_group("names_and_sizes")  # these tests share systems, so one worker runs them all


@pytest.fixture(scope="module", params=[GATEWAY, DIRECT])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleRunner]:
    """Modules with one system per name, reached in one way."""
    count = len(NAMES + MORE_NAMES) if FULL else len(NAMES)
    with Lab(tmp_path_factory.mktemp("names"), [f"edge{number}" for number in range(count)]) as lab:
        yield ModuleRunner(lab, request.param, tmp_path_factory.mktemp("runner"))


BACKUP_MODULE, INFO_MODULE, TRANSFER_MODULE = "backup", "backup_info", "backup_transfer"


def run(many: ModuleRunner, results: Run, task: str, number: int, module: str, **options: Any) -> None:
    """Run a module on the system with this number, and add its result to ``results`` under the task's name."""
    done = succeeded(many.run(f"activelogic_{module}", host=f"edge{number}", **options))
    results.results.extend({**line, "task": task} for line in done.results)


def require(results: Run, cases: Sequence[Any], **changed: bool) -> None:
    """Require that each task ran for each case with this value of ``changed``."""
    for number, case in enumerate(cases):
        found = {name: results.result(f"edge{number}", name)["changed"] for name in changed}
        assert found == changed, (case, found)


def backups(many: ModuleRunner, number: int) -> Path:
    return Path(many.lab.root) / f"edge{number}" / "backups"


def digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def require_fetched(results: Run, host: str, original: Path) -> None:
    """Require that the fetched file and its side files exist and match the system's backup."""
    result = results.result(host, "fetched")
    path = Path(result["file"]["path"])
    assert digest(path) == digest(original) == result["backup"]["sha256"]
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (original.stat().st_size, 0o600)
    sums = Path(result["file"]["sha256_file"])
    subprocess.run(["sha256sum", "-c", "--strict", f"./{sums.name}"], cwd=sums.parent, check=True, capture_output=True)
    beside = {path.name, sums.name, Path(result["file"]["manifest"]).name}
    assert {each.name for each in path.parent.iterdir()} == beside


def test_names(many: ModuleRunner, tmp_path: Path) -> None:
    names, results = NAMES + (MORE_NAMES if FULL else []), Run(0, "")
    for number, name in enumerate(names):
        run(many, results, "created", number, BACKUP_MODULE, name=name)
        saved = configuration_of(many.lab, f"edge{number}")
        change_configuration(many.lab, f"edge{number}", "Ruleset", "marker", "changed")
        folder = tmp_path / f"edge{number}"
        folder.mkdir()
        is_like_ours = re.search(r"[.](json|sha256|part)$", name)
        dest = f"{folder}/{'copy' if is_like_ours else ''}"
        fetch = {"direction": "fetch", "name": name, "dest": dest, "validate": "test -s %s"}
        run(many, results, "restored", number, BACKUP_MODULE, name=name, state="restored", settle_after_restore=0.1)
        run(many, results, "created again", number, BACKUP_MODULE, name=name)
        run(many, results, "fetched", number, TRANSFER_MODULE, **fetch)
        run(many, results, "fetched again", number, TRANSFER_MODULE, **fetch)
        run(many, results, "listed", number, INFO_MODULE, name=name)
        assert configuration_of(many.lab, f"edge{number}") == saved
        assert results.result(f"edge{number}", "restored")["verified"] is True
        assert [each["name"] for each in results.result(f"edge{number}", "listed")["backups"]] == [name]
        require_fetched(results, f"edge{number}", backups(many, number) / name)
        # A path option is expanded if it looks like it contains a variable, so push a hard link with a plain name.
        os.link(results.result(f"edge{number}", "fetched")["file"]["path"], folder / "pushed")
        content = digest(backups(many, number) / name)
        remove = {"state": "absent", "name": name}
        push = {"direction": "push", "src": f"{folder}/pushed", "name": name}
        run(many, results, "removed", number, BACKUP_MODULE, **remove)
        run(many, results, "removed again", number, BACKUP_MODULE, **remove)
        run(many, results, "pushed", number, TRANSFER_MODULE, **push)
        run(many, results, "pushed again", number, TRANSFER_MODULE, **push)
        assert digest(backups(many, number) / name) == content
    reported = {"created": True, "restored": True, "created again": False, "fetched": True, "fetched again": False}
    require(results, names, **{**reported, "listed": False})
    require(results, names, **{"removed": True, "removed again": False, "pushed": True, "pushed again": False})


@pytest.mark.parametrize("many", [GATEWAY, DIRECT] if FULL else [GATEWAY], indirect=True)
def test_names_in_a_playbook(many: ModuleRunner, tmp_path: Path) -> None:
    """Neither Ansible's templating nor its command line changes a name."""
    names = NAMES + (MORE_NAMES if FULL else [])
    ansible = Runner(many.lab, many.way, tmp_path)
    for host in ansible.hosts[: len(names)]:
        (tmp_path / host).mkdir()
    fetch = {"direction": "fetch", "name": "{{ case }}", "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}/copy"}
    results = succeeded(
        ansible.play(
            {"name": "created", BACKUP: {"name": "{{ case }}"}},
            {"name": "fetched", TRANSFER: fetch},
            {"name": "removed", BACKUP: {"name": "{{ case }}", "state": "absent"}},
            hosts=",".join(ansible.hosts[: len(names)]),
            vars={"cases": names, "case": "{{ cases[inventory_hostname | replace('edge', '') | int] }}"},
        )
    )
    for number, name in enumerate(names):
        assert results.result(f"edge{number}", "created")["backup"]["name"] == name
        assert results.result(f"edge{number}", "fetched")["backup"]["name"] == name
        assert (tmp_path / f"edge{number}" / "copy").is_file()
        assert results.result(f"edge{number}", "removed")["changed"] is True
        assert not (backups(many, number) / name).exists()


@pytest.mark.skipif(not FULL, reason="only in the full form")
def test_names_that_differ_in_their_form_alone_are_two(many: ModuleRunner, tmp_path: Path) -> None:
    names = ["caf\u00e9 2.plb", unicodedata.normalize("NFD", "caf\u00e9 2.plb")]
    for name in names:
        (backups(many, 0) / name).write_bytes(name.encode())
        run(many, Run(0, ""), name, 0, TRANSFER_MODULE, direction="fetch", name=name, dest=f"{tmp_path}/two/")
    assert [(tmp_path / "two" / name).read_bytes() for name in names] == [name.encode() for name in names]
    assert len(list((tmp_path / "two").iterdir())) == 6


def fill(path: Path, size: int) -> None:
    """Write bytes that differ in each MiB."""
    with path.open("wb") as target:
        while size:
            piece = random.Random(size).randbytes(min(size, MIB))  # noqa: S311 - not for security
            target.write(piece)
            size -= len(piece)


def test_sizes(many: ModuleRunner, tmp_path: Path) -> None:
    sizes, results = SIZES + (MORE_SIZES if FULL else []), Run(0, "")
    for number, size in enumerate(sizes):
        original, host = backups(many, number) / "sized.plb", f"edge{number}"
        fill(original, size)
        fetch = {"direction": "fetch", "name": "sized.plb", "dest": f"{tmp_path}/{host}/"}
        push = {"direction": "push", "src": f"{tmp_path}/{host}/sized.plb", "name": "pushed.plb"}
        run(many, results, "fetched", number, TRANSFER_MODULE, **fetch)
        run(many, results, "fetched again", number, TRANSFER_MODULE, **fetch)
        run(many, results, "pushed", number, TRANSFER_MODULE, **push)
        run(many, results, "pushed again", number, TRANSFER_MODULE, **push)
        assert original.stat().st_size == results.result(host, "fetched")["bytes_transferred"] == size
        require_fetched(results, host, original)
        assert digest(backups(many, number) / "pushed.plb") == digest(original)
        run(many, results, "listed", number, INFO_MODULE, name="pushed.plb")
        run(many, results, "removed", number, BACKUP_MODULE, state="absent", names=["pushed.plb", "sized.plb"])
    require(results, sizes, **{"fetched": True, "fetched again": False, "pushed": True, "pushed again": False})
    require(results, sizes, listed=False, removed=True)
    assert [results.result(f"edge{number}", "listed")["total_size"] for number in range(len(sizes))] == sizes
