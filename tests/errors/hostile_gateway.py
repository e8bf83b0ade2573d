# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server whose answers consist of arbitrary bytes, up to endless ones. Plain HTTP, on the loopback interface.

The system name in the request's path selects the answer.
"""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

MIB = 1024 * 1024
ENDLESS = 300 * MIB
"""Bytes after which an endless answer stops: more than the client's memory limit."""

LATER = 0.1
"""Seconds between two chunks of a slow answer."""

SLOW = re.compile("had not finished its answer|said nothing for")


@dataclass(frozen=True)
class Answer:
    """A hostile answer.

    :param parts: data to send, in order.
    :param says: pattern of the expected error message; empty for none.
    :param call: the client's call: ``list``, ``identity``, ``create`` or ``download``.
    :param then: data to send repeatedly after the parts.
    :param drips: send ``then`` slowly.
    :param names: the expected names in the listing, if it is valid.
    :param warns: pattern of the expected warning about names.
    :param route: kind of request that gets this answer, if not that of ``call``; others get valid answers.
    :param turns: whether requests get the parts in turn, one each.
    """

    parts: tuple[bytes, ...]
    says: str
    call: str = "list"
    then: bytes = b""
    drips: bool = False
    names: tuple[str, ...] | None = None
    warns: str = ""
    route: str = ""
    turns: bool = False


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("utf-8")


def body(content: bytes, status: str = "200 OK", *lines: str) -> bytes:
    return head(f"Content-Length: {len(content)}", "Connection: close", *lines, status=status) + content


def rows(*texts: str) -> bytes:
    """A listing with these rows, given as JSON."""
    return body(("[" + ", ".join(texts) + "]").encode("utf-8", "surrogatepass"))


def row(name: str, size: str = "5") -> str:
    return f'{{"name": {json.dumps(name)}, "size": {size}}}'


def problem(status: str = "409 Conflict", **members: Any) -> bytes:
    return body(json.dumps(members).encode(), status)


CHUNKED = head("Transfer-Encoding: chunked")
GOOD = {
    "list": rows(row("there.plb")),
    "identity": body(b'{"machineid": "1", "distversion": "2"}'),
    "operation": body(b'{"state": "queued"}'),
    "poll": body(b'{"state": "succeeded", "result": {"name": "new.plb", "size": 5, "sha256": "' + b"0" * 64 + b'"}}'),
}
TOO_LONG = "more than 65536 bytes"
NOT_CLEAR = r"has a length that is not clear \("
NO_SENSE = "has a length that makes no sense"

