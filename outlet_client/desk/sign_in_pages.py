"""The pages of signing in and out, the undertaking, one's own password and passkeys.

Invariant: whoever signs in gets a session made for it; nothing that the browser sent becomes one.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask

from outlet_client.desk.browser_marks import anonymous_mark, known_mark, with_anonymous_mark
from outlet_client.desk.form_handling import resumed
from outlet_client.desk.page_roles import HAVE_TODAY, MAY_LOOK_UP
from outlet_client.desk.site import redirect_to, render
from outlet_client.records.access_log import LogAct
from outlet_client.staff.accounts import SignInRefused, StaffRefused
from outlet_client.staff.passkeys import host_of
from outlet_client.staff.sign_in_throttle import MustWait

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit
    from outlet_client.staff.accounts import Account


def start(_site: Site, visit: Visit) -> Response:
    """The first page of whoever is signed in; what they were about to send, where that was kept."""
    decides = visit.account is not None and visit.account.role in HAVE_TODAY
    place = "/today" if decides else "/look-up"
    if visit.session is not None:
        if visit.session.resume:
            place, visit.session.resume = visit.session.resume, ""
        if visit.told:  # it is shown by a page, and this is none
            visit.session.pages.say(place, visit.told)
    return redirect_to(place)


def show_sign_in(site: Site, visit: Visit) -> Response:
    """Asks for name and password, or a passkey."""
    return redirect_to("/") if visit.account is not None else _asked(site, visit)


def sign_in(site: Site, visit: Visit) -> Response:
    """Checks name and password."""
    name = visit.typed("name")
    try:
        account = site.accounts.sign_in(name, visit.form.get("password", ""), visit.at)
    except SignInRefused as error:
        return _refused(site, visit, name, _asked(site, visit, HTTPStatus.UNAUTHORIZED, str(error)))
    except MustWait as error:
        return _asked(site, visit, HTTPStatus.TOO_MANY_REQUESTS, str(error))
    return _let_in(site, visit, account, "password")


def sign_in_by_passkey(site: Site, visit: Visit) -> Response:
    """Checks what a passkey signed."""
    challenge = site.challenges.take(anonymous_mark(site, visit), visit.at)
    try:
        name = site.passkeys.authenticate(
            visit.typed("credential"), visit.typed("answer"), challenge, visit.origin
        )
    except SignInRefused:
        words = "That passkey is not known here. Sign in with your password."
        return _asked(site, visit, HTTPStatus.UNAUTHORIZED, words)
    account = site.accounts.find(name)
    if account is None:
        return _asked(site, visit, HTTPStatus.UNAUTHORIZED, "There is no such account any more.")
    return _let_in(site, visit, account, "passkey")


def sign_out(site: Site, visit: Visit) -> Response:
    """Ends the session."""
    site.sessions.end(visit.cookies.get(site.cookie, ""))
    mark = anonymous_mark(site, visit)
    site.strangers.of(mark).say("/sign-in", "You are signed out.")
    gone = redirect_to("/sign-in")
    gone.delete_cookie(site.cookie, secure=site.is_secure, httponly=True, samesite="strict")
    return with_anonymous_mark(site, gone, mark)


def show_undertaking(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    """What staff undertake."""
    given = site.accounts.undertook(visit.name, site.undertaking)
    before = site.accounts.undertaken(visit.name)
    return render(
        "undertaking.html", site, visit, status, text=site.undertaking, given=given, before=before,
        error=error,
    )  # fmt: skip


def undertake(site: Site, visit: Visit) -> Response:
    """Keeps that it was undertaken."""
    if visit.typed("agree") != "yes" or visit.typed("digest") != site.undertaking.digest:
        words = "Tick the box to go on. Without the undertaking nobody is looked up."
        return show_undertaking(site, visit, HTTPStatus.BAD_REQUEST, words)
    version = site.undertaking.version
    site.log(visit.at, LogAct.UNDERTAKING, visit.name, about=version, outcome="given")
    site.accounts.undertake(visit.name, site.undertaking, visit.at)
    return redirect_to("/", f"Kept: you gave the undertaking, version {version}.")


def show_account(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "", at: str = ""
) -> Response:
    """One's own password and passkeys; `at` is the field that an error is about."""
    account = _signed_in(visit)
    options, challenge = site.passkeys.registration(account, host_of(visit.origin))
    site.challenges.keep(_mark(visit), challenge, visit.at)
    return render(
        "account.html", site, visit, status, passkeys=site.passkeys.of(account.name),
        options=options, error=error, at=at, looks=account.role in MAY_LOOK_UP,
    )  # fmt: skip


