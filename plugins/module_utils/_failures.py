# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of everything that can go wrong: what it is, its error, its message, and what the user can do.

Private to this collection. Pure data: errors are made from here and nowhere else, and ``docs/errors.md`` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _python
from ._errors import (
    AccessDeniedError,
    ActiveLogicError,
    AuthenticationError,
    CertificateError,
    ConflictError,
    DeadlineError,
    DependencyError,
    EndedError,
    IncompleteBackupError,
    LocalFileError,
    LocalResourceError,
    NotFoundError,
    NotRestoredError,
    OptionError,
    OutcomeUnknownError,
    ProtocolError,
    RefusedError,
    StaleDataError,
    TransferError,
    UnexpectedError,
    UnreachableError,
)


@dataclass(frozen=True)
class Failure:
    """One row of the table.

    :param what: what went wrong, as a sentence for the documentation.
    :param error_class: the class of its error.
    :param reason: template (:meth:`str.format`) of the error's reason.
    :param hint: template of its hint; empty for the hint of the class.
    """

    what: str
    error_class: type[ActiveLogicError]
    reason: str
    hint: str = ""

    def error(self, *, repeatable: bool = False, retry_after: float | None = None, **facts: Any) -> ActiveLogicError:
        """Make the error, with ``facts`` for the names in braces; the rest as in :class:`ActiveLogicError`."""
        error = self.error_class(
            self.reason.format(**facts),
            hint=self.hint.format(**facts),
            repeatable=repeatable,
            retry_after=retry_after,
        )
        error.is_of_system = self in OF_THE_SYSTEM
        error.is_outage = self in OUTAGES
        return error


# Options

