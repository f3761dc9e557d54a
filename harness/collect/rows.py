"""Users and submissions in a database: SQLite, or PostgreSQL. Each change is one transaction."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError, SQLAlchemyError

from harness import clock
from harness.errors import MachineError, StoreError, UsageError, one_line
from harness.schema.collect import ACCEPTED, REFUSED, WITHDRAWN, Held, User
from harness.typed import converted

VERSION = "1"
"""1 (0.1.0): first tables."""
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
BUSY_S = 20
TRIES, PAUSE_S = 10, 0.1
PAGE = 1000

META = MetaData()
ABOUT = Table("about", META, Column("name", String(40), primary_key=True), Column("value", String(200), nullable=False))
USERS = Table(
    "users",
    META,
    Column("name", String(64), primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("keys", JSON, nullable=False),
    Column("added", String(40), nullable=False),
)
BUNDLES = Table(
    "bundles",
    META,
    Column("submission", String(26), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("received", String(40), nullable=False),
    Column("superseded_by", String(26)),
    *(
        Column(name, String, nullable=False)
        for name in ("run", "result", "recipe", "model", "engine", "harness_version", "signed_by")
    ),
    Index("bundles_of_run", "user", "run"),
)
TABLES = (ABOUT, USERS, BUNDLES)
_B = BUNDLES.c
_SHOWN = (_B.state == ACCEPTED) & _B.superseded_by.is_(None)


class Taken(Exception):
    """Another row has this name."""


class Rows:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.writing = engine.execution_options(writing=True)

    def close(self) -> None:
        """What SQLite keeps beside its file goes into it."""
        self.engine.dispose()

    def add_user(self, user: User, token: str) -> None:
        """Raises `Taken`."""
        try:
            with self.writing.begin() as db:
                db.execute(insert(USERS).values(**msgspec.to_builtins(user), token_sha256=_hash(token)))
        except IntegrityError:
            raise Taken from None

    def remove_user(self, name: str) -> bool:
        with self.writing.begin() as db:
            return db.execute(delete(USERS).where(USERS.c.name == name)).rowcount > 0

    def users(self) -> list[User]:
        return [_user(row) for row in self._all(select(USERS).order_by(USERS.c.name))]

    def of_token(self, token: str) -> User | None:
        """Looked up by the token's hash, which tells nothing of it; the last word has a comparison in constant time."""
        digest = _hash(token)
        found = self._all(select(USERS).where(USERS.c.token_sha256 == digest))
        return _user(found[0]) if found and hmac.compare_digest(found[0].token_sha256, digest) else None

    def find(self, submission: str) -> Held | None:
        found = self._all(select(BUNDLES).where(_B.submission == submission))
        return _held(found[0]) if found else None

    def keep(self, held: Held, forget_before: str = "") -> None:
        """A new row, in place of the refusal that this submission had. An accepted one takes the place of the same run of the same
        user. Refusals that are older than `forget_before` go. Raises `Taken`."""
        old = (_B.submission == held.submission) | (_B.received < forget_before)
        try:
            with self.writing.begin() as db:
                db.execute(delete(BUNDLES).where(_B.state == REFUSED, old))
                db.execute(insert(BUNDLES).values(**msgspec.to_builtins(held)))
                if held.state == ACCEPTED:
                    same = (_B.user == held.user) & (_B.run == held.run) & (_B.submission != held.submission)
                    db.execute(update(BUNDLES).where(_SHOWN, same).values(superseded_by=held.submission))
        except IntegrityError:
            raise Taken from None

    def withdraw(self, submission: str) -> None:
        """What is known of it goes, but for who sent it and which bytes they were."""
        empty = dict.fromkeys(("result", "recipe", "model", "engine", "harness_version", "signed_by"), "")
        with self.writing.begin() as db:
            db.execute(update(BUNDLES).where(_B.submission == submission).values(state=WITHDRAWN, reasons=[], **empty))

    def holds(self, sha256: str) -> bool:
        """Whether an accepted submission has these bytes."""
        return bool(self._all(select(_B.submission).where(_B.state == ACCEPTED, _B.sha256 == sha256).limit(1)))

    def digests(self) -> dict[str, int]:
        """Of all accepted submissions, with their bytes."""
        return {row.sha256: row.bytes for row in self._all(select(_B.sha256, _B.bytes).where(_B.state == ACCEPTED))}

    def shown(self) -> list[Held]:
        """All that the site shows."""
        return [_held(row) for row in self._all(select(BUNDLES).where(_SHOWN).order_by(_B.received, _B.submission))]

    def page(self, after: str, limit: int = PAGE) -> list[Held]:
        """Of what the site shows, by submission."""
        query = select(BUNDLES).where(_SHOWN, _B.submission > after).order_by(_B.submission).limit(limit)
        return [_held(row) for row in self._all(query)]

    def every(self) -> list[Held]:
        """Refused and withdrawn ones, too, oldest first."""
        return [_held(row) for row in self._all(select(BUNDLES).order_by(_B.received, _B.submission))]

    def _all(self, query: Any) -> Sequence[Row[Any]]:
        with self.engine.connect() as db:
            return db.execute(query).all()