ANSWERS: dict[str, Answer] = {
    # Heads
    "status line without end": Answer((b"HTTP/1.1 200 ",), TOO_LONG, then=b"O" * MIB),
    "status of other digits": Answer(("HTTP/1.1 \u00b200 OK\r\n\r\n".encode(),), "connection .* was lost"),
    "status of 4,299 digits": Answer((b"HTTP/1.1 " + b"2" * 4299 + b" OK\r\n\r\n",), "connection .* was lost"),
    "version of the future": Answer((b"HTTP/9.9 200 OK\r\n\r\n",), "connection .* was lost"),
    "no HTTP": Answer((b"\x1b[2J" * 100,), "connection .* was lost", then=b"\x1b[2J" * MIB),
    "header without end": Answer((b"HTTP/1.1 200 OK\r\nX: ",), TOO_LONG, then=b"x" * MIB),
    "headers without end": Answer((b"HTTP/1.1 200 OK\r\n",), f"{TOO_LONG}|was lost", then=b"X: y\r\n" * 100_000),
    "large headers": Answer((b"HTTP/1.1 200 OK\r\n",), TOO_LONG, then=b"X: " + b"y" * 60_000 + b"\r\n"),
    "headers that are folded": Answer((b"HTTP/1.1 200 OK\r\nX: y\r\n",), f"{TOO_LONG}|was lost", then=b" y\r\n" * MIB),
    "interim answers without end": Answer((), TOO_LONG, then=b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    "interim answers with large headers": Answer(
        (), TOO_LONG, then=b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 30_000 + b"\r\n\r\n"
    ),
    "interim answer of another kind": Answer((head(status="103 Early Hints") * 2,), "status 103|was lost"),
    "length of other digits": Answer((head("Content-Length: \u00b2") + b"[]",), NOT_CLEAR),
    "length with a sign": Answer((head("Content-Length: +2") + b"[]",), NOT_CLEAR),
    "length below zero": Answer((head("Content-Length: -1"),), NOT_CLEAR, then=b" " * MIB),
    "length with an underscore": Answer((head("Content-Length: 1_0") + b"[]        ",), NOT_CLEAR),
    "length of 4,299 digits": Answer((head("Content-Length: " + "9" * 4299),), NOT_CLEAR, then=b" " * MIB),
    "length in blanks": Answer((head("Content-Length:   2  ") + b"[]",), "", names=()),
    "two lengths": Answer((head("Content-Length: 2", "Content-Length: 3") + b"[] ",), f"{NOT_CLEAR}|was lost"),
    "one length twice": Answer((head("Content-Length: 2", "Content-Length: 2") + b"[]",), NOT_CLEAR),
    "length and chunks": Answer(
        (head("Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\n[]\r\n0\r\n\r\n",), NOT_CLEAR
    ),
    "empty length": Answer((head("Content-Length: ") + b"[]",), NOT_CLEAR),
    "encoded": Answer((body(b"\x1f\x8b", "200 OK", "Content-Encoding: gz\x1b[31mip"),), r"encoded \(gz\\x1b"),
    "later by other digits": Answer((body(b"", "503 Busy", "Retry-After: \u00b2"),), "status 503"),
    "later by 4,299 digits": Answer((body(b"", "503 Busy", "Retry-After: " + "9" * 4299),), "status 503"),
    "later below zero": Answer((body(b"", "503 Busy", "Retry-After: -5"),), "status 503"),
    # Chunks
    "chunks": Answer((CHUNKED + b"1;a=b\r\n[\r\n001\r\n]\r\n0\r\nX: y\r\n\r\n",), "", names=()),
    "chunks of one byte": Answer(
        (CHUNKED, *(b"1\r\n%c\r\n" % each for each in GOOD["list"].partition(b"\r\n\r\n")[2]), b"0\r\n\r\n"),
        "",
        names=("there.plb",),
    ),
    "chunk of less than nothing": Answer((CHUNKED + b"-1\r\n",), NO_SENSE, then=b" " * MIB),
    "chunk of much less than nothing": Answer((CHUNKED + b"-ffff\r\n",), NO_SENSE, then=b" " * MIB),
    "chunk of 4,299 digits": Answer((CHUNKED + b"f" * 4299 + b"\r\n",), r"more than 64\.0 MB|lost", then=b" " * MIB),
    "chunk that is none": Answer((CHUNKED + b"\xc2\xb2\r\n",), "was lost"),
    "size of a chunk without end": Answer((CHUNKED,), f"{TOO_LONG}|was lost", then=b"0" * MIB),
    "extension without end": Answer((CHUNKED + b"1;",), f"{TOO_LONG}|was lost", then=b"x" * MIB),
    "large extensions": Answer((CHUNKED,), TOO_LONG, then=b"1;" + b"x" * 5000 + b"\r\n \r\n"),
    "trailer without end": Answer((CHUNKED + b"2\r\n[]\r\n0\r\n",), TOO_LONG, then=b"X: y\r\n" * 10_000),
    "trailing line without end": Answer((CHUNKED + b"2\r\n[]\r\n0\r\nX: ",), f"{TOO_LONG}|was lost", then=b"y" * MIB),
    # Bodies
    "blanks without end": Answer((head("Connection: close"),), "more than 64\\.0 MB", then=b" " * MIB),
    "document of blanks without end": Answer((head(),), "more than 256 KB", "identity", then=b" " * MIB),
    "refusal without end": Answer((head(status="409 Conflict"),), "status 409", then=b" " * MIB),
    "body that drips": Answer((head("Content-Length: 5000"),), SLOW.pattern, then=b" ", drips=True),
    "head that drips": Answer((b"HTTP/1.1 200 OK\r\n",), SLOW.pattern, then=b"X", drips=True),
    "interim answers that drip": Answer((), SLOW.pattern, then=b"HTTP/1.1 100 Continue\r\n\r\n", drips=True),
    "a million backups": Answer(
        (head("Connection: close") + b"[" + row("there.plb").encode(),),
        "more than 100000 backups",
        then=b"," + b",".join(row(f"{number:07}.plb").encode() for number in range(100_000)),
    ),
    "a million of no names": Answer((head() + b"[{}",), "has no name", then=b",{}" * MIB),
    "rows of nothing": Answer((head() + b"[",), "has no name", then=b"[],[]," * MIB),
    "row without end": Answer((head() + b'[{"name": "x", "more": [',), "is not JSON|row of more", then=b"[]," * MIB),
    "row of keys without end": Answer((head() + b"[{",), "is not JSON|row of more", then=b'"a": {}, ' * MIB),
    "large row": Answer((rows(row("n" * 5000)),), "row of more than 4096 characters"),
    "name without end": Answer((head() + b'[{"name": "',), "is not JSON|row of more", then=b"n" * MIB),
    "name of 3,000 characters": Answer(
        (rows(row("n" * 3000), row("there.plb")),), "", names=("there.plb",), warns="'n+\\.\\.\\.' has 3000 bytes"
    ),
    "depth": Answer((head() + b'[{"a": ',), "is not JSON", then=b"[" * MIB),
    "depth of a document": Answer((body(b"[" * 200_000),), "is not JSON", "identity"),
    "many values in a document": Answer((body(b"[" + b"[]," * 80_000 + b"[]]"),), "is not an object", "identity"),
    "size of 4,299 digits": Answer((rows(row("a", "9" * 4299)),), "row of more|more than 20 digits"),
    "size of 1,000 digits": Answer((rows(row("a", "9" * 1000)),), "more than 20 digits"),
    "size of 20 digits": Answer((rows(row("a", "9" * 20)),), "has no size"),
    "size below zero": Answer((rows(row("a", "-1")),), "has no size"),
    "size of minus zero": Answer((rows(row("a", "-0")),), "", names=("a",)),
    "size in a fraction": Answer((rows(row("a", "5.0")),), "has no size"),
    "size of a large power": Answer((rows(row("a", "1e999")),), "number that is too large"),
    "size of a large power below zero": Answer((rows(row("a", "-1e999")),), "number that is too large"),
    "size of many digits in a fraction": Answer((rows(row("a", "0." + "1" * 2000)),), "number that is too large"),
    "no size at all": Answer((rows(row("a", "NaN")),), "holds NaN"),
    "size without bound": Answer((rows(row("a", "-Infinity")),), "holds -Infinity"),
    "size that is true": Answer((rows(row("a", "true")),), "has no size"),
    "size of other digits": Answer((rows(row("a", "\u00b2")),), "is not JSON"),
    "size twice": Answer((rows('{"name": "a", "size": 5, "size": 6}'),), "says something twice"),
    "no UTF-8": Answer((body(b'[{"name": "\xff", "size": 5}]'),), "is not JSON"),
    "UTF-16": Answer((body('[{"name": "a", "size": 5}]'.encode("utf-16")),), "is not JSON"),
    "mark of a byte order": Answer((body(b"\xef\xbb\xbf[]"),), "is not JSON"),
    "comma too many": Answer((body(b'[{"name": "a", "size": 5},]'),), "has no name|is not JSON"),
    "two listings": Answer((body(b"[] []"),), "is not JSON"),
    "listing without its end": Answer((body(b'[{"name": "a", "size": 5}'),), "is not JSON"),
    "nothing": Answer((body(b""),), "is not a list"),
    # Names
    "names that choose folders": Answer(
        (rows(*map(row, ("../../20260101T000000Z-0000.plb", "..", ".", "", "a/b", "a\\b", "good.plb"))),),
        "",
        names=("good.plb",),
        warns=r"passed over \(6\): '\.\./\.\./2026\S* holds '/', '\.\.' is '\.\.', .*'' is empty, .*, \.\.\.",
    ),
    "names with control characters": Answer(
        (rows(*map(row, ("\x1b[2J.plb", "a\nb", "a\x00", "\x9b31m", "good.plb"))),),
        "",
        names=("good.plb",),
        warns=r"'\\x1b\[2J.plb' holds a control character, 'a\\nb'",
    ),
    "names that are not Unicode": Answer(
        (rows('{"name": "\\ud800", "size": 5}', row("good.plb")),), "", names=("good.plb",), warns="not valid Unicode"
    ),
    "name with two sizes": Answer(
        (rows(row("a"), row("b"), row("a", "6"), row("a")),), "", names=("b",), warns="'a' is listed with several sizes"
    ),
    "name twice": Answer((rows(row("a"), row("b"), row("a")),), "", names=("a", "b")),
    # Documents
    "machine id with an escape sequence": Answer(
        (body(b'{"machineid": "\\u001b[2J", "distversion": "2"}'),), "machine id that has more than 255", "identity"
    ),
    "long version": Answer(
        (body(b'{"machineid": "1", "distversion": "' + b"2" * 100_000 + b'"}'),), "version that has more", "identity"
    ),
    "problem with escape sequences": Answer(
        (problem(kind="backup_exists", detail="\x1b[2J\rok\nfatal: \u202egpj\u2028\u200b\x9b"),),
        r": \\x1b\[2J\\rok\\nfatal: \\u202egpj\\u2028\\u200b\\x9b;",
    ),
    "problem of 200,000 characters": Answer((problem(kind="backup_exists", detail="x" * 200_000),), r"x{900}\.\.\.;"),
    "problem of a million characters": Answer((problem(kind="backup_exists", detail="x" * MIB),), "status 409"),
    "problem of a deep kind": Answer(
        (body(b'{"kind": ' + b"[" * 400 + b"]" * 400 + b', "detail": [[]], "exception": {}}', "409 Conflict"),),
        "does not say why",
    ),
    "problem of an unknown kind": Answer((problem(kind="\x1b[2J"),), r"\\x1b\[2J"),
    "state with escape sequences": Answer(
        (body(json.dumps({"state": "\x1b[2J" * 1000}).encode()),), r"was \\x1b\[2J.*\.\.\. at", "create", route="poll"
    ),
    "state that is none": Answer((body(b'{"state": 5}'),), "stopped answering .* has no state", "create", route="poll"),
    "cause with escape sequences": Answer(
        (body(b'{"state": "unknown", "cause": "\\u001b[2J"}'),), r"not known .*\\x1b\[2J", "create", route="poll"
    ),
    "cause that is none": Answer(
        (body(b'{"state": "unknown", "cause": [[]]}'),), "no cause is given", "create", route="poll"
    ),
    "new name that chooses a folder": Answer(
        (body(b'{"state": "succeeded", "result": {"name": "../x"}}'),),
        r"'\.\./x', which is not",
        "create",
        route="poll",
    ),
    "always in the queue": Answer(
        (body(b'{"state": "queued"}'),), "ran out while it was queued", "create", route="poll"
    ),
    "states that change without end": Answer(
        (body(b'{"state": "queued"}'), body(b'{"state": "running"}')),
        "was (queued|running) at",
        "create",
        route="poll",
        turns=True,
    ),
    "new states without end": Answer(
        tuple(body(b'{"state": "state %d"}' % number) for number in range(1000)),
        "was state [0-9]+ at",
        "create",
        route="poll",
        turns=True,
    ),
    "very many cookies": Answer(
        (body(b'{"state": "queued"}', "200 OK", *(f"Set-Cookie: c{number}=x" for number in range(90))),),
        "ran out while it was queued",
        "create",
        route="poll",
    ),
    "digest that is none": Answer(
        (body(b'{"state": "succeeded", "result": {"name": "a", "size": 5, "sha256": "\\u001b"}}'),),
        "has no sha256",
        "download",
        route="poll",
    ),
    "content without end": Answer(
        (head("Content-Type: application/octet-stream"),),
        "more than the 5 bytes",
        "download",
        b"x" * MIB,
        route="content",
    ),
    "content in chunks of less than nothing": Answer(
        (head("Content-Type: application/octet-stream", "Transfer-Encoding: chunked") + b"-1\r\n",),
        NO_SENSE,
        "download",
        b"x" * MIB,
        route="content",
    ),
    "content of another type": Answer(
        (head("Content-Type: text/\x1b[2J"),), r"no content of a backup \(text/\\x1b", "download", b"x", route="content"
    ),
}
"""By system name."""


@dataclass
class HostileGateway:
    """The server's URL, the number of requests by system, and the number of requests with cookies."""

    url: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    cookies: int = 0

    def answer(self, method: str, path: str) -> Answer | bytes:
        """The answer to a request."""
        _empty, _version, _systems, system, *rest = path.partition("?")[0].split("/")
        system, kind = unquote(system), ("identity", "backups", "operations", "content")[len(rest)]
        kind = rest[0] if len(rest) == 1 else kind
        self.asked[system] = self.asked.get(system, 0) + 1
        hostile = ANSWERS[system]
        if kind == "operations":
            kind = "poll" if method == "GET" else "operation"
        kind = "list" if kind == "backups" else kind
        if kind != (hostile.route or hostile.call):
            return GOOD[kind]
        return hostile.parts[self.asked[system] % len(hostile.parts)] if hostile.turns else hostile


@contextmanager
def hostile_gateway() -> Iterator[HostileGateway]:
    """Run the server during the block."""
    gateway = HostileGateway()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, path, length = "", "", 0
            for line in iter(self.rfile.readline, b"\r\n"):
                if not line:
                    return
                if not method:
                    method, path, _version = line.decode().split(" ")
                gateway.cookies += line.lower().startswith(b"cookie:")
                length = int(line[15:]) if line.lower().startswith(b"content-length:") else length
            self.rfile.read(length)
            answer = gateway.answer(method, path)
            with suppress(OSError):  # the client hangs up, as it should
                self.send(answer)

        def send(self, answer: Answer | bytes) -> None:
            for part in [answer] if isinstance(answer, bytes) else answer.parts:
                self.wfile.write(part)
            if isinstance(answer, bytes) or not answer.then:
                return
            sent, end = 0, time.monotonic() + 30
            while sent < ENDLESS and time.monotonic() < end:
                self.wfile.write(answer.then)
                sent += len(answer.then)
                time.sleep(LATER if answer.drips else 0)

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield gateway
        server.shutdown()


def requests_for(names: Mapping[str, Answer]) -> list[tuple[str, str]]:
    """Pairs of system name and call, one per answer."""
    return [(name, each.call) for name, each in names.items()]