OPTION_UNKNOWN = Failure(
    "The task gives an option that the module does not have.",
    OptionError,
    "{module} has no option {named}",
    "correct it; ansible-doc netops.activelogic.{module} describes all options",
)
OPTION_NOT_TEXT = Failure(
    "A text option was given a list, a Boolean, a number or the like.",
    OptionError,
    "{source} has to be text, and is {given}",
    "write one value, in quotes",
)
OPTION_NOT_NUMBER = Failure(
    "A numeric option was given a Boolean.",
    OptionError,
    "{source} has to be a number, and is a truth value, as YAML reads yes, no, on, off, true and false",
    "write a number",
)
HOST_NOT_SET = Failure(
    "The option host is not set anywhere.",
    OptionError,
    "host is not set",
    "set the option host or the variable activelogic_host",
)
LOGIN_NOT_SET = Failure(
    "The option username or password is not set anywhere.",
    OptionError,
    "{option} is not set",
    "set the option {option}, the variable {variable} or the environment variable {environment}, or set the variable"
    " activelogic_use_connection_login to true to log in with the connection's user and password",
)
CONNECTION_LOGIN_MISSING = Failure(
    "The connection's login is to be used, and the connection has none that can be used.",
    OptionError,
    "{option} is not set, and activelogic_use_connection_login does not help, because {why}",
    "give the connection a user and a password, or set {variable}; with a Machine credential that has no user name, the"
    " user is root",
)
LOGIN_NOT_SENDABLE = Failure(
    "A user name or a password contains something that no login can contain, such as a line break.",
    OptionError,
    "{option} {flaw}",
    "correct {option} where it is set",
)
PATH_RELATIVE = Failure(
    "A local path is not absolute, so it would depend on the folder in which Ansible runs the module.",
    OptionError,
    "{option} {path!r} is not an absolute path, and would have become {absolute}",
    "write the whole path, beginning with / or ~",
)
PATH_EPHEMERAL = Failure(
    "A job of AWX or ansible-runner would write into its own container, which is removed when the job ends.",
    OptionError,
    "{option} {path} lies inside the container of this job (in the {filesystem} mounted at {point}), and is lost with"
    " it when the job ends",
    "name a folder that is mounted into the container from outside, or set {switch} to true to accept the loss",
)
HOST_NOT_LEGAL = Failure(
    "The option host is not a possible name or address of a system.",
    OptionError,
    "host {host!r} is not a name or address of a system",
    "correct the option host",
)
SECONDS_NOT_POSITIVE = Failure(
    "A timeout is not above zero.",
    OptionError,
    "{option} must be a number of seconds above 0",
    "correct the option",
)
NUMBER_NEGATIVE = Failure(
    "A number of retries, or a pause, is below zero.",
    OptionError,
    "{option} must not be negative",
    "correct the option",
)
SDK_MODULE_NOT_A_NAME = Failure(
    "The option sdk_module is not a possible name of a Python module.",
    OptionError,
    "sdk_module {name!r} is not the name of a Python module",
    "correct the option",
)
GATEWAY_URL_WRONG = Failure(
    "The option gateway_url is not a URL, is not https, or has more parts than a server and a port.",
    OptionError,
    "gateway_url {flaw}",
    "write it as https://gateway.example.com:8443",
)
OPTION_FILE_UNREADABLE = Failure(
    "A file named by ca_path, client_cert or client_key does not exist, or this user may not read it.",
    OptionError,
    "{option} {path} does not exist, or the user that the module runs as may not read it",
    "correct the path, or its permissions",
)
TLS_FILE_WRONG = Failure(
    "A file named by ca_path, REQUESTS_CA_BUNDLE, client_cert or client_key can't be used for TLS.",
    OptionError,
    "{option} {path} {flaw}",
    "name a file with {wanted} in PEM format",
)
CLIENT_KEY_MISSING = Failure(
    "There is a client certificate without a key.",
    OptionError,
    "client_cert {path} contains no key, and client_key is not set",
    "set client_key to the file with its key",
)
CLIENT_KEY_OTHER = Failure(
    "The key belongs to another certificate.",
    OptionError,
    "the key in {option} {path} does not belong to the certificate in client_cert {certificate}",
    "name the key that belongs to the certificate",
)
CLIENT_KEY_ENCRYPTED = Failure(
    "The key is protected by a pass phrase, and there is nobody to ask for it.",
    OptionError,
    "the key in {option} {path} is encrypted",
    "write it without its pass phrase into a file that only the user of the module can read, with openssl pkey",
)
CA_BUNDLE_UNREADABLE = Failure(
    "The environment names a certificate bundle that does not exist, or that this user may not read.",
    OptionError,
    "REQUESTS_CA_BUNDLE {path} does not exist, or the user that the module runs as may not read it",
    "correct or unset it, or set ca_path",
)
PASSWORD_IN_OPERATION = Failure(
    "A name or a resource contains the password of the login, which a gateway would store and log.",
    RefusedError,
    "the gateway accepts no name that contains the password of the login",
    "give the user another password, or the backup another name",
)
PROXY_URL_WRONG = Failure(
    "The option proxy_url is not the URL of a proxy, or contains a login.",
    OptionError,
    "proxy_url {flaw}",
    "write it as http://proxy.example.com:3128, and a login as proxy_username and proxy_password",
)
NAME_NOT_LEGAL = Failure(
    "A name, or what a prefix makes of it, is not a legal name of a backup.",
    OptionError,
    "{option} {name!r} is not a legal name of a backup: it {flaw}",
    "choose another name",
)
PREFIX_RESERVED = Failure(
    "The option prefix is reserved for the backups that a restore makes.",
    OptionError,
    "prefix {prefix!r} is how the names of backups begin that a restore makes",
    "choose another prefix, such as my-{prefix}",
)
NAME_MISTAKEN = Failure(
    "The name of a new backup would make it look like another kind of backup.",
    OptionError,
    "a backup called {name!r} would be taken for {what}",
    "choose another name, or set prefix to have one made",
)
SYSTEM_NAME_WRONG = Failure(
    "The system is to choose the name of a backup, and its names do not contain what is needed later.",
    OptionError,
    "system_name can't be used with {options}: the names that the system chooses do not tell {what}",
    "{advice}",
)
TIMEZONE_UNKNOWN = Failure(
    "The time zone is not known on the machine where the module runs.",
    OptionError,
    "timezone {name!r} is not known where the module runs",
    "write it as Europe/Stockholm, and install the Python package tzdata if the machine has no such data",
)
DURATION_WRONG = Failure(
    "A duration such as max_age can't be parsed.",
    OptionError,
    "{option} {text!r} is not a duration above zero",
    "write it as 90s, 30m, 24h, 7d or 2w",
)
PRESENT_NEEDS_MORE = Failure(
    "State present does not say which backup.",
    OptionError,
    "state present needs one of name, max_age and always: true",
    "set one of them",
)
FETCH_NEEDS_MORE = Failure(
    "A fetch does not say which backup.",
    OptionError,
    "direction fetch needs name or latest: true",
    "set one of them",
)
CHECKSUM_WRONG = Failure(
    "The option checksum is not a SHA-256.",
    OptionError,
    "checksum is not sha256: and 64 hex digits",
    "write it as sha256:<64 hex digits>",
)
VALIDATE_WRONG = Failure(
    "The option validate has no place for the file's name.",
    OptionError,
    "validate must contain %s",
    "write it as: gzip -t %s",
)

PATH_NOT_LEGAL = Failure(
    "A local path is not a possible name of a file.",
    OptionError,
    "the path {path!r} {flaw}",
    "correct the path",
)
MODE_WRONG = Failure(
    "The option mode is not a mode, or is ambiguous, such as 644 without quotes.",
    OptionError,
    "mode {mode!r} {flaw}",
    "write it in quotes, such as mode: '0640' or mode: 'u=rw,g=r'",
)
OWNER_UNKNOWN = Failure(
    "The owner or the group is not known on the machine where the module runs.",
    OptionError,
    "{option} {name!r} is not known where the module runs",
    "correct the option, or create the user or group there",
)
OWNER_REFUSED = Failure(
    "Only a user with more privileges can set this owner, group or these attributes.",
    LocalFileError,
    "the user that the module runs as may not give files the {option} {name!r}",
    "run the task with become, or leave the option out",
)
ATTRIBUTES_WRONG = Failure(
    "The option attributes names flags that do not exist or can't be set there.",
    OptionError,
    "attributes {attributes!r} {flaw}",
    "write them as for chattr, such as +i, or leave the option out",
)
VALIDATE_UNREADABLE = Failure(
    "The option validate can't be split into words.",
    OptionError,
    "validate can't be read: {flaw}",
    "correct its quotes",
)

