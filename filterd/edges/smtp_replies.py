"""What the SMTP edge itself says about the dialogue (RFC 5321 section 4.2.2, RFC 3463).

Replies about a message come from ``filterd.replies`` or from the next hop.
"""

from __future__ import annotations

from filterd.core.verdict import Reply


def _reply(code: int, enhanced: str, text: str) -> Reply:
    return Reply(code=code, enhanced=enhanced, lines=(text,))


OK = _reply(250, "2.0.0", "Ok")
BYE = _reply(221, "2.0.0", "Bye")
SENDER_OK = _reply(250, "2.1.0", "Ok")
RECIPIENT_OK = _reply(250, "2.1.5", "Ok")
SEND_DATA = Reply(code=354, lines=("End data with <CR><LF>.<CR><LF>",))
CANNOT_VERIFY = _reply(252, "2.1.5", "Cannot verify, but will take message and try delivery")

TOO_MANY_SESSIONS = _reply(421, "4.3.2", "Too many connections, try again later")
IDLE_TOO_LONG = _reply(421, "4.4.2", "Timeout, closing connection")
TOO_SLOW = _reply(421, "4.4.2", "Message arrives too slowly, closing connection")
TOO_MANY_ERRORS = _reply(421, "4.7.0", "Too many errors, closing connection")
MESSAGE_OVERRUN = _reply(421, "4.3.4", "Message far too large, closing connection")
BUSY = _reply(452, "4.3.2", "Too busy, try again later")
NO_ROOM = _reply(452, "4.3.1", "Insufficient system storage")
TOO_MANY_RECIPIENTS = _reply(452, "4.5.3", "Too many recipients")
REPORT_APART = _reply(452, "4.5.3", "Send reports in a message of their own")
TLS_NOT_AVAILABLE = _reply(454, "4.7.0", "TLS not available")

BAD_COMMAND = _reply(500, "5.5.2", "Command not recognized")
LINE_TOO_LONG = _reply(500, "5.5.2", "Command line too long")
BARE_NEWLINE = _reply(521, "5.5.2", "Commands end with <CR><LF>")
BAD_SYNTAX = _reply(501, "5.5.4", "Syntax error in argument")
BAD_ADDRESS = _reply(501, "5.1.3", "Malformed address")
BAD_ATTRIBUTES = _reply(501, "5.5.4", "Bad attribute")
NOT_IMPLEMENTED = _reply(502, "5.5.1", "Command not implemented")
HELO_FIRST = _reply(503, "5.5.1", "Send HELO or EHLO first")
NESTED_MAIL = _reply(503, "5.5.1", "Nested MAIL command")
MAIL_FIRST = _reply(503, "5.5.1", "Send MAIL first")
RCPT_FIRST = _reply(503, "5.5.1", "Send RCPT first")
NOT_IN_TRANSACTION = _reply(503, "5.5.1", "Not allowed within a mail transaction")
NOT_HTTP = _reply(521, "5.5.1", "This is not a web server")
TLS_TWICE = _reply(503, "5.5.1", "TLS already active")
TLS_FIRST = _reply(530, "5.7.0", "Must issue a STARTTLS command first")
NOT_AUTHORIZED = _reply(550, "5.7.0", "Not authorized")
TOO_LARGE = _reply(552, "5.3.4", "Message size exceeds fixed limit")
NEEDS_UTF8 = _reply(553, "5.6.7", "Address needs SMTPUTF8")
OUT_OF_STEP = _reply(554, "5.5.0", "SMTP protocol synchronization error")
NO_VALID_RECIPIENTS = _reply(503, "5.5.1", "No valid recipients")
RELAY_DENIED = _reply(554, "5.7.1", "Relay access denied")
NOT_A_REPORTER = _reply(550, "5.7.1", "Reports are not taken from you")
BAD_PARAMETER = _reply(555, "5.5.4", "Parameter not recognized or not implemented")
