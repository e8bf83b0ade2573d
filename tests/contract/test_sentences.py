# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every sentence of the contract has a test."""

from __future__ import annotations

from pathlib import Path

from tests.contract import sentences


def test_every_sentence_has_a_test() -> None:
    assert [each for each, tests in sentences.tests_by_sentence().items() if not tests] == []


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "contract.md"
    assert page.read_text(encoding="utf-8") == sentences.table()
