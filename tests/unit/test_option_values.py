# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How option values may be written, which of them are paths, and which are hidden."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.netops.activelogic.plugins.module_utils import _options
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError

TEXT = {"type": "str"}


def refusal(written: str, spec: dict[str, Any], option: str = "name") -> str:
    """The reason why a value is rejected, after YAML parsed it; empty if it is accepted."""
    try:
        _options.require_written_right(spec, yaml.safe_load(written), option, option)
    except OptionError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("x.plb", ""),
        ("'yes'", ""),
        ("'007'", ""),
        ("1e3", ""),  # a string in YAML
        ("yes", "truth value"),
        ("Off", "truth value"),
        ("007", "number"),
        ("0123", "number"),
        ("1.10", "number"),
        ("001122334455", "number"),
        ("1_000", "number"),
        ("12:30", "number"),
        ("2026-01-31", "date"),
        ("2026-01-31 10:00:00", "date"),
        ("[a, b]", "list"),
        ("{a: b}", "mapping"),
        ("[]", "list"),
    ],
)
@pytest.mark.parametrize("kind", ["str", "path"])
def test_text_is_what_yaml_reads_as_text(written: str, said: str, kind: str) -> None:
    found = refusal(written, {"type": kind})
    assert bool(found) == bool(said)
    assert said in found


@pytest.mark.parametrize("option", ["max_age", "newer_than", "older_than", "owner", "group"])
def test_number_that_is_a_number_may_be_one(option: str) -> None:
    assert refusal("3600", TEXT, option) == ""
    assert "truth value" in refusal("yes", TEXT, option)
    assert "list" in refusal("[3600]", TEXT, option)


@pytest.mark.parametrize(
    ("written", "spec", "good"),
    [
        ("[a, b]", {"type": "list", "elements": "str"}, True),
        ("[a, 007]", {"type": "list", "elements": "str"}, False),
        ("[a, no]", {"type": "list", "elements": "str"}, False),
        ("a.plb", {"type": "list", "elements": "str"}, True),
        ("3", {"type": "int"}, True),
        ("yes", {"type": "int"}, False),
        ("no", {"type": "float"}, False),
        ("0.5", {"type": "float"}, True),
        ("yes", {"type": "bool"}, True),
        ("644", {"type": "raw"}, True),
        ("yes", {}, False),
    ],
)
def test_other_types(written: str, spec: dict[str, Any], good: bool) -> None:
    assert (refusal(written, spec) == "") is good


def test_value_that_is_refused_is_not_shown() -> None:
    with pytest.raises(OptionError) as caught:
        _options.require_written_right(TEXT, 83125907, "the variable activelogic_password", "password")
    assert "83125907" not in caught.value.sentence("edge1")
    assert "in quotes" in caught.value.sentence("edge1")


def test_dates_of_python_are_no_text() -> None:
    with pytest.raises(OptionError):
        _options.require_written_right(TEXT, datetime.date(2026, 1, 31), "name", "name")


def test_unknown_options_are_named_with_what_was_meant() -> None:
    spec = {"name": {}, "gateway_url": {"aliases": ["url"]}, "force": {}}
    _options.require_known(spec, ["url", "name"], "m")
    with pytest.raises(
        OptionError, match=r"m has no option forze \(did you mean force\?\) and nam \(did you mean name\?\)$"
    ):
        _options.require_known(spec, ["nam", "forze", "url"], "m")
    with pytest.raises(OptionError, match=r"m has no option quux$"):
        _options.require_known(spec, ["quux"], "m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("edge1", "edge1"),
        ("edge@site", "edge@site"),
        ("edge#1?", "edge#1?"),
        ("admin:secret@edge", "********@edge"),
        ("a:b@c@edge", "********@edge"),
        ("https://admin:secret@gateway:8443", "https://********@gateway:8443"),
        ("https://token@gateway/x@y", "https://********@y"),
        ("https://gateway/?token=secret", "https://gateway/?********"),
        ("http://proxy/#secret", "http://proxy/#********"),
        ("https://gateway:8443", "https://gateway:8443"),
    ],
)
def test_login_in_a_url_is_hidden(text: str, shown: str) -> None:
    assert _options.hide_login(text) == shown


def test_password_of_a_login_is_masked_alone_too() -> None:
    found = _options.logins_in(["http://operator:s3:cret@proxy", None, 7, "edge1"])
    assert found == {"operator:s3:cret", "s3:cret"}


SPEC = {"dest": {"type": "path"}, "name": {"type": "str"}, "validate": {"type": "str"}}


@pytest.mark.parametrize("path", ["/srv/x", "/", "//srv", "/srv/../x", None])
def test_absolute_path_is_taken(path: str | None) -> None:
    _options.require_absolute_paths(SPEC, {"dest": path, "name": "relative/is/fine"})


@pytest.mark.parametrize("path", ["x", "./x", "../x", "", ".", "~nobody-of-this-name/x", "$NOT_SET/x", " /x"])
def test_other_path_is_refused_with_what_it_would_have_become(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as caught:
        _options.require_absolute_paths(SPEC, {"dest": path})
    assert caught.value.reason.startswith(f"dest {path!r} is not an absolute path")
    assert caught.value.reason.endswith(f" {os.path.normpath(tmp_path / path)}")


@pytest.mark.parametrize("command", ["gzip -t %s", "/usr/bin/gzip -t %s", "~/check %s", "$HOME/check %s", "", None])
def test_command_is_looked_up_or_absolute(command: str | None) -> None:
    _options.require_absolute_paths(SPEC, {"validate": command})


@pytest.mark.parametrize("command", ["./check %s", "bin/check %s", "'a b/c' %s", "$NOT_SET/check %s"])
def test_command_in_the_working_folder_is_refused(command: str) -> None:
    with pytest.raises(OptionError, match="the command in validate"):
        _options.require_absolute_paths(SPEC, {"validate": command})


def test_working_folder_that_is_gone_is_no_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(OptionError, match="a folder that is not there any more"):
        _options.require_absolute("x", "dest")
