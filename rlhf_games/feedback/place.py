"""Where the store of a run is, when it is not in the run's folder: ``store.json``. Imports neither SQLAlchemy nor JAX.

Passwords stay in memory: what is written to a file or a screen is the address without them, and `secret_of` knows the rest in the process
that was told. Elsewhere PostgreSQL's own ways apply: PGPASSWORD, ``~/.pgpass``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json

FILE = "store.json"
_SECRET_FIELDS = ("password", "sslpassword")
_ACCOUNT = re.compile(r"(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@")
"""What stands before the host. A password ends at the first @ and may hold everything else, ? and / too."""
_TAIL = re.compile(r"(?P<address>.*?)(?:\?(?P<query>[^@/?=]*=.*))?", re.DOTALL)
"""Host, port and database; then settings, name=value&name=value."""
_FILE_URL = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>(?!:memory:)[^?]+)(?:\?.*)?")
"""An SQLite database's; what follows ? says nothing to a store."""
_secrets: dict[str, str] = {}
"""Full addresses by what is left of them without passwords."""


class Place(NamedTuple):
    """A run's part of a store."""

    store: str
    """Path or URL, without a password."""
    session: str
    """The run's questions carry this name; no other run's do."""


def read_place(folder: Path) -> Place | None:
    """Where the store of the run in ``folder`` is; None where the folder does not say (then it is in the folder).

    Raises:
      UserError: the file is damaged.
    """
    path = folder / FILE
    try:
        table = parse_json(path.read_bytes())
        place = Place(table["store"], table["session"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): it says where the run's store is; copy it back from a backup") from error
    if not all(isinstance(text, str) and text for text in place):
        raise UserError(f"{path} is damaged: store and session must be text; copy it back from a backup")
    return place


def place_text(place: Place) -> str:
    """What `read_place` reads."""
    return json.dumps({"store": without_password(place.store), "session": place.session}, indent=1) + "\n"


def resolve(target: str) -> str:
    """A path or URL of a store as it is found from everywhere, without its passwords, which this process remembers.

    The folder of a run means that run's store.
    """
    if file := _FILE_URL.fullmatch(target):
        return str(Path(file["path"]).resolve())
    if "://" in target:
        return keep_secret(target)
    path = Path(target).expanduser()
    if not path.is_dir():
        return str(path.resolve())
    place = read_place(path)
    return str((path / "store.sqlite").resolve()) if place is None else place.store


class _Parts(NamedTuple):
    """A database's address, each part as it stands there."""

    scheme: str
    user: str | None
    password: str | None
    address: str
    """Host, port and database."""
    query: str | None


def _parts(target: str) -> _Parts | None:
    """Takes an address apart as SQLAlchemy does; None for a path, or the URL of a file. What is left after a password and holds an @ was
    meant as a part of that password.
    """
    scheme, found, rest = target.partition("://")
    if not found or scheme.startswith("sqlite"):
        return None
    account = _ACCOUNT.match(rest)
    user, password = (account["user"], account["password"]) if account else (None, None)
    tail = re.fullmatch(_TAIL, rest[account.end() :] if account else rest)
    address, query = (tail["address"], tail["query"]) if tail else (rest, None)
    if password is not None and "@" in address:
        more, _, address = address.rpartition("@")
        password += f"@{more}"
    return _Parts(scheme, user, password, address, query)


def without_password(target: str) -> str:
    """A path or URL as it may be shown and written."""
    parts = _parts(target)
    if parts is None:
        return target
    kept = [part for part in (parts.query or "").split("&") if part and not _secret(part)]
    user = "" if parts.user is None else f"{parts.user}@"
    return f"{parts.scheme}://{user}{parts.address}{'?' if kept else ''}{'&'.join(kept)}"


def _secret(part: str) -> bool:
    """Whether a part ``name=value`` of a query is a password."""
    return unquote_plus(part.partition("=")[0]).lower() in _SECRET_FIELDS


def keep_secret(target: str) -> str:
    """``target`` without its passwords, which this process remembers."""
    public = without_password(target)
    if public != target:
        _secrets[public] = target
    return public


def secret_of(target: str) -> str:
    """The address with the passwords that this process was told for it, if it was."""
    return _secrets.get(target, target)


def password_of(target: str) -> str | None:
    """The password that this process was told for an address, for a process that it starts."""
    parts = _parts(secret_of(target))
    return unquote(parts.password) if parts is not None and parts.password is not None else None
