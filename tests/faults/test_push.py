# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A push with faults between client and gateway leaves either the complete backup or none."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

import pytest
import requests

from tests.faults.proxy import ANY, COMMIT, ELSEWHERE, LISTING, OPERATION, POLL, UPLOAD, Fault
from tests.faults.scene import NAME, PATIENCE, PUSHED, SLACK, WANTED, Naive, Scene, digest

FAR = 1_000_000
NEW = "new.plb"


@dataclass(frozen=True)
class Case:
    """A fault, and the expected result.

    :param kind: kind of the expected error; empty when the push must succeed.
    :param says: text that the message must contain.
    :param seconds: the sum of the timeouts that apply.
    :param harms: whether a naive client reports success or hangs; otherwise ``requests`` itself raises.
    """

    fault: Fault
    kind: str = ""
    says: str = ""
    seconds: float = 3.0
    harms: bool = True


def always(does: str, route: str = UPLOAD, at: int = 0, status: int = 503) -> Fault:
    return Fault(does, route, at=at, times=None, status=status)


CASES = {
    "reset": Case(Fault("reset up", UPLOAD, at=FAR), harms=False),
    "reset, always": Case(always("reset up", at=FAR), "unreachable", "was lost", harms=False),
    "stall": Case(Fault("stall up", UPLOAD, at=FAR), seconds=5),
    "stall, always": Case(always("stall up", at=1000), "unreachable", "read_timeout", 6),
    "drip": Case(always("drip up", at=1000), "unreachable", "read_timeout", 6),
    "flip": Case(always("flip up", at=FAR), "transfer", "other bytes"),
    "truncated, and looks complete": Case(always("truncate up"), "protocol", "Content-Length"),
    "gzip": Case(always("gzip up"), "protocol", "Content-Encoding"),
    "answer lost": Case(Fault("lose", UPLOAD), harms=False),
    "answer drips": Case(always("drip", UPLOAD), "deadline", "transfer_timeout", 6),
    "answer flipped": Case(always("flip", UPLOAD, at=30), "transfer", "other bytes", harms=False),
    "answer in gzip": Case(always("gzip", UPLOAD), "protocol", "gzip", harms=False),
    "503": Case(Fault("status", UPLOAD, retry_after=1)),
    "429, always": Case(always("status", status=429), "unreachable", "status 429"),
    "500": Case(always("status", status=500), "protocol", "status 500"),
    "redirect": Case(always("redirect"), "protocol", "redirect"),
    "page to log in": Case(always("page"), "protocol", "not JSON"),
    "HTTP/1.0 without a length": Case(always("no length", ANY), harms=False),
    "operation lost": Case(Fault("lose", OPERATION), harms=False),
    "operation redirected": Case(always("redirect", OPERATION), "protocol", "redirect"),
    "commit lost": Case(Fault("lose", COMMIT), harms=False),
    "commit lost, always": Case(always("lose", COMMIT), harms=False, seconds=6),
    "commit that stalls, always": Case(always("stall", COMMIT), seconds=14),
    "commit that never arrives": Case(always("status", COMMIT, status=503), "unreachable", "status 503", 6),
    "commit answered with 500": Case(always("status", COMMIT, status=500), "protocol", "status 500"),
    "poll lost": Case(Fault("lose", POLL), harms=False),
    "polls lost after the commit": Case(Fault("lose", POLL, times=3, after=1), harms=False, seconds=6),
}
LONG = {"answer drips", "commit that stalls, always", "429, always", "answer in gzip", "operation redirected", "stall"}
"""Cases only for FAULTS=full: they take long or resemble others."""


def marked(cases: dict[str, Case]) -> list[object]:
    marks = {name: [pytest.mark.full] if name in LONG else [] for name in cases}
    return [pytest.param(case, id=name, marks=marks[name]) for name, case in cases.items()]


@pytest.mark.parametrize("case", marked(CASES))
def test_the_whole_backup_or_nothing_of_it(scene: Scene, case: Case) -> None:
    with scene.proxy([case.fault]) as proxy:
        scene.url = proxy.url
        outcome = scene.push()
    assert proxy.happened, "the fault did not happen"
    assert not any(ELSEWHERE in each for each in proxy.seen), "a redirect was followed"
    assert outcome.seconds < case.seconds + SLACK
    assert scene.spooled() == []
    assert scene.src.read_bytes() == PUSHED
    if case.kind:
        assert (outcome.code, outcome.kind) == (1, case.kind), outcome.output
        assert case.says in outcome.message, outcome.message
        assert scene.listed() == {NAME: digest(WANTED)}
    else:
        assert outcome.code == 0, outcome.output
        assert outcome.result["verified_by"] == ["size", "content"]
        assert scene.listed() == {NAME: digest(WANTED), NEW: digest(PUSHED)}


