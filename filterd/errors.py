"""Every error filterd raises on purpose.

::

    FilterdError
    ├── ConfigError            the operator must fix it; exit 78; names key and file
    ├── UsageError             the person at the command line or API must fix it; exit 2, HTTP 4xx
    │   ├── NotFound           no such message, token or bundle; HTTP 404
    │   ├── RequestInvalid     a client of spamd or rspamd says what the protocol does not
    │   ├── NextHopRefused     the next hop does not take what was to be released; HTTP 502
    │   ├── TooManyTries       to sign in; HTTP 429
    │   └── SignInRefused      the OpenID provider names nobody who may sign in; HTTP 403
    ├── MessageError           the sender's fault; permanent
    │   ├── MessageTooLarge    552 5.3.4
    │   ├── BareNewline        550 5.5.2, said after the real end of data
    │   └── MailLoop           554 5.4.6
    ├── ScanFailed             no probability; never a bounce by itself, the policy decides
    │   ├── Unscannable        this message broke a limit or a scanner
    │   └── ScanDown           no model, or no scanner can score anything
    ├── TemporaryError         our side; "try again"
    │   ├── StoreUnavailable   451 4.3.0
    │   ├── StoreFull          452 4.3.1
    │   ├── RelayUnavailable   451 4.4.1, the next hop cannot be reached
    │   ├── RelayAmbiguous     451 4.4.2, the next hop fell silent after the final dot
    │   ├── Overloaded         452 4.3.2, too many in flight
    │   ├── StateUnavailable   the state folder's disk fails; whoever needed it is started again
    │   └── ProviderFailed     the OpenID provider does not answer as it should
    ├── MilterBroken           a mail server does not speak the milter protocol; its own default action decides
    ├── WebhookError
    │   ├── SignatureInvalid   403
    │   ├── CredentialsMissing 401, the provider may show them when it is asked
    │   ├── Unsigned           503, the provider may sign its next try
    │   ├── FetchNeeded        of the call itself: the provider's certificate comes first; never answered
    │   └── PayloadInvalid     422
    └── BundleError            the candidate is refused, the incumbent stays
        ├── ChecksumMismatch   a file is not the one the bundle was published with
        ├── ContractMismatch   this version of filterd cannot serve the bundle
        └── SelfTestFailed     the probes do not come out as recorded

``public`` may be shown to a stranger: it never holds a rule, a threshold, a probability or an address.
``detail`` is for the log and the operator. The trainer's errors live in ``trainer/errors.py``.
"""

from __future__ import annotations

from collections.abc import Callable


class FilterdError(Exception):
    """An error of filterd."""

    public = "temporary error"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (self.__doc__ or "").split("\n", 1)[0]
        super().__init__(self.detail)


class ConfigError(FilterdError):
    """The configuration cannot be used."""

    public = "configuration error"


class UsageError(FilterdError):
    """The request cannot be carried out as asked."""

    public = "bad request"


class NotFound(UsageError):
    """No such thing."""

    public = "not found"


class RequestInvalid(UsageError):
    """A client says what its protocol does not."""


class NextHopRefused(UsageError):
    """The next hop does not take the message."""

    public = "refused by the next hop"


class TooManyTries(UsageError):
    """Too many tries to sign in have failed; wait before the next."""

    public = "too many tries"


class SignInRefused(UsageError):
    """The OpenID provider names nobody who may sign in."""

    public = "refused"


class MessageError(FilterdError):
    """The message breaks a rule that every sender can keep."""

    public = "message refused"


class MessageTooLarge(MessageError):
    """The message is larger than this gateway accepts."""

    public = "message too large"


class BareNewline(MessageError):
    """The message has a carriage return or line feed that stands alone (RFC 5321 section 2.3.8)."""

    public = "bare carriage return or line feed in message"


class MailLoop(MessageError):
    """The message has passed through too many hosts (RFC 5321 section 6.3)."""

    public = "too many hops"


class ScanFailed(FilterdError):
    """No probability could be had."""


class Unscannable(ScanFailed):
    """This message broke a limit or a scanner."""


class ScanDown(ScanFailed):
    """No scanner can score anything."""


class TemporaryError(FilterdError):
    """A fault on our side; the sender should try again."""


class StoreUnavailable(TemporaryError):
    """The database cannot be reached or did not commit."""


class StoreFull(TemporaryError):
    """There is no room to store a message."""

    public = "insufficient system storage"


class RelayUnavailable(TemporaryError):
    """The next hop cannot be reached."""

    public = "next hop unavailable"


class RelayAmbiguous(TemporaryError):
    """The next hop fell silent after the final dot: it may or may not have the message."""

    public = "connection to next hop lost"


class Overloaded(TemporaryError):
    """Too many messages are in flight."""

    public = "too busy"


class StateUnavailable(TemporaryError):
    """The disk of the state folder fails."""


class ProviderFailed(TemporaryError):
    """The OpenID provider does not answer as it should."""


class MilterBroken(FilterdError):
    """The mail server does not speak the milter protocol as it should."""


class WebhookError(FilterdError):
    """A webhook call cannot be accepted."""

    public = "refused"


class SignatureInvalid(WebhookError):
    """The signature is missing, wrong, stale or replayed."""

    public = "invalid signature"


class CredentialsMissing(WebhookError):
    """There is no user name and password, and the provider may send them when it is asked (RFC 7617)."""

    public = "credentials required"


class Unsigned(WebhookError):
    """There is no signature, and the provider is known to leave it out at times and to try again."""

    public = "signature required"


class FetchNeeded(WebhookError):
    """The provider has to be asked for ``url`` before the call can be judged."""

    def __init__(self, url: str, is_usable: Callable[[bytes], bool] = bool) -> None:
        super().__init__(f"{url} is not at hand")
        self.url = url
        self.is_usable = is_usable
        """Whether an answer is what is needed; what is not is never kept."""


class PayloadInvalid(WebhookError):
    """The body does not hold what the provider documents."""

    public = "invalid payload"


class BundleError(FilterdError):
    """A model bundle cannot be used."""

    public = "model unavailable"


class ChecksumMismatch(BundleError):
    """A file of the bundle is not the one it was published with."""


class ContractMismatch(BundleError):
    """This version of filterd cannot serve the bundle."""


class SelfTestFailed(BundleError):
    """The bundle's probes do not come out as recorded."""
