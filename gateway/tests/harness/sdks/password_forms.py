# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms in which a careless package may print a password."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus


def forms(username: str, password: str) -> list[str]:
    """Lines that a careless package may print, each with a label and one form."""
    data, pair = password.encode(), f"{username}:{password}".encode()
    return [
        f"plain {password}",
        f"joined {' '.join(password.split())}",
        f"repr {password!r}",
        f"repr_bytes {data!r}",
        f"ascii {password!a}",
        f"url {quote(password)}",
        f"url_strict {quote(password, safe='')}",
        f"url_plus {quote_plus(password)}",
        f"url_lower {''.join(f'%{byte:02x}' for byte in data)}",
        f"json {json.dumps(password)}",
        f"json_wide {json.dumps(password, ensure_ascii=False)}",
        f"json_slash {json.dumps(password).replace('/', chr(92) + '/')}",
        f"html {html.escape(password)}",
        f"basic {b64encode(pair).decode()}",
        f"basic_urlsafe {urlsafe_b64encode(pair).decode()}",
        f"base64 {b64encode(data).decode()}",
        f"base64_second {b64encode(b'x' + data).decode()}",
        f"base64_third {b64encode(b'xy' + data + b'z').decode()}",
        f"hex {data.hex()}",
        f"hex_upper {data.hex().upper()}",
        f"hex_colons {data.hex(':')}",
        f"latin {data.decode('latin-1')}",
        "boundary " + "y" * 1980 + password,
    ]