def test_the_clock_of_the_whole_transfer_ends_a_push_that_is_read_in_drips(scene: Scene) -> None:
    with scene.proxy([always("drip up", at=1000)]) as proxy:
        scene.url = proxy.url
        outcome = scene.push(read_timeout=40, transfer_timeout=4)
    assert (outcome.code, outcome.kind) == (1, "deadline"), outcome.output
    assert "transfer_timeout" in outcome.message, outcome.message
    assert outcome.seconds < 4 + SLACK
    assert scene.listed() == {NAME: digest(WANTED)}


@pytest.mark.parametrize("route", [OPERATION, COMMIT])
def test_what_came_through_is_not_told_as_failed_when_its_repetition_is(scene: Scene, route: str) -> None:
    unread_and_then_refused = [Fault("length too large", route), Fault("status", route, after=1, status=500)]
    with scene.proxy(unread_and_then_refused) as proxy:
        scene.url = proxy.url
        outcome = scene.push()
    assert proxy.happened == ["length too large", "status"]
    assert outcome.code == 0, outcome.output
    assert scene.listed() == {NAME: digest(WANTED), NEW: digest(PUSHED)}


def test_what_came_through_is_not_told_as_failed_when_the_clock_runs_out(scene: Scene) -> None:
    with scene.proxy([always("drip head", COMMIT)]) as proxy:
        scene.url = proxy.url
        outcome = scene.push(retries=0, transfer_timeout=3)
    assert outcome.code == 0, outcome.output
    assert scene.listed() == {NAME: digest(WANTED), NEW: digest(PUSHED)}


def test_a_push_that_can_not_be_read_back_leaves_nothing(scene: Scene) -> None:
    reading_back = Fault("status", OPERATION, times=9, after=1)  # three tries of three requests each
    with scene.proxy([reading_back]) as proxy:
        scene.url = proxy.url
        outcome = scene.push()
    assert (outcome.code, outcome.kind) == (1, "unreachable"), outcome.output
    assert "removed from the system again" in outcome.message, outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}


@pytest.mark.parametrize("does", ["flip up", "reset up"])
def test_a_backup_that_should_be_replaced_stays_when_the_push_fails(scene: Scene, does: str) -> None:
    with scene.proxy([always(does, at=FAR)]) as proxy:
        scene.url = proxy.url
        outcome = scene.push(name=NAME, force=True)
    assert outcome.code == 1, outcome.output
    assert scene.listed() == {NAME: digest(WANTED)}
    assert scene.spooled() == []
    assert scene.kept() == []


def test_a_replaced_backup_is_put_back_when_the_new_one_can_not_be_read_back(scene: Scene) -> None:
    reading_back = Fault("status", OPERATION, times=9, after=3)  # lets two reads of the old backup and the upload pass
    with scene.proxy([reading_back]) as proxy:
        scene.url = proxy.url
        outcome = scene.push(name=NAME, force=True)
    assert (outcome.code, outcome.kind) == (1, "unreachable"), outcome.output
    assert "was put back" in outcome.message, outcome.message
    assert scene.listed() == {NAME: digest(WANTED)}
    assert scene.kept() == []


def test_a_replaced_backup_is_kept_when_nobody_can_look_any_more(scene: Scene) -> None:
    afterwards = [Fault("lose", each, times=None, after=after) for each, after in ((COMMIT, 0), (LISTING, 1))]
    with scene.proxy([*afterwards, Fault("lose", POLL, times=None, after=3)]) as proxy:
        scene.url = proxy.url
        outcome = scene.push(name=NAME, force=True)
    assert (outcome.code, outcome.kind) == (1, "outcome_unknown"), outcome.output
    assert f"is kept in {scene.tmp}" in outcome.message, outcome.message
    assert scene.kept() == [WANTED]


@pytest.mark.parametrize("case", marked({name: case for name, case in CASES.items() if case.harms}))
def test_a_client_that_does_not_check_is_harmed(scene: Scene, case: Case) -> None:
    said: list[str] = []
    with scene.proxy([case.fault]) as proxy:
        scene.url = proxy.url

        def push() -> None:
            with Naive(scene) as naive, suppress(requests.RequestException):
                naive.push(scene.src, NEW)
                said.append("it is there")

        thread = threading.Thread(target=push, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        hangs = thread.is_alive()
    thread.join(10)
    assert hangs or (said and scene.listed().get(NEW) != digest(PUSHED))
