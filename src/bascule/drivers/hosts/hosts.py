"""``ports.vault.hosts`` on SQLite or PostgreSQL."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from bascule.model.errors import Missing, Refused
from bascule.model.vault.commands import Command, Json, Report, Result
from bascule.ports.vault.hosts import Claim, HostState, Order, RegistrationKey, Sighting
from bascule.ports.vault.pki import Certificate

from .tables import Database, Rows

# Four thousand groups of a host say about half of it.
_FACTS_CHARACTERS = 16 << 20
_NOBODY: Mapping[str, HostState] = MappingProxyType({})


class SqlHosts:
    """Hosts of a vault. Each verb is one transaction that locks first and looks then."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def trust(self, authority: str) -> None:
        """Remember by whose word hosts are let in; refuse another one's than the first time."""
        with self._database.write() as rows:
            known = rows.execute("SELECT text FROM authority").fetchone()
            if known is None:
                rows.execute("INSERT INTO authority VALUES (?)", (authority,))
            elif known[0] != authority:
                raise Refused(
                    "the hosts here joined by another authority than this server's",
                    cure="copy pki/ here from the folder of a server that they know",
                    code="another-authority",
                )

    def add_key(self, key: RegistrationKey) -> None:
        """Let hosts join by a key."""
        with self._database.write() as rows:
            rows.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (key.id, key.secret_digest, key.expires_at, key.host),
            )

    def register(self, claim: Claim, certificate: Certificate, now: float) -> str:
        """Let a host in by a key."""
        with self._database.write() as rows:
            replaces = _check_key(rows, claim, now)
            if _used_for(rows, claim, certificate.public_key):
                return _kept(rows, claim.host, certificate.public_key)
            if not replaces:
                _check_new(rows, claim.host)
            rows.execute(
                "INSERT INTO uses (key, host, public_key) VALUES (?, ?, ?)",
                (claim.key, claim.host, certificate.public_key),
            )
            rows.execute(
                "INSERT INTO hosts (id, name, registered_at, certificate, serial, public_key, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name=excluded.name,"
                " registered_at=excluded.registered_at, is_revoked=0, certificate=excluded.certificate,"
                " serial=excluded.serial, public_key=excluded.public_key, expires_at=excluded.expires_at,"
                " old_serial=''",
                (claim.host, claim.name, now, *_columns(certificate)),
            )
        return certificate.text

    def renew(self, old: Certificate, certificate: Certificate) -> str:
        """Give a host its next certificate."""
        with self._database.write() as rows:
            host = _host(rows, old.host)
            if host["old_serial"] == old.serial and host["public_key"] == certificate.public_key:
                return str(host["certificate"])
            if host["serial"] != old.serial:
                raise _superseded(old.host)
            rows.execute(
                "UPDATE hosts SET certificate=?, serial=?, public_key=?, expires_at=?, old_serial=?"
                " WHERE id=?",
                (*_columns(certificate), old.serial, old.host),
            )
        return certificate.text

    def admit(self, certificate: Certificate, now: float) -> None:
        """Refuse who may not come in."""
        with self._database.write(durable=False) as rows:
            host = _host(rows, certificate.host)
            if certificate.serial == host["serial"]:
                rows.execute(
                    "UPDATE hosts SET old_serial='' WHERE id=? AND old_serial<>''", (certificate.host,)
                )
            elif certificate.serial != host["old_serial"]:
                raise _superseded(certificate.host)
            rows.execute(
                "INSERT INTO sight (host, seen_at) VALUES (?, ?)"
                " ON CONFLICT (host) DO UPDATE SET seen_at=excluded.seen_at",
                (certificate.host, now),
            )

    def revoke(self, host: str) -> None:
        """Let a host in no more."""
        with self._database.write() as rows:
            if not rows.execute("UPDATE hosts SET is_revoked=1 WHERE id=?", (host,)).rowcount:
                raise _unknown(host)

    def give(self, host: str, order: str, verb: str, group: str, arguments: Mapping[str, Json]) -> Command:
        """Have a host do something."""
        with self._database.write() as rows:
            found = rows.execute(f"{_ORDERS} WHERE id=?", (order,)).fetchone()
            if found is not None:
                command = _order(found).command
                if (found[0], command.verb, command.group, command.arguments) != (
                    host,
                    verb,
                    group,
                    arguments,
                ):
                    raise Refused(f"order {order} was given already, and is another", code="order-differs")
                return command
            return add_order(rows, host, order, verb, group, arguments)

    def exchange(self, host: str, after: int, results: tuple[Result, ...], limit: int) -> tuple[Command, ...]:
        """Keep results, return what waits."""
        if results:
            with self._database.write() as rows:
                _host(rows, host)
                rows.executemany(
                    "UPDATE orders SET result=? WHERE host=? AND sequence=? AND id=? AND result IS NULL",
                    [(json.dumps(asdict(one)), host, one.sequence, one.id) for one in results],
                )
        with self._database.read() as rows:
            _host(rows, host)
            found = rows.execute(
                f"{_ORDERS} WHERE host=? AND sequence>? AND result IS NULL ORDER BY sequence LIMIT ?",
                (host, after, limit),
            ).fetchall()
        return tuple(_order(row).command for row in found)

    def report(self, report: Report, now: float) -> int:
        """Keep what a host says."""
        with self._database.write(durable=False) as rows:
            _host(rows, report.host)
            found = rows.execute("SELECT report, revision FROM sight WHERE host=?", (report.host,)).fetchone()
            kept, revision = found or (0, 0)
            if report.since not in (0, kept):
                return 0
            if report.since == 0:
                # Not one more: a database that lost its newest writes would count to the same numbers again,
                # over other facts, under a server that lives on. Its hosts say everything anew then.
                revision = max(revision, int(now * 1000))
            revision += _changes(report)
            if report.since == 0:
                rows.execute("DELETE FROM facts WHERE host=?", (report.host,))
            if report.machines is not None or report.since == 0:
                names = json.dumps(report.machines or {})
                rows.execute(_MACHINES, (report.host, names))
            for group, fields in report.groups.items():
                _merge(rows, report.host, group, fields, revision)
            rows.executemany(
                "UPDATE orders SET headway=? WHERE host=? AND id=? AND result IS NULL",
                [(json.dumps(asdict(far)), report.host, id) for id, far in report.errands.items()],
            )
            _check_size(rows, report.host)
            rows.executemany(
                "DELETE FROM facts WHERE host=? AND grp=?", [(report.host, group) for group in report.gone]
            )
            rows.execute(
                "INSERT INTO sight (host, seen_at, report, revision) VALUES (?, ?, ?, ?) ON CONFLICT (host)"
                " DO UPDATE SET seen_at=excluded.seen_at, report=excluded.report, revision=excluded.revision",
                (report.host, now, report.number, revision),
            )
        return report.number

    def all(self, known: Mapping[str, HostState] = _NOBODY) -> tuple[HostState, ...]:
        """Return all hosts."""
        states = []
        with self._database.read() as rows:
            found = rows.execute(
                "SELECT id, name, registered_at, expires_at, is_revoked, seen_at, coalesce(report, 0),"
                " coalesce(revision, 0),"
                " (SELECT key FROM uses WHERE host = hosts.id ORDER BY rowid DESC LIMIT 1)"
                " FROM hosts LEFT JOIN sight ON sight.host = hosts.id ORDER BY id"
            ).fetchall()
            for host, name, at, until, is_revoked, seen, number, revision, key in found:
                before = known.get(host)
                if before is not None and before.revision == revision:
                    said = (before.groups, before.machines)
                else:
                    said = _said(rows, host, before if before and before.revision < revision else None)
                stands = (host, name, at, until, bool(is_revoked), seen, number)
                states.append(HostState(*stands, said[0], key, said[1], revision))
        return tuple(states)

    def orders(self, host: str = "", *, only_open: bool = False) -> tuple[Order, ...]:
        """Return commands and what became of them."""
        which = " WHERE (?='' OR host=?)" + (" AND result IS NULL" if only_open else "")
        with self._database.read() as rows:
            found = rows.execute(f"{_ORDERS}{which} ORDER BY host, sequence", (host, host)).fetchall()
        return tuple(map(_order, found))

    def groups(self, host: str) -> frozenset[str]:
        """Return of which groups a host says something."""
        with self._database.read() as rows:
            found = rows.execute("SELECT grp FROM facts WHERE host=?", (host,)).fetchall()
        return frozenset(group for (group,) in found)

    def sightings(self) -> tuple[Sighting, ...]:
        """Return of all hosts how they stand, and nothing of what they said."""
        with self._database.read() as rows:
            found = rows.execute(
                "SELECT id, is_revoked, seen_at FROM hosts LEFT JOIN sight ON sight.host = hosts.id"
            ).fetchall()
        return tuple(Sighting(host, bool(is_revoked), seen) for host, is_revoked, seen in found)

    def forget(self, now: float, keep_seconds: float) -> int:
        """Forget commands whose result is old: as old as the first time that this was asked after it."""
        with self._database.write() as rows:
            rows.execute("UPDATE orders SET ended_at=? WHERE result IS NOT NULL AND ended_at IS NULL", (now,))
            gone = rows.execute("DELETE FROM orders WHERE ended_at<?", (now - keep_seconds,))
            return gone.rowcount


