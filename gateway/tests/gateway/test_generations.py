# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other package generations, and systems that lock or publish changes late: other sessions see every success."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import activelogic_embedded
from activelogic_embedded import admin
from tests.harness.lab import PASSWORD, TROUBLED, Answer, Lab

SDKS = (TROUBLED, "activelogic_embedded.generation1", "tests.harness.sdks.closing")

QUIRKS: dict[str, dict[str, object]] = {
    "plain": {},
    "locks": {"lock": "until_commit"},
    "late": {"visible": "after_commit"},
    "late_with_commit": {"visible": "after_commit", "offers_commit": True},
    "cached": {"cached_listings": True},
    "cached_and_late": {"cached_listings": True, "visible": "after_commit"},
}


def quirks(lab: Lab, system: str, **given: object) -> None:
    admin.set_quirks(lab.folder / "systems", system, **given)


@pytest.fixture(scope="module", params=SDKS)
def any_generation(request: pytest.FixtureRequest, make_module_lab: Callable[..., Lab]) -> Lab:
    lab = make_module_lab(systems=tuple(QUIRKS))
    lab.settings["sdk"] = request.param
    for system, given in QUIRKS.items():
        quirks(lab, system, **given)
    lab.start()
    return lab


def listed(lab: Lab, system: str) -> dict[str, int]:
    """What a separate session lists."""
    return {each["name"]: each["size"] for each in lab.get(f"/v1/systems/{system}/backups").json()}


@pytest.mark.parametrize("system", QUIRKS)
def test_every_command_works_and_others_see_it_when_it_has_succeeded(any_generation: Lab, system: str) -> None:
    lab = any_generation
    content = lab.create("made.plb", system)
    assert listed(lab, system) == {"made.plb": len(content)}
    assert lab.run({"action": "restore", "name": "made.plb"}, system=system).document["state"] == "succeeded"
    assert admin.restore_count(lab.folder / "systems", system) == 1
    answer = lab.run({"action": "download", "name": "made.plb"}, system=system)
    assert lab.get(answer.path + "/content").content == content
    assert lab.upload("sent.plb", b"content", system=system).document["state"] == "succeeded"
    assert listed(lab, system) == {"made.plb": len(content), "sent.plb": 7}
    assert lab.upload("sent.plb", b"other content", replace=True, system=system).document["state"] == "succeeded"
    assert (lab.backups(system) / "sent.plb").read_bytes() == b"other content"
    assert lab.run({"action": "remove", "name": "made.plb"}, system=system).document["state"] == "succeeded"
    assert listed(lab, system) == {"sent.plb": 13}
    assert list((lab.folder / "systems" / system / "tmp").iterdir()) == []
    lab.assert_no_session_is_left()


def test_locked_resource_is_told_as_such_and_nothing_was_done(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab()
    quirks(lab, "edge1", lock="until_commit")
    lab.start()
    monkeypatch.setenv("ACTIVELOGIC_EMBEDDED_ROOT", str(lab.folder / "systems"))

    async def while_locked() -> Answer:
        async with await activelogic_embedded.async_connect("edge1", "admin", PASSWORD) as connection:
            await (await connection.backup()).create_new("of-another.plb")
            return await asyncio.to_thread(lab.run, {"action": "create_new", "name": "new.plb"})

    answer = asyncio.run(while_locked())
    assert (answer.document["state"], answer.kind) == ("failed", "refused")
    assert answer.document["problem"]["detail"].endswith("; another session may hold the lock")
    assert set(listed(lab, "edge1")) == {"of-another.plb"}
    lab.create("new.plb")


@pytest.mark.parametrize("trouble", ["exit", "deaf", "raise:PLDBIOError", "bug"])
def test_change_that_may_be_undone_by_a_bad_end_is_unknown(make_lab: Callable[..., Lab], trouble: str) -> None:
    lab = make_lab(limits={"read_seconds": 4})
    quirks(lab, "edge1", visible="after_commit")
    quirks(lab, "edge2", visible="after_commit", offers_commit=True)
    lab.trouble(close=trouble)
    lab.start()
    assert lab.get("/v1/systems/edge1/backups").status_code == 200  # a read changes nothing that could be lost
    answer = lab.run({"action": "create_new", "name": "new.plb"})
    assert answer.document["state"] == "unknown"
    assert "could not end the session" in answer.document["problem"]["detail"]
    answer = lab.run({"action": "create_new", "name": "new.plb"}, system="edge2")
    assert answer.document["state"] == "succeeded"
    assert (lab.backups("edge2") / "new.plb").exists()
    lab.trouble()
    assert lab.run({"action": "create_new", "name": "next.plb"}).document["state"] == "succeeded"


def test_change_that_shows_late_has_the_time_that_its_session_needs_to_end(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    quirks(lab, "edge1", visible="after_commit")
    lab.trouble(close="slow:2.5")
    lab.start()
    lab.create("new.plb")


@pytest.mark.parametrize("does", ["refuse", "lose"])
def test_commit_that_fails_is_unknown(make_lab: Callable[..., Lab], does: str) -> None:
    lab = make_lab()
    fault = {"command": "commit", "does": does}
    quirks(lab, "edge1", visible="after_commit", offers_commit=True, faults=[fault])
    lab.start()
    answer = lab.run({"action": "create_new", "name": "new.plb"})
    assert answer.document["state"] == "unknown"


def test_upload_that_its_own_session_does_not_list_is_looked_for_in_another(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.trouble(list="first")
    lab.start()
    assert lab.upload("new.plb", b"content").document["state"] == "succeeded"
    assert lab.calls().count("connect") == LOGINS_OF_AN_UPLOAD + 1


LOGINS_OF_AN_UPLOAD = 3
"""One before reading the request's body, one to check that the name is free, one to run it; the rest are cached."""


@pytest.mark.parametrize("replace", [False, True])
def test_a_plain_upload_costs_few_logins(make_lab: Callable[..., Lab], replace: bool) -> None:
    lab = make_lab()
    lab.start()
    assert lab.upload("new.plb", b"content", replace).document["state"] == "succeeded"
    assert lab.calls().count("connect") == LOGINS_OF_AN_UPLOAD - replace