def change_password(site: Site, visit: Visit) -> Response:
    """Changes one's own password; every other session of the account ends."""
    new = visit.form.get("new", "")
    if new != visit.form.get("again", ""):
        words = "The two new passwords differ. Type the same twice."
        return show_account(site, visit, HTTPStatus.BAD_REQUEST, words, "again")

    def log() -> None:
        site.log(visit.at, LogAct.STAFF, visit.name, about="own password", outcome="changed")

    try:
        old = visit.form.get("old", "")
        account = site.accounts.change_password(visit.name, old, new, visit.at, log)
    except SignInRefused:
        given = _signed_in(visit).temporary
        words = f"The {'password you were given' if given else 'old password'} is wrong."
        page = show_account(site, visit, HTTPStatus.BAD_REQUEST, words, "old")
        return _refused(site, visit, visit.name, page)
    except StaffRefused as error:
        return show_account(site, visit, HTTPStatus.BAD_REQUEST, str(error), "new")
    except MustWait as error:
        return show_account(site, visit, HTTPStatus.BAD_REQUEST, str(error))
    said = "Your password is changed. Wherever else you were signed in, you are no more."
    return _with_session(site, visit, account, said)


def make_passkey(site: Site, visit: Visit) -> Response:
    """Keeps a passkey that the browser made."""
    challenge = site.challenges.take(_mark(visit), visit.at)
    account, answer, label = _signed_in(visit), visit.typed("answer"), visit.typed("label")
    logged = site.logged(visit.at, LogAct.STAFF, visit.name, about="own passkey", outcome="added")
    try:
        with logged:
            site.passkeys.register(account, answer, challenge, visit.origin, label, visit.at)
    except StaffRefused as error:
        return show_account(site, visit, HTTPStatus.BAD_REQUEST, str(error))
    return redirect_to("/account", "The passkey is made: it signs you in from now on.")


def remove_passkey(site: Site, visit: Visit) -> Response:
    """Takes one of one's own passkeys away."""
    with site.logged(visit.at, LogAct.STAFF, visit.name, about="own passkey", outcome="removed"):
        site.passkeys.remove(visit.name, visit.typed("credential"))
    return redirect_to("/account", "The passkey is taken away.")


def _asked(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = ""
) -> Response:
    mark = anonymous_mark(site, visit)
    options, challenge = site.passkeys.authentication(host_of(visit.origin))
    site.challenges.keep(mark, challenge, visit.at)
    page = render(
        "sign_in.html", site, visit, status, form=mark, error=error, name=visit.typed("name"),
        options=options, draft=visit.typed("draft"),
    )  # fmt: skip
    return with_anonymous_mark(site, page, mark)


def _let_in(site: Site, visit: Visit, account: Account, how: str) -> Response:
    site.log(visit.at, LogAct.SIGN_IN, account.name, about=how, outcome="signed in")
    return _with_session(site, visit, account)


def _with_session(site: Site, visit: Visit, account: Account, said: str = "") -> Response:
    gone = redirect_to("/")
    site.sessions.end(visit.cookies.get(site.cookie, ""))
    site.strangers.forget(known_mark(site, visit))
    made = site.sessions.begin(account, visit.at)
    if (session := site.sessions.find(made, visit.at)) is not None:
        draft = visit.typed("draft")
        session.resume = resumed(site, account.name, draft, session.pages, visit)
        if said:
            session.pages.say("/", said)
    gone.set_cookie(site.cookie, made, httponly=True, samesite="strict", secure=site.is_secure)
    return gone


def _refused(site: Site, visit: Visit, typed: str, page: Response) -> Response:
    # Behind the answer: it takes time and may fail, and is done for names that there are only.
    page.background = BackgroundTask(_log_lock_out, site, visit, typed)
    return page


def _log_lock_out(site: Site, visit: Visit, typed: str) -> None:
    """Logs that an account is locked out; a name that there is not could be anything."""
    if site.accounts.locked(typed, visit.at):
        with suppress(StaffRefused):
            name = site.accounts.named(typed).name
            site.log(visit.at, LogAct.LOCK_OUT, name, outcome="locked out")


def _signed_in(visit: Visit) -> Account:
    if visit.account is None:
        raise LookupError("visit: nobody is signed in")
    return visit.account


def _mark(visit: Visit) -> str:
    return "" if visit.session is None else visit.session.csrf