# Python and its packages

PYTHON_TOO_OLD = Failure(
    "The Python that runs the module is too old.",
    DependencyError,
    _python.REASON,
    _python.HINT,
)

REQUESTS_MISSING = Failure(
    "The package requests is missing, and gateway_url is set.",
    DependencyError,
    "the Python package requests is not installed where the module runs",
    "install it there, or set ansible_python_interpreter to a Python that has it",
)
SDK_MISSING = Failure(
    "The vendor's package is missing, and gateway_url is not set.",
    DependencyError,
    "the Python package {name} can't be imported where the module runs ({said})",
    "install it there, or set gateway_url to reach the system through a gateway",
)

# Reaching a gateway

GATEWAY_NAME_UNKNOWN = Failure(
    "The name in gateway_url has no address.",
    UnreachableError,
    "the name in gateway_url {url} can't be resolved",
    "check gateway_url",
)
GATEWAY_REFUSES = Failure(
    "Nothing listens at gateway_url.",
    UnreachableError,
    "the gateway {url} refuses connections",
    "check gateway_url and that it runs",
)
GATEWAY_NOT_ACCEPTING = Failure(
    "The gateway accepted no connection in time.",
    UnreachableError,
    "the gateway {url} accepted no connection within {seconds:g} s (connect_timeout)",
    "check that it runs and can be reached",
)
GATEWAY_SILENT = Failure(
    "The gateway accepted the request and did not answer in time.",
    UnreachableError,
    "the gateway {url} said nothing for {seconds:g} s (read_timeout)",
    "check that it runs, or set read_timeout higher",
)
GATEWAY_SLOW = Failure(
    "The gateway's answer was not complete in time.",
    UnreachableError,
    "the gateway {url} had not finished its answer after {seconds:g} s (connect_timeout and twice read_timeout)",
    "check that it runs, or set read_timeout higher",
)
GATEWAY_WITHOUT_TLS = Failure(
    "Both sides speak TLS, but have no version or cipher in common.",
    UnreachableError,
    "no TLS connection to the gateway {url} could be made ({why})",
    "check gateway_url, and which versions of TLS the gateway speaks",
)
GATEWAY_SPEAKS_HTTP = Failure(
    "What answers at gateway_url does not speak TLS, and gateway_url is an https URL.",
    UnreachableError,
    "the server at {url} does not speak TLS, which https requires",
    "check the port in gateway_url; plain http is allowed on the loopback interface only",
)
GATEWAY_SPEAKS_TLS = Failure(
    "What answers at gateway_url speaks TLS, and gateway_url is an http URL.",
    UnreachableError,
    "the server at {url} speaks TLS, which is https, not http",
    "write gateway_url with https",
)
GATEWAY_NOT_TRUSTED = Failure(
    "The gateway's certificate is signed by an authority that is not trusted here.",
    CertificateError,
    "the certificate of the gateway {url} is not trusted ({why})",
)
GATEWAY_CERTIFICATE_NAME = Failure(
    "The gateway's certificate is for another name.",
    CertificateError,
    "the certificate of the gateway {url} is for another name ({why})",
    "write a name that is in the certificate into gateway_url, or give the gateway a certificate for this one",
)
GATEWAY_CERTIFICATE_DATES = Failure(
    "The gateway's certificate, or that of its authority, has expired, or is not valid yet.",
    CertificateError,
    "the certificate of the gateway {url}, or of an authority that signed it, {flaw}",
    "renew it, and check the clock of the machine where the module runs",
)
GATEWAY_WANTS_CERTIFICATE = Failure(
    "The gateway requires a client certificate.",
    CertificateError,
    "the gateway {url} wants a client certificate, and client_cert is not set",
    "set client_cert and client_key",
)
GATEWAY_REFUSES_CERTIFICATE = Failure(
    "The gateway does not accept the client certificate.",
    CertificateError,
    "the gateway {url} does not accept the certificate in client_cert {path}: {why}",
    "set client_cert to a certificate that the gateway accepts (client_ca in its configuration)",
)
GATEWAY_CONNECTION_LOST = Failure(
    "The connection to the gateway was lost.",
    UnreachableError,
    "the connection to the gateway {url} was lost ({exception})",
    "check that it runs and can be reached",
)
PROXY_UNUSABLE = Failure(
    "The proxy does not answer, or refuses the connection.",
    UnreachableError,
    "the proxy of proxy_url can't be used ({why})",
    "check proxy_url",
)
PROXY_LOGIN = Failure(
    "The proxy requires a login, or another one.",
    UnreachableError,
    "the proxy of proxy_url {wants} (status 407)",
    "check proxy_username and proxy_password",
)

