# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which modes are accepted, and which are rejected as ambiguous."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._files import _attributes

AS_WRITTEN = ["0600", "0640", "0644", "0660", "0664", "0666", "0400", "0440", "0444", "0700", "0750", "0755", "0770"]


@pytest.mark.parametrize("written", AS_WRITTEN)
def test_an_octal_literal_means_what_is_written(written: str) -> None:
    number = yaml.safe_load(f"mode: {written}")["mode"]
    assert isinstance(number, int)
    assert _attributes.mode_from(number) == int(written, 8)


@pytest.mark.parametrize("written", [*AS_WRITTEN, "0200", "0000", "01777", "2750"])
def test_what_is_written_in_quotes_is_octal(written: str) -> None:
    for text in (written, f"0o{written}", f" {written} "):
        assert _attributes.mode_from(text) == int(written, 8)
    plain = yaml.safe_load(f"mode: 0o{written.lstrip('0') or '0'}")["mode"]
    assert plain == f"0o{written.lstrip('0') or '0'}"  # a string in YAML 1.1
    assert _attributes.mode_from(plain) == int(written, 8)


@pytest.mark.parametrize("written", [each.lstrip("0") for each in AS_WRITTEN] + ["777", "7"])
def test_octal_digits_without_zero_and_quotes_are_refused(written: str) -> None:
    number = yaml.safe_load(f"mode: {written}")["mode"]
    with pytest.raises(OptionError) as caught:
        _attributes.mode_from(number)
    assert "quotes" in caught.value.hint


@pytest.mark.parametrize("mode", [500, 511, 400])
def test_a_number_that_makes_sense_both_ways_is_refused(mode: int) -> None:
    with pytest.raises(OptionError, match="not clear whether it is octal"):
        _attributes.mode_from(mode)


@pytest.mark.parametrize(
    "mode", [True, None, 6.4, ["0600"], 0, -1, 10**9, "", "rw", "0888", "preserve", "u=rwq", "10000"]
)
def test_what_is_no_mode_is_refused(mode: Any) -> None:
    with pytest.raises(OptionError):
        _attributes.mode_from(mode)


@pytest.mark.parametrize("written", ["0644", "0640", "0664", "0555"])
def test_a_decimal_number_that_a_template_made_a_text_of_is_refused(written: str) -> None:
    text = str(yaml.safe_load(f"mode: {written}")["mode"])
    assert set(text) <= set("01234567")
    with pytest.raises(OptionError, match="turned into a decimal"):
        _attributes.mode_from(text)


@pytest.mark.parametrize("mode", ["u=rw,g=r,o=", "g+r", "a-x", "+X", "u=rw,g=u", "o-rwx,g-w"])
def test_symbolic_modes_are_taken(mode: str) -> None:
    assert _attributes.mode_from(mode) == mode


@pytest.mark.parametrize(
    ("mode", "of_folder"),
    [(0o600, 0o700), (0o400, 0o700), (0o640, 0o750), (0o644, 0o755), (0o660, 0o750), (0o604, 0o705)],
)
def test_a_folder_lets_in_who_may_read_the_files(mode: int, of_folder: int) -> None:
    assert _attributes.folder_mode(mode) == of_folder


@pytest.mark.parametrize(
    ("option", "expected"),
    [("+i", ("+", {"i"})), ("-ai", ("-", {"a", "i"})), ("=i", ("=", {"i"})), ("i", ("=", {"i"}))],
)
def test_flags_are_those_of_chattr(option: str, expected: tuple[str, set[str]]) -> None:
    assert _attributes._flags_from(option) == expected


@pytest.mark.parametrize("option", ["+", "=", "-R", "+i /etc/passwd", "i+", "!"])
def test_what_chattr_does_not_know_never_reaches_it(option: str) -> None:
    with pytest.raises(OptionError):
        _attributes._flags_from(option)


@pytest.mark.parametrize("name", ["no-such-user", "", "-1", str(2**32 - 1), str(2**40), "a\0b", -1])
@pytest.mark.parametrize("option", ["owner", "group"])
def test_owners_that_are_not_there_are_refused(option: str, name: Any) -> None:
    with pytest.raises(OptionError, match=option):
        _attributes._id_of(option, name)


@pytest.mark.parametrize("name", ["root", "0", 0])
def test_owners_are_known_by_name_and_number(name: Any) -> None:
    assert (_attributes._id_of("owner", name), _attributes._id_of("group", name)) == (0, 0)
