# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of the vendor's API, by name.

The vendor does not document whether these classes derive from one another. Here none does, so that code that relies on
such a relation fails.
"""

from __future__ import annotations


class PLDBError(Exception):
    """The server answered the command with an error message."""


class PLDBCriticalError(Exception):
    """The server answered the command with a critical error message."""


class PLDBDetached(Exception):
    """The session is being detached."""


class PLDBIOError(Exception):
    """No connection, a lost one, failed crypto negotiation or failed authorization."""


class PLDBNewDataCommitted(Exception):
    """Another session committed to this resource; a new one must be opened."""


class PLDBCapabilityError(Exception):
    """One side lacks a capability that the other requires."""


class PLDBUnsupportedInFirmware(Exception):
    """The firmware does not support the command."""


class PLDBUnsupportedInHardware(Exception):
    """The hardware does not support the command."""
