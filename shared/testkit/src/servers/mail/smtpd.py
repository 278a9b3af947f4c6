"""Keeps every mail that it is sent in the Maildir of whom it is for. For tests.

Arguments: the directory of everything, the password of everybody, the ports without and with TLS.
"""

import asyncio
import os
import re
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

BIGGEST_MAIL = 64 * 1024 * 1024
PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,180}")


class Keeper:
    """Writes mails down before it says that it has them."""

    def __init__(self, mail):
        self.mail = mail
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if not PLAIN_ADDRESS.fullmatch(address):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        user = session.auth_data.login.decode() if session.authenticated else "-"
        has_tls = "true" if server.transport.get_extra_info("sslcontext") else "false"
        seen = f"X-Test-Session: tls={has_tls}; user={user}; from={envelope.mail_from}\r\n"
        for recipient in envelope.rcpt_tos:
            self.keep(recipient, seen.encode() + envelope.original_content)
        return "250 2.0.0 Kept"

    def keep(self, recipient, content):
        self.count += 1
        maildir = os.path.join(self.mail, recipient.lower(), "Maildir")
        for folder in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(maildir, folder), exist_ok=True)
        name = f"{time.time_ns():020}.{os.getpid()}_{self.count}.test"
        written = os.path.join(maildir, "tmp", name)
        with open(written, "wb") as file:
            file.write(content)
        os.rename(written, os.path.join(maildir, "new", name))


async def serve(directory, password, port, tls_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{directory}/certificate.pem", f"{directory}/key.pem")
    keeper = Keeper(f"{directory}/mail")

    def check(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and data.password.decode() == password
        return AuthResult(success=known, handled=False, auth_data=data if known else None)

    def smtp(tls_context):
        return SMTP(
            keeper,
            hostname="mail.test",
            ident="test",
            tls_context=tls_context,
            authenticator=check,
            auth_require_tls=False,
            data_size_limit=BIGGEST_MAIL,
        )

    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: smtp(context), "127.0.0.1", port)
    await loop.create_server(lambda: smtp(None), "127.0.0.1", tls_port, ssl=context)
    await asyncio.Event().wait()


asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