# Answers that do not come from a gateway

GATEWAY_STATUS_BUSY = Failure(
    "A proxy in front of the gateway reports it unavailable.",
    UnreachableError,
    "the gateway answered with status {status}",
    "run the task again later",
)
GATEWAY_STATUS = Failure(
    "The answer has a status that the gateway does not use.",
    ProtocolError,
    "the gateway answered with status {status}",
)
GATEWAY_REDIRECT = Failure(
    "The answer is a redirect.",
    ProtocolError,
    "the gateway answered with a redirect (status {status}), which is never followed",
)
GATEWAY_ANSWER_WRONG = Failure(
    "The answer can't be understood.",
    ProtocolError,
    "the gateway's answer {flaw}",
)

# What a gateway refuses or reports, in its own words

PROBLEM_LOGIN = Failure(
    "The system refused the login, or the connection to it could not be established. Or a proxy in front of the gateway"
    " refused the login.",
    AuthenticationError,
    "{said}",
    "check host, username and password, and whether the gateway can connect to the system",
)
PROBLEM_LOGINS = Failure(
    "Too many logins were refused to this user on this system, or to this client address. The login of this task was"
    " not tried.",
    AccessDeniedError,
    "{said}",
    "run the task again after that time; the audit log of the gateway shows which requests were refused",
)
PROBLEM_SYSTEM = Failure(
    "The gateway's configuration has no such system.",
    NotFoundError,
    "{said}",
    "check host against the systems in the gateway's configuration",
)
PROBLEM_BACKUP = Failure(
    "The system has no such backup.",
    NotFoundError,
    "{said}",
)
PROBLEM_OPERATION = Failure(
    "The gateway has forgotten the operation, or its content.",
    NotFoundError,
    "{said}",
    "run the task again",
)
PROBLEM_REQUEST = Failure(
    "The gateway does not understand the request.",
    ProtocolError,
    "{said}",
)
PROBLEM_NAME = Failure(
    "The gateway considers the name illegal.",
    OptionError,
    "{said}",
    "choose another name",
)
PROBLEM_EMPTY = Failure(
    "The file to push is empty.",
    LocalFileError,
    "{said}",
    "push a backup with content",
)
PROBLEM_CONFLICT = Failure(
    "The operation was ended by somebody else.",
    ConflictError,
    "{said}",
)
PROBLEM_TAKEN = Failure(
    "The system has a backup of that name.",
    ConflictError,
    "{said}",
)
PROBLEM_MACHINE = Failure(
    "Another machine answered instead of the system.",
    ConflictError,
    "{said}",
    "check host and expected_machine_id",
)
PROBLEM_STALE = Failure(
    "Another session committed again and again.",
    StaleDataError,
    "{said}",
)
PROBLEM_LATER = Failure(
    "The gateway is busy, is being restarted, or gave up.",
    UnreachableError,
    "{said}",
    "run the task again later",
)
PROBLEM_UNREACHABLE = Failure(
    "The gateway can't reach the system.",
    UnreachableError,
    "{said}",
    "check that the system is up and that the gateway can reach it",
)
PROBLEM_TIME = Failure(
    "A time limit of the gateway ran out.",
    DeadlineError,
    "{said}",
    "look at the system, or set the gateway's limits higher",
)
PROBLEM_TRANSFER = Failure(
    "Bytes were lost or changed between gateway and system, or on the way to the gateway.",
    TransferError,
    "{said}",
)
PROBLEM_ROOM = Failure(
    "The gateway has no room for the backup, or does not accept one of that size.",
    RefusedError,
    "{said}",
    "make room at the gateway, or set its limits higher",
)
PROBLEM_REFUSED = Failure(
    "The system answered the command with an error, or does not support it.",
    RefusedError,
    "{said}",
)
PROBLEM_DEFECT = Failure(
    "The gateway, or the package that it uses, failed.",
    RefusedError,
    "{said}",
    "look at the gateway's log",
)

# Operations and contents at a gateway

