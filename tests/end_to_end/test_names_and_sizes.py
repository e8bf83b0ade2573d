# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups with all kinds of names and sizes go through everything that the modules do, each on a system of its own.

With ``FAULTS=full`` there are more of both, among them one of 2 GiB.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ansible_runs import BACKUP, INFO, TRANSFER, Run, Runner, succeeded
from tests.harness.lab import Lab
from tests.harness.login import DIRECT, GATEWAY
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

AT_ONCE = 4
"""Systems that are worked on at once."""


@pytest.fixture(scope="module", params=[GATEWAY, DIRECT])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Ansible with a system for each name, reached in one way."""
    count = len(NAMES + MORE_NAMES) if FULL else len(NAMES)
    with Lab(tmp_path_factory.mktemp("names"), [f"edge{number}" for number in range(count)]) as lab:
        yield Runner(lab, request.param, tmp_path_factory.mktemp("runner"))


def task(register: str, module: str, **options: Any) -> dict[str, Any]:
    return {"name": register, module: options}


def run_each(many: Runner, cases: Sequence[Any], variables: dict[str, Any], *tasks: dict[str, Any]) -> Run:
    """Run these tasks for each case, on the system of the same number; ``case`` is the case in a template."""
    hosts = ",".join(many.hosts[: len(cases)])
    shared = {"cases": list(cases), "case": "{{ cases[inventory_hostname | replace('edge', '') | int] }}", **variables}
    arguments = ["--forks", str(AT_ONCE)]
    return succeeded(many.play(*tasks, hosts=hosts, arguments=arguments, vars=shared, strategy="free"))


def require(run: Run, cases: Sequence[Any], **changed: bool) -> None:
    """Each task has run for each case, and reported this."""
    for number, case in enumerate(cases):
        found = {name: run.result(f"edge{number}", name)["changed"] for name in changed}
        assert found == changed, (case, found)


def backups(many: Runner, number: int) -> Path:
    return Path(many.lab.root) / f"edge{number}" / "backups"


def digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def require_fetched(run: Run, host: str, original: Path) -> None:
    """The file, and what accompanies it, are there and say the same as the system's backup."""
    result = run.result(host, "fetched")
    path = Path(result["file"]["path"])
    assert digest(path) == digest(original) == result["backup"]["sha256"]
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (original.stat().st_size, 0o600)
    sums = Path(result["file"]["sha256_file"])
    subprocess.run(["sha256sum", "-c", "--strict", f"./{sums.name}"], cwd=sums.parent, check=True, capture_output=True)
    beside = {path.name, sums.name, Path(result["file"]["manifest"]).name}
    assert {each.name for each in path.parent.iterdir()} == beside


