"""`escapement-outlet mail`: whether a night can be mailed."""

from __future__ import annotations

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.errors import NotConfigured
from outlet_client.night.night_mail import mail_test
from outlet_client.settings import MailSettings

mail_app = typer.Typer(no_args_is_help=True, help="Mails that say how a night went.")


@mail_app.callback()
def group() -> None:
    """Mails that say how a night went."""


@mail_app.command("test")
def send_test(home: Home = HERE) -> None:
    """Sends a test mail, and says what went wrong.

    Ends with 0 where the server took it for everybody, 6 where the settings are wrong or have no
    [mail], 11 where it was not sent.
    """
    with failing():
        file = home / "escapement.toml"
        settings = MailSettings.read(file)
        if settings is None:
            raise NotConfigured(f"{file}: no [mail], expected host, sender, to; see docs/settings")
        mail_test(home, settings)
        say(f"Sent: {settings.host} took it for {len(settings.to)}. See whether it came.")