OPERATION_LATE = Failure(
    "A timeout ended the operation before it had an effect.",
    DeadlineError,
    "the {seconds:g} s of {option} ran out while it was {state} at the gateway",
    "set {option} higher",
)
OPERATION_LATE_BEHIND = Failure(
    "A timeout ended the operation while it waited for another one on the same system; it had no effect.",
    DeadlineError,
    "the {seconds:g} s of {option} ran out while it waited at the gateway for {what}",
    "set {option} higher, or have user {user} end it with {request}, which leaves its outcome unknown",
)
OPERATION_LATE_UNKNOWN = Failure(
    "A timeout ended the wait for an operation that was running.",
    OutcomeUnknownError,
    "the {seconds:g} s of {option} ran out while it was {state} at the gateway: not known whether it will still run",
    "look at the system's backups, and set {option} higher",
)
OPERATION_UNKNOWN = Failure(
    "The gateway does not know whether the operation ran.",
    OutcomeUnknownError,
    "not known whether it ran ({cause})",
)
OPERATION_LOST = Failure(
    "The gateway stopped answering while the operation ran.",
    OutcomeUnknownError,
    "the gateway stopped answering for operation {operation_id}: {reason}",
)
TRANSFER_LATE = Failure(
    "The content was not transferred in time.",
    DeadlineError,
    "the {seconds:g} s of transfer_timeout ran out after {done} of {size}",
    "set transfer_timeout higher",
)
CONTENT_SHORT = Failure(
    "The transfer of the content broke off again and again.",
    UnreachableError,
    "the connection ended before the whole backup had arrived",
    "check the network and the gateway",
)
CONTENT_LONG = Failure(
    "More arrived than was announced.",
    TransferError,
    "more than the {size} bytes that the gateway announced arrived",
)
CONTENT_OTHER = Failure(
    "The content was changed on its way from the gateway.",
    TransferError,
    "the {size} bytes that arrived have the SHA-256 {arrived}, the gateway announced {announced}",
)
CONTENT_SENT_OTHER = Failure(
    "The content was changed on its way to the gateway.",
    TransferError,
    "the gateway received other bytes than were sent",
)

# Reaching a system directly

SYSTEM_REFUSES = Failure(
    "Nothing listens at host.",
    UnreachableError,
    "the system refuses connections{said}",
    "check host, and that it is up",
)
SYSTEM_UNREACHABLE = Failure(
    "The system can't be found, or does not answer.",
    UnreachableError,
    "the system can't be reached{said}",
    "check host, and that it is up",
)
SYSTEM_NOT_ANSWERING = Failure(
    "The login did not finish in time.",
    UnreachableError,
    "the system did not answer within {seconds:g} s (connect_timeout)",
    "check host, and that the system is up",
)
SYSTEM_LOGIN = Failure(
    "The login failed; the system does not say whether the password is wrong or the connection failed.",
    AuthenticationError,
    "the system refused the login of user {user}, or the connection to it could not be established{said}",
    "check that the system is up and can be reached from where the module runs, then username and password, then which"
    " hosts the user may log in from",
)
SYSTEM_LOGIN_FAILED = Failure(
    "The login failed with another error.",
    RefusedError,
    "connecting failed with {exception}{said}",
)
SYSTEM_LOST = Failure(
    "The connection was lost while reading from the system.",
    UnreachableError,
    "the connection was lost{said}",
    "check that the system is up",
)
SYSTEM_LOST_UNKNOWN = Failure(
    "The connection was lost while changing the system.",
    OutcomeUnknownError,
    "the connection was lost before the answer{said}, so it is not known whether it ran",
)
SYSTEM_LATE = Failure(
    "The system did not answer a read in time.",
    DeadlineError,
    "the {seconds:g} s of {option} ran out before the system answered",
    "set {option} higher, and look at the system",
)
SYSTEM_LATE_UNKNOWN = Failure(
    "The system did not answer a change in time.",
    OutcomeUnknownError,
    "the {seconds:g} s of {option} ran out before the system answered",
    "set {option} higher, and look at the system",
)
SYSTEM_STALE = Failure(
    "Another session committed again and again.",
    StaleDataError,
    "another session committed in the meantime{said}",
)
SYSTEM_ERROR = Failure(
    "The system answered with an error.",
    RefusedError,
    "the system answered with {exception}{said}",
    "check name and resource_name, the privileges of the user, that no other session has locked the resource, and the"
    " system",
)
SYSTEM_LOCKED = Failure(
    "The system answered with an error that mentions a lock.",
    RefusedError,
    "the system answered with {exception}{said}; another session may hold the lock of the resource",
    "wait until that session has committed or ended, or end it at the system, and run the task again",
)
SYSTEM_COMMIT_UNKNOWN = Failure(
    "A command ran, and its commit failed, or its session could not be ended.",
    OutcomeUnknownError,
    "it ran, but {what}, so it is not known whether it lasts",
)
SDK_FAILED = Failure(
    "The vendor's package failed, crashed, or answered in a way that is not documented.",
    ProtocolError,
    "{module} {flaw}",
    "check that sdk_module names a working package with the vendor's interface",
)
SDK_FAILED_UNKNOWN = Failure(
    "The same, while the system was being changed.",
    OutcomeUnknownError,
    "{module} {flaw} before the system's answer was known, so it is not known whether it ran",
)
LOCAL_FAILED = Failure(
    "The machine where the module runs lacks something that the vendor's package needs.",
    LocalFileError,
    "{module} failed where the module runs, not at the system: {why}",
    "free what is exhausted there (disk space, open files, memory), or correct permissions, and run the task again",
)
LOCAL_FAILED_UNKNOWN = Failure(
    "The same, while the system was being changed.",
    OutcomeUnknownError,
    "{module} failed where the module runs, not at the system: {why}; it is not known whether the command ran",
    "free what is exhausted there (disk space, open files, memory), look at the system's backups, and run the task"
    " again",
)

# Backups on a system

