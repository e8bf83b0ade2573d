# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small units: names, ranges, logins, certificates, the SDK's exceptions, redaction, turns, listings."""

from __future__ import annotations

import asyncio
import base64
import gc
import tracemalloc
import weakref
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from starlette.requests import Request

from activelogic_gateway.api.bodies import while_connected
from activelogic_gateway.api.contents import parse_range
from activelogic_gateway.auth import Login, parse_basic
from activelogic_gateway.certificate import not_after
from activelogic_gateway.names import why_illegal
from activelogic_gateway.problems import Problem, kind_of
from activelogic_gateway.redaction import redact
from activelogic_gateway.turns import Turns
from activelogic_gateway.wire import Listing


@pytest.mark.parametrize("name", ["a", "20210622-04.48.plb", "a,b", "...", "ä" * 127, " ", "a%2Fb"])
def test_legal_names(name: str) -> None:
    assert why_illegal(name) == ""


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "\0", "\x1f", "\x7f", "\x85", "ä" * 128, "\ud800"])
def test_illegal_names(name: str) -> None:
    assert why_illegal(name)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-", (0, 9)),
        ("BYTES = 3-4", (3, 4)),
        ("bytes=9-99", (9, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=5-4", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=0-1,2-3", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
    ],
)
def test_ranges_of_ten_bytes(value: str, span: tuple[int, int] | None) -> None:
    assert parse_range(value, 10) == span


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_ranges_outside_ten_bytes(value: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_range(value, 10)
    assert (caught.value.status, caught.value.headers["Content-Range"]) == (416, "bytes */10")


def _basic(text: bytes, scheme: bytes = b"Basic") -> list[bytes]:
    return [scheme + b" " + base64.b64encode(text)]


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "a:b", " x ", "y" * 200])
def test_logins_of_every_kind(password: str) -> None:
    assert parse_basic(_basic(f"üser:{password}".encode(), b"bASIC")) == Login("üser", password)


@pytest.mark.parametrize(
    "values",
    [
        [],
        _basic(b"a:b") * 2,
        _basic(b"ab"),
        _basic(b":b"),
        _basic(b"a:"),
        _basic(b"a:\xff"),
        _basic(b"a:b\n"),
        [b"Basic a b"],
    ],
)
def test_malformed_logins(values: list[bytes]) -> None:
    assert parse_basic(values) is None


def test_a_login_never_shows_its_password() -> None:
    assert "secret" not in repr(Login("user", "secret"))


def test_end_of_validity_is_read_from_the_certificate(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    for wanted in (
        datetime.now(UTC) + timedelta(days=30),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2077, 1, 2, tzinfo=UTC),
    ):
        trustme.CA().issue_cert("127.0.0.1", not_after=wanted).private_key_and_cert_chain_pem.write_to_path(str(path))
        assert not_after(path) == wanted.replace(microsecond=0)
    path.write_text("nothing", encoding="ascii")
    with pytest.raises(ValueError, match="no certificate"):
        not_after(path)


def _exception(*names: str, base: type[Exception] = Exception) -> Exception:
    made: type[Exception] = base
    for name in reversed(names):
        made = type(name, (made,), {})
    return made("said")


@pytest.mark.parametrize(
    ("error", "connecting", "kind"),
    [
        (_exception("PLDBIOError"), True, "authentication_failed"),
        (_exception("PLDBIOError"), False, "unreachable"),
        (_exception("PLDBIOError", "PLDBError"), False, "unreachable"),
        (_exception("PLDBNewDataCommitted", "PLDBError"), False, "new_data_committed"),
        (_exception("PLDBCriticalError"), False, "refused"),
        (_exception("Special", "PLDBError"), False, "refused"),
        (_exception("PLDBUnsupportedInFirmware"), False, "unsupported"),
        (_exception("PLDBCapabilityError"), True, "capability_missing"),
        (_exception("PLDBDetached"), False, "unreachable"),
        (TimeoutError(), True, "unreachable"),
        (ConnectionRefusedError(), True, "unreachable"),
        (OSError(28, "No space left on device"), False, "spool_full"),
        (ValueError(), False, "sdk_error"),
    ],
)
def test_exceptions_are_told_apart_by_name(error: Exception, connecting: bool, kind: str) -> None:
    assert kind_of(error, connecting) == kind


def test_redaction_covers_the_repr_too() -> None:
    assert redact("login as 'a\\\\b' and a\\b", ("a\\b",)) == "login as '********' and ********"


async def _turns_in_order() -> list[str]:
    turns = Turns()
    order: list[str] = []

    async def take(name: str, limits: dict[Hashable, int], seconds: float = 5) -> None:
        try:
            async with turns.turn(limits, seconds):
                order.append(name)
                await asyncio.sleep(0.05)
        except TimeoutError:
            order.append(f"{name} late")

    one: dict[Hashable, int] = {"system": 1, "address": 3}
    tasks = [asyncio.create_task(take(name, one)) for name in ("first", "second", "third")]
    tasks.append(asyncio.create_task(take("impatient", one, 0.01)))
    tasks.append(asyncio.create_task(take("other", {"another": 1, "address": 3})))
    await asyncio.sleep(0.06)
    tasks[2].cancel()
    newcomer = asyncio.create_task(take("newcomer", one))
    await asyncio.gather(*tasks, newcomer, return_exceptions=True)
    async with turns.turn({"system": 1, "address": 1}, 0.01):
        order.append("nothing is left taken")
    return order


def test_turns_come_in_order_and_hold_up_nobody_else() -> None:
    assert asyncio.run(_turns_in_order()) == [
        *("first", "other", "impatient late", "second", "newcomer"),
        "nothing is left taken",
    ]


def test_a_listing_takes_no_more_memory_than_its_text() -> None:
    names = [f"{number}-\U0001f600{'x' * 200}.plb" for number in range(5000)]
    rows = [(name, number) for number, name in enumerate(names)]
    tracemalloc.start()
    try:
        listing = Listing()
        for first in range(0, len(rows), 100):
            listing.add([list(row) for row in rows[first : first + 100]])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(listing) == rows
    assert held < 1.5 * sum(map(len, names)), held


def test_a_cancelled_read_keeps_nothing_until_the_next_garbage_collection() -> None:
    class Rows:
        """What a read holds while it waits."""

    left: list[weakref.ref[Rows]] = []

    async def read() -> None:
        rows = Rows()
        left.append(weakref.ref(rows))
        async with asyncio.timeout(60) as limit:
            await asyncio.Event().wait()
        assert not limit.expired(), rows

    async def receive() -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def leave() -> None:
        with pytest.raises(Problem, match="has gone"):
            await while_connected(Request({"type": "http"}, receive), read())

    gc.disable()
    try:
        asyncio.run(leave())
        assert left[0]() is None
    finally:
        gc.enable()
