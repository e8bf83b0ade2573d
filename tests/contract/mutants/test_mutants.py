# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The suite bites: each named defect of the embedded system turns a test of the contract red, in each of its ways."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract.mutants.defects import DEFECTS, VARIABLE, WAYS

CONTRACT = Path(__file__).parents[1]
RUN_SECONDS = 240
ENOUGH = 40
"""At least so many defects that are seen in all four ways."""


def environment(name: str, compiled: Path) -> dict[str, str]:
    """That of a run with a defect: compiled files are kept, so that every run after the first starts quickly."""
    made = {**os.environ, VARIABLE: name, "PYTHONPYCACHEPREFIX": str(compiled), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    return made


def run(name: str, tests: list[str], folder: Path, compiled: Path) -> dict[str, set[str]]:
    """Run tests of the contract against the system with a defect; gives the outcomes in each way."""
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += ["--assert=plain"]  # to show how two MiB differ takes minutes where the variable CI is set
    words += [f"--basetemp={folder / 'base'}", f"--junit-xml={report}"]
    words += [f"--standin={Path(__file__).with_name('mutated.py')}:Mutated"]
    with subprocess.Popen(
        [*words, *(str(CONTRACT / each) for each in tests)],
        cwd=CONTRACT.parents[1],
        env=environment(name, compiled),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said = process.communicate(timeout=RUN_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that it stops its gateway
            raise
    assert process.returncode in (0, 1), said
    outcomes: dict[str, set[str]] = {way: set() for way in WAYS}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - made by the run above
        found = {child.tag for child in case if child.tag in ("failure", "error", "skipped")} or {"passed"}
        for way in WAYS:
            if f"[{way}" in str(case.get("name")):
                outcomes[way] |= found
    return outcomes


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs keep compiled files."""
    return tmp_path_factory.mktemp("compiled")


STEP = int(os.environ.get("MUTANTS_STEP", "1"))
"""Every STEP-th defect is switched on."""

TESTS = sorted({test for defect in DEFECTS.values() for test in defect.tests})


@pytest.mark.parametrize("file", sorted({test.partition("::")[0] for test in TESTS}))
def test_without_a_defect_the_same_tests_are_green(file: str, tmp_path: Path, compiled: Path) -> None:
    outcomes = run("", [test for test in TESTS if test.startswith(f"{file}::")], tmp_path, compiled)
    assert set().union(*outcomes.values()) == {"passed"}


@pytest.mark.parametrize("name", list(DEFECTS)[::STEP])
def test_a_defect_turns_a_test_red_in_each_of_its_ways(name: str, tmp_path: Path, compiled: Path) -> None:
    defect = DEFECTS[name]
    outcomes = run(name, list(defect.tests), tmp_path, compiled)
    assert {way for way in WAYS if "failure" in outcomes[way]} == set(defect.ways)
    assert not any("error" in each for each in outcomes.values())


def test_enough_defects_are_seen_in_all_four_ways() -> None:
    assert len([each for each in DEFECTS.values() if each.ways == WAYS]) >= ENOUGH
    assert all(each.ways == WAYS or each.reason for each in DEFECTS.values())


def test_no_two_defects_are_described_alike() -> None:
    assert len({each.sentence for each in DEFECTS.values()}) == len(DEFECTS)