MACHINE_OTHER = Failure(
    "The system is not the one that the task expects.",
    ConflictError,
    "the system that answered has the machine id {found}, not {expected}",
    "check host and expected_machine_id",
)
IDENTITY_WRONG = Failure(
    "The system reports a machine id or version that can't be one.",
    ProtocolError,
    "the system reports a {what} that has more than {most} characters, or some that can't be shown",
    "check host, and which system answers there",
)
LISTING_LONG = Failure(
    "The system lists more backups than are supported.",
    ProtocolError,
    "the system lists more than {most} backups",
    "remove backups that are not needed, on the system",
)
BACKUP_MISSING = Failure(
    "The backup is not there.",
    NotFoundError,
    "there is no backup {name!r}",
    "backups there: {there}",
)
BACKUP_VANISHED = Failure(
    "The backup is not there any more.",
    NotFoundError,
    "the system has no backup {name!r}",
)
BACKUP_TAKEN = Failure(
    "The name is already taken.",
    ConflictError,
    "the system already has a backup {name!r}",
)
BACKUP_INCOMPLETE = Failure(
    "The backup is empty, too small, or still growing.",
    IncompleteBackupError,
    "it {why}",
    "wait until it is complete",
)
BACKUP_INCOMPLETE_THERE = Failure(
    "The backup exists, but it is incomplete or damaged.",
    IncompleteBackupError,
    "the backup {name!r} is there, but it {why}",
    "wait until it is complete, remove it, or set force to make it anew",
)
BACKUP_LATE = Failure(
    "A new backup did not become complete in time.",
    IncompleteBackupError,
    "after {seconds:g} s (wait_timeout) the backup {name!r} {why}",
    "it was removed again; look at the system's free space, or set wait_timeout higher",
)
BACKUP_DAMAGED = Failure(
    "The content of the backup is a damaged archive, although the system lists it as complete.",
    IncompleteBackupError,
    "it {why}",
    "take another backup; with verify set to size the listing alone counts",
)
NEW_BACKUP_DAMAGED = Failure(
    "The content of a new backup is a damaged archive, although the system lists it as complete.",
    IncompleteBackupError,
    "the new backup {name!r} {why}",
    "it was removed again; look at the system's free space; with verify set to size the listing alone counts",
)
DOWNLOADS_DIFFER = Failure(
    "A backup seems to be damaged, but each download of it is different.",
    TransferError,
    "{times} downloads of {name!r} were damaged, each in another way",
    "look at the network; with verify set to size the listing alone counts",
)
BACKUP_NOT_NEW = Failure(
    "The system reports a backup as new that was there before.",
    OutcomeUnknownError,
    "the system says that it made {name!r}, which was there before",
    "look at its size and its content",
)
BACKUP_RENAMED = Failure(
    "The system gave a new backup another name than the one asked for.",
    ConflictError,
    "the system called the new backup {name!r}",
    "ask for the name that it makes of it, or remove it",
)
BACKUP_NAMED_ILLEGALLY = Failure(
    "The system gave a new backup a name that can't be used.",
    ConflictError,
    "the system called the new backup {name!r}, which is not legal: it {flaw}",
    "remove it on the system, or have system_name unset",
)
BACKUPS_LEFT = Failure(
    "Removed backups are still listed.",
    ConflictError,
    "still listed after their removal: {names}",
    "look at the system",
)
NO_UNUSED_NAME = Failure(
    "All names that were tried are taken.",
    ConflictError,
    "no unused name was found for the new backup",
    "run the task again",
)
NO_LATEST = Failure(
    "There is no backup that could be fetched as the latest.",
    IncompleteBackupError,
    "there is no complete full backup with a known date{passed_over}",
    "name the backup, or set timezone if the system chose the names",
)

LATEST_AHEAD = Failure(
    "The latest backup is not known, because a backup has a date in the future.",
    ConflictError,
    "it is not known which backup is the newest: the dates of these lie ahead of the clock: {names}",
    "set the clocks, or timezone, right, or name the backup to fetch",
)

# Restores

SOMEBODY_ELSE = Failure(
    "Backups appeared or changed while a restore was prepared.",
    ConflictError,
    "{what}, so somebody else is working on the system",
    "run the task again when they are done",
)
NOT_READY = Failure(
    "The system was not ready in time after a restore.",
    DeadlineError,
    "the system was not ready {seconds:g} s (wait_timeout) after it{seen}",
    "look at the system, or set wait_timeout higher; the restored configuration may have another address",
)
NOT_READY_LOGIN = Failure(
    "The login failed after a restore.",
    DeadlineError,
    "the system was not ready {seconds:g} s (wait_timeout) after it{seen}",
    "it may not be up yet, or the restored configuration may have another password, other hosts that the user may"
    " log in from, or another address",
)
COMPARE_LATE = Failure(
    "The comparison of the backups took too long.",
    DeadlineError,
    "the {seconds:g} s of transfer_timeout ran out before the backups were compared",
    "set transfer_timeout higher, or force to restore without a comparison",
)
RESTORE_UNKNOWN = Failure(
    "The connection was lost during the restore, and nothing shows that it ran.",
    OutcomeUnknownError,
    "not known whether the restore ran: its call was lost, and {reason}",
)
NOT_RESTORED = Failure(
    "A restore ran, but two new backups show that the system has another configuration.",
    NotRestoredError,
    "the system has another configuration than the backup: {reason}",
)