def test_names(many: Runner, tmp_path: Path) -> None:
    names = NAMES + (MORE_NAMES if FULL else [])
    for number in range(len(names)):
        (tmp_path / f"edge{number}").mkdir()
    variables = {
        "folder": f"{tmp_path}/{{{{ inventory_hostname }}}}/",
        "file": "{{ folder ~ ('copy' if case is regex('[.](json|sha256|part)$') else '') }}",
    }
    require(run_each(many, names, variables, task("created", BACKUP, name="{{ case }}")), names, created=True)
    saved = [configuration_of(many.lab, f"edge{number}") for number in range(len(names))]
    for number in range(len(names)):
        change_configuration(many.lab, f"edge{number}", "Ruleset", "marker", "changed")
    restore = {"state": "restored", "name": "{{ case }}", "settle_after_restore": 0.1}
    fetch = {"direction": "fetch", "name": "{{ case }}", "dest": "{{ file }}", "validate": "test -s %s"}
    run = run_each(
        many,
        names,
        variables,
        task("restored", BACKUP, **restore),
        task("created again", BACKUP, name="{{ case }}"),
        task("fetched", TRANSFER, **fetch),
        task("fetched again", TRANSFER, **fetch),
        task("listed", INFO, name="{{ case }}"),
    )
    reported = {"created again": False, "fetched": True, "fetched again": False}
    require(run, names, **{"restored": True, "listed": False, **reported})
    for number, name in enumerate(names):
        assert configuration_of(many.lab, f"edge{number}") == saved[number]
        assert run.result(f"edge{number}", "restored")["verified"] is True
        assert [each["name"] for each in run.result(f"edge{number}", "listed")["backups"]] == [name]
        require_fetched(run, f"edge{number}", backups(many, number) / name)
        # Ansible expands what looks like a variable in a path that a task names.
        os.link(run.result(f"edge{number}", "fetched")["file"]["path"], tmp_path / f"edge{number}" / "pushed")
    remove = {"state": "absent", "name": "{{ case }}"}
    push = {"direction": "push", "src": "{{ folder }}pushed", "name": "{{ case }}"}
    contents = [digest(backups(many, number) / name) for number, name in enumerate(names)]
    run = run_each(
        many,
        names,
        variables,
        task("removed", BACKUP, **remove),
        task("removed again", BACKUP, **remove),
        task("pushed", TRANSFER, **push),
        task("pushed again", TRANSFER, **push),
    )
    require(run, names, **{"removed": True, "removed again": False, "pushed": True, "pushed again": False})
    assert [digest(backups(many, number) / name) for number, name in enumerate(names)] == contents


@pytest.mark.skipif(not FULL, reason="only in the full form")
def test_names_that_differ_in_their_form_alone_are_two(many: Runner, tmp_path: Path) -> None:
    names = ["caf\u00e9 2.plb", unicodedata.normalize("NFD", "caf\u00e9 2.plb")]
    for name in names:
        (backups(many, 0) / name).write_bytes(name.encode())
    fetches = [task("fetched", TRANSFER, direction="fetch", name=name, dest=f"{tmp_path}/two/") for name in names]
    succeeded(many.play(*fetches, hosts="edge0"))
    assert [(tmp_path / "two" / name).read_bytes() for name in names] == [name.encode() for name in names]
    assert len(list((tmp_path / "two").iterdir())) == 6


def fill(path: Path, size: int) -> None:
    """Write bytes that differ in each MiB."""
    with path.open("wb") as target:
        while size:
            piece = random.Random(size).randbytes(min(size, MIB))  # noqa: S311 - no secret
            target.write(piece)
            size -= len(piece)


def test_sizes(many: Runner, tmp_path: Path) -> None:
    sizes = SIZES + (MORE_SIZES if FULL else [])
    for number, size in enumerate(sizes):
        fill(backups(many, number) / "sized.plb", size)
    fetch = {"direction": "fetch", "name": "sized.plb", "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}/"}
    push = {"direction": "push", "src": f"{tmp_path}/{{{{ inventory_hostname }}}}/sized.plb", "name": "pushed.plb"}
    run = run_each(
        many,
        sizes,
        {},
        task("fetched", TRANSFER, **fetch),
        task("fetched again", TRANSFER, **fetch),
        task("pushed", TRANSFER, **push),
        task("pushed again", TRANSFER, **push),
    )
    require(run, sizes, **{"fetched": True, "fetched again": False, "pushed": True, "pushed again": False})
    for number, size in enumerate(sizes):
        original, host = backups(many, number) / "sized.plb", f"edge{number}"
        assert original.stat().st_size == run.result(host, "fetched")["bytes_transferred"] == size
        require_fetched(run, host, original)
        assert digest(backups(many, number) / "pushed.plb") == digest(original)
    run = run_each(
        many,
        sizes,
        {},
        task("listed", INFO, name="pushed.plb"),
        task("removed", BACKUP, state="absent", names=["pushed.plb", "sized.plb"]),
    )
    require(run, sizes, listed=False, removed=True)
    assert [run.result(f"edge{number}", "listed")["total_size"] for number in range(len(sizes))] == sizes