def add_order(
    rows: Rows, host: str, order: str, verb: str, group: str, arguments: Mapping[str, Json]
) -> Command:
    """Write the next command of a host down."""
    sequence = int(_host(rows, host)["last_sequence"]) + 1
    rows.execute("UPDATE hosts SET last_sequence=? WHERE id=?", (sequence, host))
    rows.execute(
        "INSERT INTO orders (host, sequence, id, verb, grp, arguments) VALUES (?, ?, ?, ?, ?, ?)",
        (host, sequence, order, verb, group, json.dumps(arguments)),
    )
    return Command(sequence, order, verb, group, arguments)


def refuse_stranger(rows: Rows, host: str) -> None:
    """Refuse a host that is not known, or revoked."""
    _host(rows, host)


def _check_key(rows: Rows, claim: Claim, now: float) -> str:
    """Refuse a key that is none, or none any more; return which host it may replace."""
    key = rows.execute("SELECT secret_digest, expires_at, host FROM keys WHERE id=?", (claim.key,)).fetchone()
    is_right = hmac.compare_digest(key[0] if key else "", claim.secret_digest)
    if not is_right or key[2] not in ("", claim.host):
        raise Refused("the registration key is not one of this vault's", cure=_NEW_KEY, code="unknown-key")
    if now >= key[1]:
        raise Refused("the registration key has expired", cure=_NEW_KEY, code="key-expired")
    return str(key[2])