# Transfers

ARRIVED_SHORT = Failure(
    "The number of bytes that arrived is not the one that the system lists.",
    TransferError,
    "{size} bytes arrived, the system lists {listed}",
)
FETCH_DAMAGED = Failure(
    "The content of the fetched backup is a damaged archive.",
    IncompleteBackupError,
    "what arrived {why}",
    "run the task again; if it stays so take another backup; with verify set to size it is fetched all the same",
)
FETCH_READ_OTHER = Failure(
    "A second download of the backup had different content.",
    TransferError,
    "it has the SHA-256 {first}, a second download (verify) has {second}",
)
CHECKSUM_OTHER = Failure(
    "The fetched backup is not the one that checksum names.",
    TransferError,
    "it has the SHA-256 {found}, not {wanted} (checksum)",
    "correct checksum, or find out why the backup is another one",
)
FETCH_OTHER_MACHINE = Failure(
    "The file that would be replaced is the backup of another machine.",
    ConflictError,
    "{path} was fetched from the machine {origin}, this system is {found}",
    "give each system a dest of its own, such as one with inventory_hostname, or set other_machine to replace the file",
)
FETCH_MANIFEST_UNUSABLE = Failure(
    "The file that would be replaced has a manifest that can't be used, so it may be the backup of another machine.",
    LocalFileError,
    "the manifest {manifest} of {path} {why}",
    "correct or remove the manifest, name another dest, or set other_machine to replace the file",
)
VALIDATE_REFUSED = Failure(
    "The command in validate refused the fetched backup.",
    TransferError,
    "validate refused the backup with exit code {code} ({said})",
    "look at the backup, or correct validate",
)
PUSH_EMPTY = Failure(
    "The file to push is empty.",
    LocalFileError,
    "{path} is empty",
    "push a backup with content",
)
PUSH_NOT_AS_MANIFEST = Failure(
    "The file to push was changed since it was fetched.",
    TransferError,
    "{path} is not what its manifest {manifest} says: it has {size} bytes and SHA-256 {sha256}",
    "take a good copy, or remove the manifest if the change was meant",
)
PUSH_NOT_AS_DIGEST = Failure(
    "The file to push does not have the digest in the file .sha256 beside it.",
    TransferError,
    "{path} is not what {file} says: it has the SHA-256 {sha256}",
    "take a good copy, or remove the digest if the change was meant",
)
PUSH_EVIDENCE_UNUSABLE = Failure(
    "The manifest or the digest beside the file to push can't be used.",
    LocalFileError,
    "{file} beside {path} {why}",
    "correct its content or its permissions, or remove it if {path} is known to be the right file",
)
PUSH_OTHER_MACHINE = Failure(
    "The file to push comes from another machine.",
    ConflictError,
    "{path} was fetched from the machine {origin}, this system is {found}",
    "check host, or set other_machine if that is meant",
)
PUSH_OTHER_THERE = Failure(
    "The system has another backup of that name.",
    ConflictError,
    "another content is there: {there}; the file has {size} bytes and SHA-256 {sha256}",
    "choose another name, or set force to replace it",
)
PUSH_DAMAGED = Failure(
    "The content of the file to push is a damaged archive.",
    IncompleteBackupError,
    "{path} {why}",
    "push another file; with verify set to size it is pushed all the same",
)
PUSH_CHANGED = Failure(
    "The file changed while it was pushed.",
    TransferError,
    "{path} changed while it was pushed",
)
PUSH_NOT_LISTED = Failure(
    "The pushed backup is not listed by the system.",
    TransferError,
    "{size} bytes were sent, but the system does not list it",
)
PUSH_SHORT = Failure(
    "The pushed backup is listed with another size.",
    TransferError,
    "{size} bytes were sent, the system lists {listed}{then}",
)
PUSH_ARRIVED_OTHER = Failure(
    "The pushed backup has different content on the system.",
    TransferError,
    "what was sent did not arrive: {there}",
)
PUSH_UNSEEN = Failure(
    "A backup was pushed, but the system can't be checked afterwards.",
    OutcomeUnknownError,
    "it was sent, but can't be looked at: {reason}",
)
PUSH_OLD_UNREADABLE = Failure(
    "No copy of the backup to be replaced can be kept, because each download of it is different.",
    TransferError,
    "the backup that is to be replaced can't be kept: {first}, and then {second}",
    "nothing was changed; look at the backup",
)
PUSH_LOST_OLD = Failure(
    "A backup was removed in order to replace it, and neither the new nor the old one could be uploaded.",
    OutcomeUnknownError,
    "{reason}, and the old backup, which had to be removed, can't be put back: {second}",
)

# Files where the module runs

