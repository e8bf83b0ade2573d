# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutation tests: each named defect of the embedded system makes a contract test fail, in each of its ways."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract.mutants.defects import DEFECTS, VARIABLE, WAYS

CONTRACT = Path(__file__).parents[1]
RUN_SECONDS = 240
ENOUGH = 40
"""Minimum number of defects that are detected in all four ways."""


STEP = int(os.environ.get("MUTANTS_STEP", "1"))
"""Every STEP-th defect is tested."""

CHOSEN = list(DEFECTS)[::STEP]
TESTS = sorted({test for name in CHOSEN for test in DEFECTS[name].tests})
FILES = sorted({test.partition("::")[0] for test in TESTS})
MUTATED = "tests.contract.mutants.mutated_embedded"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "requests",
        "activelogic_embedded",
        "tests.contract.conftest",
        *(f"tests.contract.{file.removesuffix('.py')}" for file in FILES),
    ]
)


def environment(name: str) -> dict[str, str]:
    """The environment of a run with a defect."""
    return {**os.environ, VARIABLE: name, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(name: str, tests: list[str], folder: Path) -> dict[str, set[str]]:
    """Run contract tests against the system with a defect; returns the outcomes by way."""
    report, output = folder / "report.xml", folder / "output"
    words = ["-q", "-p", "no:cacheprovider", "--tb=line"]
    words += ["--assert=plain"]  # if the variable CI is set, showing a diff of two MiB takes minutes
    words += [f"--basetemp={folder / 'base'}", f"--junit-xml={report}"]
    words += [f"--standin={Path(__file__).with_name('mutated.py')}:Mutated"]
    words += [str(CONTRACT / each) for each in tests]
    process = _context.Process(target=run_pytest, args=(words, environment(name), str(output)))
    process.start()
    process.join(RUN_SECONDS)
    if process.exitcode is None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)  # lets it stop its gateway
        process.join(RUN_SECONDS)
        process.kill()
        raise AssertionError(f"not within {RUN_SECONDS} seconds: {output.read_text(encoding='utf-8')}")
    assert process.exitcode in (0, 1), output.read_text(encoding="utf-8")
    outcomes: dict[str, set[str]] = {way: set() for way in WAYS}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - made by the run above
        found = {child.tag for child in case if child.tag in ("failure", "error", "skipped")} or {"passed"}
        for way in WAYS:
            if f"[{way}" in str(case.get("name")):
                outcomes[way] |= found
    return outcomes


def run_pytest(words: list[str], environment: dict[str, str], output: str) -> None:
    """Run pytest in this process, which has imported the tests but not the system with a defect."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(CONTRACT.parents[1])
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert MUTATED not in sys.modules
    sys.exit(int(pytest.main(words)))


@pytest.mark.parametrize("file", FILES if STEP == 1 else [""])
def test_without_a_defect_the_same_tests_are_green(file: str, tmp_path: Path) -> None:
    outcomes = run("", [test for test in TESTS if test.startswith(file)], tmp_path)
    assert set().union(*outcomes.values()) == {"passed"}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_defect_turns_a_test_red_in_each_of_its_ways(name: str, tmp_path: Path) -> None:
    defect = DEFECTS[name]
    outcomes = run(name, list(defect.tests), tmp_path)
    assert {way for way in WAYS if "failure" in outcomes[way]} == set(defect.ways)
    assert not any("error" in each for each in outcomes.values())


def test_enough_defects_are_seen_in_all_four_ways() -> None:
    assert len([each for each in DEFECTS.values() if each.ways == WAYS]) >= ENOUGH
    assert all(each.ways == WAYS or each.reason for each in DEFECTS.values())


def test_no_two_defects_are_described_alike() -> None:
    assert len({each.sentence for each in DEFECTS.values()}) == len(DEFECTS)