def _check_new(rows: Rows, host: str) -> None:
    """A key for any host makes nobody a host that is there: its name is no secret."""
    if rows.execute("SELECT 1 FROM hosts WHERE id=?", (host,)).fetchone():
        cure = f"make a key for it: `bascule door key --host {host}`"
        raise Refused(f"host {host} is registered already", cure=cure, code="host-known")


def _used_for(rows: Rows, claim: Claim, public_key: str) -> bool:
    use = rows.execute(
        "SELECT public_key FROM uses WHERE key=? AND host=?", (claim.key, claim.host)
    ).fetchone()
    if use is not None and use[0] != public_key:
        message = f"the registration key was used for host {claim.host} already"
        raise Refused(message, cure=_NEW_KEY, code="key-used")
    return use is not None


def _kept(rows: Rows, host: str, public_key: str) -> str:
    """Return the certificate of a host that asks again; nothing that came since is undone by that."""
    found = _host(rows, host)
    if found["public_key"] != public_key:
        raise _superseded(host)
    return str(found["certificate"])


def _host(rows: Rows, host: str) -> dict[str, Any]:
    found = rows.execute("SELECT * FROM hosts WHERE id=?", (host,))
    row = found.fetchone()
    if row is None:
        raise _unknown(host)
    values = {column[0]: value for column, value in zip(found.description, row, strict=True)}
    if values["is_revoked"]:
        raise Refused(f"host {host} is revoked", cure=_NEW_KEY, code="revoked")
    return values


def _columns(certificate: Certificate) -> tuple[object, ...]:
    return certificate.text, certificate.serial, certificate.public_key, certificate.expires_at


def _merge(rows: Rows, host: str, group: str, fields: Mapping[str, Json], revision: int) -> None:
    """Change fields of a group. What they mean is for the reader to judge: a newer host may say more."""
    row = rows.execute("SELECT fields FROM facts WHERE host=? AND grp=?", (host, group)).fetchone()
    merged = json.dumps({**(json.loads(row[0]) if row else {}), **fields})
    rows.execute(_FACTS, (host, group, merged, revision))


def _changes(report: Report) -> bool:
    """Does a report change what is known of groups and machines? One of headway alone does not."""
    return not report.since or bool(report.groups or report.gone) or report.machines is not None


def _said(
    rows: Rows, host: str, before: HostState | None
) -> tuple[Mapping[str, Mapping[str, Json]], Mapping[str, Json]]:
    """Return what a host said of groups and machines, reading only what is newer than a state."""
    known, revision = (before.groups, before.revision) if before else ({}, -1)
    found = rows.execute(
        "SELECT grp, CASE WHEN revision>? THEN fields END FROM facts WHERE host=? ORDER BY grp",
        (revision, host),
    ).fetchall()
    groups = {group: known[group] if text is None else json.loads(text) for group, text in found}
    names = rows.execute("SELECT names FROM machines WHERE host=?", (host,)).fetchone()
    machines = json.loads(names[0]) if names else {}
    # Names alone were written before disks were said.
    return groups, machines if isinstance(machines, dict) else {name: [] for name in machines}


def _check_size(rows: Rows, host: str) -> None:
    (size,) = rows.execute("SELECT sum(length(fields)) FROM facts WHERE host=?", (host,)).fetchone()
    if (size or 0) > _FACTS_CHARACTERS:
        raise Refused(
            f"host {host} says more than {_FACTS_CHARACTERS} characters of itself", code="too-large"
        )


def _order(row: tuple[Any, ...]) -> Order:
    host, sequence, order, verb, group, arguments, result = row
    command = Command(sequence, order, verb, group, json.loads(arguments))
    return Order(host, command, Result(**json.loads(result)) if result else None)


_ORDERS = "SELECT host, sequence, id, verb, grp, arguments, result FROM orders"
_MACHINES = "INSERT INTO machines VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET names=excluded.names"
_FACTS = (
    "INSERT INTO facts (host, grp, fields, revision) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (host, grp) DO UPDATE SET fields=excluded.fields, revision=excluded.revision"
)
_NEW_KEY = "make a new one: `bascule door key`"


def _unknown(host: str) -> Missing:
    return Missing(f"no host {host} is registered", cure=_NEW_KEY, code="unknown-host")


def _superseded(host: str) -> Refused:
    return Refused(
        f"host {host} has a newer certificate than this one",
        cure="it was renewed or registered from elsewhere: if that was not you, revoke the host",
        code="superseded",
    )