FILE_UNUSABLE = Failure(
    "A local file does not exist, or the user of the module has no permission.",
    LocalFileError,
    "{path}: {why}",
)
FILE_NO_ROOM = Failure(
    "The local disk is full, or a quota or a limit is reached.",
    LocalFileError,
    "{path}: {why}",
    "make room there",
)
FILE_NOT_REGULAR = Failure(
    "The file to push is a folder, a device, or the like.",
    LocalFileError,
    "{path} is not a regular file",
)
DEST_NO_FOLDER = Failure(
    "The folder of dest does not exist.",
    LocalFileError,
    "the folder {folder} does not exist",
    "make it, or end dest in / to have it made",
)
DEST_BELOW_FILE = Failure(
    "A part of the path in dest is not a folder.",
    LocalFileError,
    "{path} is not a folder",
    "correct dest",
)
DEST_LINK = Failure(
    "There is a symbolic link in the place of the backup file.",
    LocalFileError,
    "{path} is a symbolic link",
    "remove it, or name another dest",
)
DEST_NOT_REGULAR = Failure(
    "There is something other than a file in the place of the backup file.",
    LocalFileError,
    "{path} is not a regular file",
    "remove it, or name another dest",
)
DEST_ACCOMPANIES = Failure(
    "The backup's name is one that is reserved for the files beside a backup.",
    LocalFileError,
    "{name!r} can't be fetched into a folder, where such a name accompanies other files",
    "name the file itself in dest",
)
DEST_LONG = Failure(
    "The file's name in dest is too long.",
    LocalFileError,
    "the file name {name!r}... has more than {limit} bytes",
    "name a shorter file in dest",
)
FILE_IMMUTABLE = Failure(
    "The file, or one that belongs to it, has a flag that forbids replacing or changing it.",
    LocalFileError,
    "{path} is immutable or append-only (see lsattr)",
    "clear the flag with chattr -i or chattr -a, or name another dest",
)
ATTRIBUTES_REFUSED = Failure(
    "The flags of the option attributes could not be set; the files are in place.",
    LocalFileError,
    "the attributes of {path} can't be set: {said}",
    "correct or leave out the option attributes",
)
PART_FILE_TAKEN = Failure(
    "Another program removes or replaces the temporary files of a transfer.",
    LocalFileError,
    "{path} was removed or replaced by another program",
    "check which other program uses this folder, and run the task again",
)
FOLDER_LOCKED = Failure(
    "Another task or program kept the folder of dest locked.",
    DeadlineError,
    "another task or program had the folder {folder} locked for {seconds:g} s (wait_timeout)",
    "check which other program uses this folder, or set wait_timeout higher",
)
PLACED_BY_ANOTHER = Failure(
    "Two tasks wrote to the same file at once, where the file system has no locks.",
    ConflictError,
    "another task wrote to {path} at the same time",
    "give each system a dest of its own, and run the task again",
)

LOCAL_EXHAUSTED = Failure(
    "The machine where the module runs is out of open files, memory, threads or network.",
    LocalResourceError,
    "the machine where the module runs could not make a connection: {why}",
)

# The module itself

ENDED_BY_SIGNAL = Failure(
    "The module was asked to end.",
    EndedError,
    "ended by signal {signal}",
)
UNEXPECTED = Failure(
    "The module has a defect.",
    UnexpectedError,
    "an unexpected {exception} at {place}",
)

OF_THE_SYSTEM = frozenset(
    {
        ARRIVED_SHORT,
        BACKUP_VANISHED,
        DOWNLOADS_DIFFER,
        PROBLEM_BACKUP,
        PROBLEM_LOGIN,
        PROBLEM_REFUSED,
        PROBLEM_STALE,
        PROBLEM_TRANSFER,
        PROBLEM_UNREACHABLE,
        SYSTEM_ERROR,
        SYSTEM_LOCKED,
        SYSTEM_LOGIN,
        SYSTEM_LOGIN_FAILED,
        SYSTEM_LOST,
        SYSTEM_NOT_ANSWERING,
        SYSTEM_REFUSES,
        SYSTEM_STALE,
        SYSTEM_UNREACHABLE,
    }
)
"""Failures of a read that are answers of the system, or that happened between that and who asks it.

A row that is not named here counts as one of our own side, of which nothing follows for the system: so does each row
that is new, until somebody has thought about it.
"""

OUTAGES = frozenset(
    {
        PROBLEM_LOGIN,
        PROBLEM_REFUSED,
        PROBLEM_TIME,
        PROBLEM_UNREACHABLE,
        SYSTEM_ERROR,
        SYSTEM_LATE,
        SYSTEM_LOGIN,
        SYSTEM_LOGIN_FAILED,
        SYSTEM_LOST,
        SYSTEM_NOT_ANSWERING,
        SYSTEM_REFUSES,
        SYSTEM_UNREACHABLE,
    }
)
"""Failures of a login with a listing that show that the system itself is away, as after a restore."""

ALL: dict[str, Failure] = {name: each for name, each in list(globals().items()) if isinstance(each, Failure)}
"""All rows by the names of their constants, in the order of the documentation."""
