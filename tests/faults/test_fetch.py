# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fetch with faults between client and gateway leaves either the old file or the complete new one."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

import pytest
import requests
import urllib3

from tests.faults.proxy import ANY, DOWNLOAD, ELSEWHERE, LISTING, OPERATION, POLL, Fault
from tests.faults.scene import CLOCKS, NAME, OLD, PATIENCE, SLACK, WANTED, Naive, Scene

FAR = 1_000_000
"""A position in the middle of the content."""


@dataclass(frozen=True)
class Case:
    """A fault, and the expected result.

    :param kind: kind of the expected error; empty when the fetch must succeed.
    :param says: text that the message must contain.
    :param seconds: the sum of the timeouts that apply.
    :param harms: whether it harms a naive client; any client notices truncated JSON, for example.
    :param tidied: whether the client can still tell the gateway to drop the content.
    """

    faults: tuple[Fault, ...]
    kind: str = ""
    says: str = ""
    seconds: float = 2.0
    harms: bool = True
    tidied: bool = True


def always(does: str, route: str = DOWNLOAD, at: int = 0, status: int = 503, retry_after: int | None = None) -> Fault:
    return Fault(does, route, at=at, times=None, status=status, retry_after=retry_after)


CASES = {
    "reset": Case((Fault("reset", DOWNLOAD, at=FAR),)),
    "reset, always at the start": Case((always("reset"),), "unreachable", "was lost"),
    "stall": Case((Fault("stall", DOWNLOAD, at=FAR),), seconds=3),
    "stall, always": Case((always("stall"),), "unreachable", "read_timeout", 8),
    "drip": Case((Fault("drip", DOWNLOAD, at=FAR),), "deadline", "transfer_timeout", 6),
    "drip of the head": Case((always("drip head"),), "deadline", "transfer_timeout", 6),
    "length too large": Case((Fault("length too large", DOWNLOAD),), seconds=3),
    "length too small": Case((Fault("length too small", DOWNLOAD),)),
    "truncated, and looks complete": Case((Fault("truncate", DOWNLOAD),)),
    "truncated, always": Case((always("truncate"),), "unreachable", "before the whole backup had arrived", 5),
    "gzip": Case((always("gzip"),), "protocol", "gzip"),
    "flip": Case((always("flip", at=FAR),), "transfer", "SHA-256"),
    "429": Case((Fault("status", DOWNLOAD, status=429, retry_after=1),)),
    "503": Case((Fault("status", DOWNLOAD, status=503, retry_after=1),)),
    "503, always, for an hour": Case((always("status", retry_after=3600),), "unreachable", "status 503"),
    "500": Case((always("status", status=500),), "protocol", "status 500"),
    "whole where a part was asked for": Case((Fault("reset", DOWNLOAD, at=FAR), always("no range"))),
    "whole where a part was asked for, and lost, always": Case(
        (always("reset", at=FAR), always("no range")), "unreachable", "the connection"
    ),
    "another part than was asked for": Case(
        (Fault("reset", DOWNLOAD, at=FAR), always("other range")), "protocol", "is not the part"
    ),
    "redirect": Case((always("redirect"),), "protocol", "redirect"),
    "page to log in": Case((always("page"),), "protocol", "no content of a backup (text/html)"),
    "HTTP/1.0 without a length": Case((always("no length", ANY),), harms=False),
    "304": Case((always("status", status=304),), "protocol", "status 304"),
    "another certificate": Case((always("certificate", ANY),), "certificate", "not trusted"),
    "a certificate that changes": Case(
        (Fault("reset", DOWNLOAD, at=FAR), Fault("certificate", times=None, after=1)),
        "certificate",
        "not trusted",
        tidied=False,
    ),
    "mute": Case((Fault("mute"),), seconds=4),
    "mute, always": Case((always("mute", ANY),), "unreachable", "connect_timeout", 6),
    "mute after TLS": Case((Fault("mute after TLS"),), seconds=4),
    "mute after TLS, always": Case((always("mute after TLS", ANY),), "unreachable", "read_timeout", 6),
    "listing reset": Case((Fault("reset", LISTING, at=5),), harms=False),
    "listing lost, always": Case((always("lose", LISTING),), "unreachable", "was lost", harms=False),
    "listing drips": Case((always("drip", LISTING),), "unreachable", "read_timeout", 14),
    "head of the listing drips": Case((always("drip head", LISTING),), "unreachable", "read_timeout", 14),
    "listing truncated": Case((always("truncate", LISTING),), "protocol", "not JSON", harms=False),
    "listing with length too small": Case((always("length too small", LISTING),), "protocol", "not JSON", harms=False),
    "listing in gzip": Case((always("gzip", LISTING),), "protocol", "gzip", harms=False),
    "listing redirected": Case((always("redirect", LISTING),), "protocol", "redirect", harms=False),
    "operation lost": Case((Fault("lose", OPERATION),), harms=False),
    "operation refused with 503": Case((Fault("status", OPERATION, retry_after=1),)),
    "poll reset": Case((Fault("reset", POLL, at=10),), harms=False),
    "poll stalls": Case((Fault("stall", POLL, at=10),), seconds=4),
    "poll with 429": Case((Fault("status", POLL, status=429),), harms=False),
}
LONG = {
    "304",
    "mute after TLS, always",
    "drip",
    "truncated, always",
    "listing drips",
    "head of the listing drips",
    "listing redirected",
    "listing lost, always",
    "mute after TLS",
    "mute",
    "poll with 429",
}
"""Cases only for FAULTS=full: they take long or resemble others."""


