# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and lists formatted for humans."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _sentences


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (5, "5 bytes"),
        (10239, "10239 bytes"),
        (10240, "10.0 KB"),
        (10394934, "9.9 MB"),
        (1024**2 - 1, "1.0 MB"),
        (300 * 1024**2, "300 MB"),
        (1024**3 - 1, "1.0 GB"),
        (8 * 1024**3, "8.0 GB"),
        (2000 * 1024**6, "2000 EB"),
    ],
)
def test_a_size(count: int, text: str) -> None:
    assert _sentences.size(count) == text


@pytest.mark.parametrize(
    ("one", "two", "texts"),
    [
        (5, 100, ("5 bytes", "100 bytes")),
        (10394934, 20 * 1024**2, ("9.9 MB", "20.0 MB")),
        (10394934, 10394935, ("10394934 bytes", "10394935 bytes")),
    ],
)
def test_sizes_that_differ_never_look_alike(one: int, two: int, texts: tuple[str, str]) -> None:
    assert _sentences.sizes(one, two) == texts


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=900), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=5, seconds=1), "5 min 1 s"),
        (timedelta(hours=20), "20 h"),
        (timedelta(hours=20, seconds=7), "20 h"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
        (timedelta(days=3, seconds=5), "3 d"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_a_duration(duration: timedelta, text: str) -> None:
    assert _sentences.duration(duration) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "none"), (1, "0"), (3, "0, 1, 2"), (10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9")],
)
def test_few_names_are_all_listed(count: int, text: str) -> None:
    assert _sentences.names(str(number) for number in reversed(range(count))) == text


def test_many_names_are_counted() -> None:
    assert _sentences.names(f"{number:04}.plb" for number in range(8000)).endswith("0009.plb and 7990 more")