def opened(url: str) -> Rows:
    """Makes the tables where there are none. Raises `UsageError` for an address that is none, `MachineError` without its driver or where
    nobody answers, `StoreError` for another harness's tables."""
    try:
        address = make_url(url)
        driver = DRIVERS[address.drivername]
    except (ArgumentError, ValueError, KeyError):
        raise UsageError(
            "--db: it is the address of no database that the collector knows",
            "write it like postgresql://collector@localhost/collector; without --db it is SQLite in the folder",
        ) from None
    shown = address.render_as_string(hide_password=True)
    try:
        engine = create_engine(address.set(drivername=driver), connect_args={"timeout": BUSY_S} if driver == "sqlite" else {})
        if driver == "sqlite":
            event.listen(engine, "connect", _sqlite)
            event.listen(engine, "begin", _begin)
        _ready(engine, shown)
    except (ImportError, NoSuchModuleError):
        raise MachineError("PostgreSQL needs psycopg, which is not installed", "pip install 'psycopg[binary]'") from None
    except OperationalError as error:
        why = one_line(str(error.orig).strip().splitlines()[-1])
        raise MachineError(f"{shown}: {why}", "see that it is there and that this user may write to it") from None
    except SQLAlchemyError as error:
        raise StoreError(f"{shown}: {one_line(str(error).splitlines()[0])}", "it is no database of a collector") from None
    return Rows(engine)


def copy(source: Rows, target: Rows) -> list[Held]:
    """All rows as they are at one moment, into tables that are empty but for their version. Gives the submissions. Raises `StoreError`."""
    with _still(source.engine) as db, target.writing.begin() as to:
        if any(to.execute(select(table).limit(1)).first() for table in (USERS, BUNDLES)):
            raise StoreError("this collector has users or bundles already", "restore into one that is new")
        for table in (USERS, BUNDLES):
            rows = [dict(row._mapping) for row in db.execute(select(table))]
            for start in range(0, len(rows), PAGE):
                to.execute(insert(table), rows[start : start + PAGE])
        return [_held(row) for row in to.execute(select(BUNDLES))]


@contextmanager
def _still(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one moment, whatever is written meanwhile: so does each of SQLite's in WAL mode."""
    with engine.connect() as db:
        if engine.dialect.name == "postgresql":
            db = db.execution_options(isolation_level="REPEATABLE READ")
        with db.begin():
            yield db


def _ready(engine: Engine, shown: str) -> None:
    """Two processes that begin with a new database at the same moment both want to make its tables: whoever loses that looks again."""
    for left in reversed(range(TRIES)):
        try:
            with engine.execution_options(writing=True).begin() as db:
                META.create_all(db)
                _same_version(db, shown)
            return
        except SQLAlchemyError:
            if not left:
                raise
            clock.sleep(PAUSE_S)


def _same_version(db: Connection, shown: str) -> None:
    found = db.execute(select(ABOUT.c.value).where(ABOUT.c.name == "version")).scalar()
    if found is None:
        db.execute(insert(ABOUT).values(name="version", value=VERSION))
    elif found != VERSION:
        raise StoreError(
            f"{shown}: its tables are version {found}, this harness has {VERSION}", "serve it with a newer harness"
        )


def _sqlite(connection: Any, _: object) -> None:
    """Transactions are begun by us, not by the driver at the first write: two reads in one see the same. FULL: what was answered outlives
    a power cut."""
    connection.isolation_level = None
    for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: Connection) -> None:
    """Whoever will write waits for the lock at once: having read, SQLite would not wait but fail."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")


def _hash(token: str) -> str:
    """Not a slow one: a token has 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _user(row: Row[Any]) -> User:
    return converted({str(name): value for name, value in row._mapping.items() if name != "token_sha256"}, User)


def _held(row: Row[Any]) -> Held:
    return converted({str(name): value for name, value in row._mapping.items()}, Held)