def marked(cases: dict[str, Case]) -> list[object]:
    return [
        pytest.param(case, id=name, marks=[pytest.mark.full] if name in LONG else []) for name, case in cases.items()
    ]


@pytest.mark.parametrize("case", marked(CASES))
def test_the_old_file_or_the_whole_new_one(scene: Scene, case: Case) -> None:
    with scene.proxy(case.faults) as proxy:
        scene.url = proxy.url
        outcome = scene.fetch()
    assert proxy.happened, "the fault did not happen"
    assert not any(ELSEWHERE in each for each in proxy.seen), "a redirect was followed"
    assert scene.spooled() == [] or not case.tidied
    assert outcome.seconds < case.seconds + SLACK
    if case.kind:
        assert (outcome.code, outcome.kind) == (1, case.kind), outcome.output
        assert case.says in outcome.message, outcome.message
        scene.require_old()
    else:
        assert outcome.code == 0, outcome.output
        assert outcome.result["changed"] is True
        assert outcome.result["verified_by"] == ["size", "digest"]
        scene.require_new()


def test_a_lost_connection_is_taken_up_where_it_ended(scene: Scene) -> None:
    with scene.proxy([Fault("reset", DOWNLOAD, at=FAR)]) as proxy:
        scene.url = proxy.url
        outcome = scene.fetch()
    assert 0 < outcome.result["resumed_from"] <= FAR
    assert outcome.result["bytes_transferred"] == len(WANTED)
    scene.require_new()


def test_what_is_given_again_as_a_whole_is_taken_from_the_start(scene: Scene) -> None:
    with scene.proxy([Fault("reset", DOWNLOAD, at=FAR), always("no range")]) as proxy:
        scene.url = proxy.url
        outcome = scene.fetch()
    assert outcome.result["resumed_from"] == 0
    assert len(WANTED) < outcome.result["bytes_transferred"] <= len(WANTED) + FAR
    scene.require_new()


def test_retry_after_is_waited_for_up_to_the_limit(scene: Scene) -> None:
    with scene.proxy([Fault("status", DOWNLOAD, status=429, retry_after=1)]) as proxy:
        scene.url = proxy.url
        outcome = scene.run(
            scene.options(direction="fetch", name=NAME, dest=f"{scene.dest}/", retry_max_delay=5, retry_delay=0)
        )
    assert outcome.code == 0, outcome.output
    assert outcome.result["elapsed"] >= 1.0
    assert CLOCKS["retry_max_delay"] < 1


@pytest.mark.parametrize("case", marked({name: case for name, case in CASES.items() if case.harms}))
def test_a_client_that_does_not_check_is_harmed(scene: Scene, case: Case) -> None:
    target = scene.dest / NAME
    with scene.proxy(case.faults) as proxy:
        scene.url = proxy.url

        def fetch() -> None:
            with (
                Naive(scene, None) as naive,
                suppress(requests.RequestException, urllib3.exceptions.HTTPError, OSError),
            ):
                naive.fetch(target)

        thread = threading.Thread(target=fetch, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        hangs = thread.is_alive()
        found = target.read_bytes()
        told_a_stranger = "certificate" in proxy.happened and proxy.seen
    thread.join(10)
    assert hangs or told_a_stranger or found not in (WANTED, OLD)
