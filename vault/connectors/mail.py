"""Sending what people are written: SMTP (RFC 5321) over TLS, or in clear to a relay on this machine alone.

`smtps://` is TLS from the beginning, `smtp+starttls://` from before anything is said (RFC 3207); where that cannot be had nothing
is sent. What goes wrong is told by a word; addresses and texts are in no log and no error.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from threading import Timer
from typing import Final
from urllib.parse import urlsplit

from vault.connectors.signing_keys import is_loopback
from vault.errors import Fault, InvalidValue
from vault.rights.letters import Mail, Mailed

PATIENCE_S: Final = 20.0
WHOLE_S: Final = 60.0  # of one message, whatever a relay does
SCHEMES: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class Mailer:
    """A relay. Raises InvalidValue for an address it may not be reached by, and for credentials that are no two lines."""

    def __init__(self, url: str, sender: str, credentials: Path | None, trust: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname or parts.username is not None or parts.password is not None:
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_MAIL_URL", "url.scheme")])
        if parts.scheme == "smtp" and not is_loopback(url):
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_MAIL_URL", "url.clear")])
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port or SCHEMES[parts.scheme]
        self._sender, self._trust = sender, trust or ssl.create_default_context()
        self._signed_in_as = _credentials(credentials) if credentials is not None else None

    def __call__(self, mail: Mail) -> Mailed:
        """Send one message; never raises for what the relay does."""
        try:
            relay = self._connected()
            try:
                self._hand_over(relay, mail)
            finally:
                _leave(relay)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return Mailed("refused", final=all(code >= 500 for code in codes))
        except smtplib.SMTPNotSupportedError:
            return Mailed("no-tls")
        except smtplib.SMTPResponseException as error:
            return Mailed("relay", final=isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500)
        except (OSError, smtplib.SMTPException):
            return Mailed("unreachable")
        except (UnicodeError, ValueError):
            return Mailed("address", final=True)
        return Mailed()

    def _hand_over(self, relay: smtplib.SMTP, mail: Mail) -> None:
        if self._scheme == "smtp+starttls":
            relay.starttls(context=self._trust)
        if self._signed_in_as is not None:
            relay.login(*self._signed_in_as)
        relay.send_message(_message(self._sender, mail), self._sender, [mail.to])

    def _connected(self) -> smtplib.SMTP:
        if self._scheme == "smtps":
            return _BoundedTls(self._host, self._port, timeout=PATIENCE_S, context=self._trust)
        return _Bounded(self._host, self._port, timeout=PATIENCE_S)


class _Bounded(smtplib.SMTP):
    """A conversation that is over after WHOLE_S: what the library bounds is the wait for each byte, and a relay may send many."""

    _ending: Timer | None = None
    _made: socket.socket | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._made = made.dup()  # TLS will take the other over
        self._ending = Timer(WHOLE_S, _end, (self._made,))
        self._ending.daemon = True
        self._ending.start()
        return made

    def close(self) -> None:
        """Close it, and wait for its end no more."""
        super().close()
        if self._ending is not None and self._made is not None:
            self._ending.cancel()
            self._made.close()


class _BoundedTls(smtplib.SMTP_SSL, _Bounded):
    """The same over TLS from the beginning."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        try:
            made: socket.socket = super()._get_socket(host, port, timeout)
        except (OSError, ValueError):  # nobody has this conversation yet, to close it
            self.close()
            raise
        return made


def _leave(relay: smtplib.SMTP) -> None:
    """Say goodbye. Whatever is answered changes nothing of what was taken before."""
    with suppress(OSError, smtplib.SMTPException):
        relay.quit()
    relay.close()


def _end(made: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        made.shutdown(socket.SHUT_RDWR)


def _message(sender: str, mail: Mail) -> EmailMessage:
    message = EmailMessage(SMTP)
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    message["Date"], message["Message-ID"] = formatdate(), f"<{mail.message_id}@{sender.rpartition('@')[2]}>"
    message["Content-Language"], message["Auto-Submitted"] = mail.language, "auto-generated"  # RFC 3834: nobody's robot answers
    message.set_content(mail.text)
    return message


def _credentials(path: Path) -> tuple[str, str]:
    try:
        user, password = path.read_text().splitlines()
    except (OSError, ValueError):
        raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_MAIL_CREDENTIALS", "file.form")]) from None
    return user, password
