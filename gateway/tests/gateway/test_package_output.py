# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of the vendor's package goes to the log, bounded and without passwords, never into the audit log."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable

from activelogic_gateway.redaction import excerpt, redact
from tests.harness.lab import Lab, add_user
from tests.harness.sdks.password_forms import forms

PASSWORDS = (
    "Xq7-correct-horse-9zT4",
    "two  spaces   7316",
    "pässwörd/7316+&%",
    "quö\"te\\7316-'<x>",
    "пароль-7316",
    "\U0001f600-emoji-7316",
    "short",
)


def parts(password: str) -> set[str]:
    """Encodings of a password that must not occur in a text."""
    data = password.encode()
    return {password, " ".join(password.split()), data.hex(), data.hex().upper(), data.hex(":")}


def test_password_is_in_no_form_in_the_log(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    for number, password in enumerate(PASSWORDS):
        add_user(lab, "edge1", f"müller{number}", password)
    lab.trouble(connect="tell_forms")
    lab.start()
    for number, password in enumerate(PASSWORDS):
        assert lab.get("/v1/systems/edge1", user=f"müller{number}", password=password).status_code == 200
    lab.stop()
    log = lab.errors()
    for number, password in enumerate(PASSWORDS):
        for form in forms(f"müller{number}", password):
            word, said = form.split(maxsplit=1)
            assert log.count(f": edge1: {word} ") == len(PASSWORDS)  # control: every form was printed
            assert said not in log, word
        for part in parts(password):
            assert part not in log


def test_password_of_one_letter_does_not_garble_the_log() -> None:
    text = 'a banana at a table, password=\'a\', password=a, {"password": "a"}, user: ab'
    assert redact(text, ["a"]) == (
        'a banana at a table, password=\'********\', password=********, {"password": "********"}, user: ab'
    )
    assert redact("xx x = 1", ["x"]) == "xx x = 1"


def test_no_piece_of_a_password_is_left_where_a_text_is_cut() -> None:
    chance = random.Random(7316)
    for _ in range(300):
        secret = "".join(chance.choices(string.ascii_letters + string.digits + " ä/'\\", k=chance.randint(8, 40)))
        text = "y" * chance.randint(0, 60) + secret + "z" * chance.randint(0, 60) + repr(secret) + json.dumps(secret)
        most = chance.randint(1, len(text))
        said = excerpt(text, [secret], most)
        assert len(said) <= most
        assert not any(secret[start : start + 6] in said for start in range(len(secret) - 5)), (secret, text, most)
    assert set(excerpt(f"{'ab' * 100}-" * 40, ["ab" * 100 + "-"], 300)) <= {"*"}  # redaction makes it much shorter


def test_only_audit_lines_are_on_standard_output(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.settings["audit_log"] = "-"
    lab.output = "stdout"
    lab.trouble(**{"list@edge1": "print_natively", "connect@edge2": "print", "connect@nowhere": "print_lines"})
    lab.settings["limits"] = {"read_seconds": 2}
    lab.start()
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    assert lab.get("/v1/systems/edge2/backups").status_code == 504
    assert lab.get("/v1/systems/down/backups").status_code == 502
    lab.stop()
    lines = (lab.folder / "stdout").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["request"] * 3
    log = lab.errors()
    for said in ("written to descriptor 1", "written to descriptor 2", "written by C"):
        assert f": edge1: {said}\n" in log
    assert log.count(": nowhere: y\n") == 100  # of 5000 printed
    assert len(log) < 200_000  # the package printed far more
    assert "of its output were dropped" in log


def test_line_of_a_package_forges_no_other(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.trouble(list="print_escapes")
    lab.start()
    assert lab.get("/v1/systems/edge1/backups").status_code == 200
    lab.stop()
    assert ": edge1: \\x1b[31mred\\u202e\\rERROR forged\n" in lab.errors()
