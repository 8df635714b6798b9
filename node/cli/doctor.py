"""``startalk doctor``: is this node sound, and can others reach it? Each check is a line, ``ok``, ``warn`` or ``FAIL``.

The exit status is 1 if a line says FAIL, and 0 otherwise: a warning is something to know or to do, nothing is broken.

It changes nothing and runs beside a running node, which it then asks about other nodes, router and domain (surroundings.py).
``--quick`` only asks the running node for its health, which is what a container's health check wants.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.base import limits
from node.base.errors import Fatal, LocalError
from node.cli.boot import Data, load
from node.cli.calling import check_calls
from node.cli.findings import Finding, Level, Report

if TYPE_CHECKING:
    from node.client.admin import AdminClient
    from node.runtime.clock import Clock
    from node.runtime.config import Config
    from node.storage.heads import Signer

RELEASED_MS: Final = 1_767_225_600_000  # 2026-01-01: no clock that is right shows less
CLOCK_AHEAD_MS: Final = 5 * 60_000  # the newest entry may be this much later than now
TLS_DAYS_WARN: Final = 21
DISK_FREE_BYTES_WARN: Final = 1024**3


def doctor(
    data: Data = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only ask the running node whether it is well.")] = False,
    verify_log: Annotated[
        bool,
        typer.Option("--verify-log", help="Also recompute the hash chain of every room and check its signed head."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine the node, its data and its surroundings.

    Each line is ok, warn or FAIL. Exit status 1 if one is FAIL, else 0. Beside a running node it also tells how others reach it,
    and asks a linked node to call back.
    """
    from node.runtime.clock import SystemClock

    config = load(data)
    findings = check_health(config) if quick else examine(config, clock=SystemClock(), verify_log=verify_log)
    seen = []
    for finding in findings:
        seen.append(finding)
        if not as_json:
            print(f"{finding.level:<4}  {finding.text}", flush=True)
    failed = any(finding.level is Level.FAIL for finding in seen)
    if as_json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(Report(not failed, seen))).decode())
    if failed:
        raise typer.Exit(1)


def examine(config: Config, *, clock: Clock, verify_log: bool) -> Iterator[Finding]:
    """All checks."""
    from node.storage.keys import KeyFolder

    folder = config.folder
    if not KeyFolder.exists(folder):
        yield Finding(Level.FAIL, f"{folder} has no node yet; `startalk run` makes one.")
        return
    yield from _check_folder(folder)
    yield from _guarded(_check_keys(folder, clock))
    yield from _check_disk(folder)
    yield from _guarded(_check_database(folder, clock, verify_log=verify_log))
    yield from _guarded(_check_tls(config, clock))
    yield from check_calls(config)
    yield from _check_running(config)


def check_health(config: Config) -> Iterator[Finding]:
    """What the running node says of itself."""
    from node.client.admin import AdminClient

    try:
        health = AdminClient(config.folder).health()
    except LocalError as error:
        yield Finding(Level.FAIL, str(error))
        return
    level = Level.OK if health.status == "ok" else Level.FAIL
    why = f": {health.reason}" if health.reason else ""
    yield Finding(level, f"The node runs version {health.version} for {health.uptime_s} s and is {health.status}{why}.")


# --- single checks --------------------------------------------------------------------------------------


def _guarded(checks: Iterator[Finding]) -> Iterator[Finding]:
    """A check that cannot go on is itself a finding."""
    try:
        yield from checks
    except Fatal as fault:
        yield Finding(Level.FAIL, fault.text)


def _check_folder(folder: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Finding(Level.WARN, f"Others can look into {folder} (mode {mode:04o}). Run: chmod 700 {folder}")
    elif not os.access(folder, os.W_OK):
        yield Finding(Level.FAIL, f"{folder} cannot be written by this user.")
    else:
        yield Finding(Level.OK, f"The folder {folder} is private.")


def _check_keys(folder: Path, clock: Clock) -> Iterator[Finding]:
    from node.services.identity import Identity
    from node.storage.keys import KeyFolder

    identity = Identity(folder=KeyFolder(folder), clock=clock)
    yield Finding(Level.OK, f"The keys of node {identity.text} are whole and private.")
    now_ms = clock.now_ms()
    if now_ms < max(RELEASED_MS, identity.cert.nbf * 1000):
        yield Finding(Level.FAIL, "The clock of this machine is far behind; set it, for example with NTP.")
    else:
        yield Finding(Level.OK, "The clock is plausible.")
    if identity.renewal_due:
        yield Finding(
            Level.WARN,
            "The certificate of the op key ends within half a year; stop the node and run `startalk identity move`.",
        )
    if identity.fenced:
        yield Finding(Level.FAIL, identity.fenced)
    if identity.revoked:
        yield Finding(Level.WARN, "This identity was revoked: nobody trusts it any more.")
    if identity.phrase_pending:
        yield Finding(Level.WARN, "The recovery phrase waits to be written down; the owner finds it after signing in.")


def _check_disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    shown = f"{free / 1024**3:.1f} GiB are free on the disk of {folder}"
    if free < limits.DISK_FREE_BYTES_MIN:
        yield Finding(Level.FAIL, f"{shown}: the node takes no more messages until there is space.")
    elif free < DISK_FREE_BYTES_WARN:
        yield Finding(Level.WARN, f"{shown}; make some space soon.")
    else:
        yield Finding(Level.OK, f"{shown}.")


def _check_database(folder: Path, clock: Clock, *, verify_log: bool) -> Iterator[Finding]:
    from node.storage import checkup

    damages = checkup.find_damage(folder)
    for damage in damages:
        yield Finding(Level.FAIL, f"The database is damaged: {damage}")
    if damages:
        return
    yield Finding(Level.OK, f"The database file is sound, schema {checkup.schema(folder)}.")
    yield from _check_restored(folder)
    ahead_ms = checkup.last_entry_ms(folder) - clock.now_ms()
    if ahead_ms > CLOCK_AHEAD_MS:
        yield Finding(
            Level.WARN, f"The newest message lies {ahead_ms // 1000} s in the future: the clock was or is wrong."
        )
    if verify_log:
        logs = checkup.verify_logs(folder, _signer(folder))
        for fault in logs.faults:
            yield Finding(Level.FAIL, f"Room {fault.room.hex()[:16]}, entry {fault.idx}: {fault.text}.")
        if not logs.faults:
            yield Finding(
                Level.OK,
                f"The hash chains of {logs.rooms} rooms with {logs.entries} entries hold, and so do the signed heads.",
            )


def _check_restored(folder: Path) -> Iterator[Finding]:
    from node.storage.database import RESTORED

    if (folder / RESTORED).exists():
        yield Finding(
            Level.WARN,
            "This copy came from a backup: each chat that this node orders takes messages again once a majority of its other nodes was "
            "asked what the backup lacks. If they are gone for good, stop the node and run `startalk identity move --alone`.",
        )


def _signer(folder: Path) -> Signer:
    """Whose signature the heads of this node's rooms must have."""
    from node.storage.heads import Signer
    from node.storage.keys import KeyFolder
    from node.wire import keys

    identity = KeyFolder(folder).identity
    earlier = tuple((cert.op, cert.incarnation) for cert in reversed(identity.retired))
    return Signer(identity.cert.op, keys.node_id(identity.inception), identity.cert.incarnation, earlier)


def _check_tls(config: Config, clock: Clock) -> Iterator[Finding]:
    from node.runtime import tls
    from node.storage import keys

    own = config.folder / keys.FOLDER / keys.TLS / tls.FILE
    cert = Path(config.tls_cert) if config.tls_cert else own
    if not config.https or (not config.tls_cert and not own.exists()):
        return
    tls.server_context(cert, Path(config.tls_key) if config.tls_key else None)
    left = tls.days_left(cert, clock=clock)
    if left < 0:
        yield Finding(Level.FAIL, f"The TLS certificate {cert} has ended.")
    elif left < TLS_DAYS_WARN:
        yield Finding(Level.WARN, f"The TLS certificate {cert} ends in {left} days.")
    else:
        yield Finding(Level.OK, f"The TLS certificate is good for {left} days.")
    names = tls.names(cert)
    if config.domain and not tls.covers(names, config.domain):
        yield Finding(
            Level.WARN,
            f"The TLS certificate {cert} does not name {config.domain}, but {', '.join(names) or 'nothing'}. Get one for the domain.",
        )


def _check_running(config: Config) -> Iterator[Finding]:
    from node.cli.surroundings import look_around
    from node.client.admin import AdminClient
    from node.storage.lock import is_locked

    if is_locked(config.folder):
        yield from check_health(config)
        admin = AdminClient(config.folder)
        yield from _check_owner(admin)
        yield from look_around(admin, config)
        return
    yield Finding(Level.OK, "No node runs on this folder.")
    for wanted, host, port in (
        (config.https, config.https_host, config.https_port),
        (config.http, config.http_host, config.http_port),
    ):
        if wanted and port:
            yield _check_port(host, port)
    for wanted, port in ((config.dht, config.dht_port), (config.calls, config.media_port)):
        if wanted and port:
            yield _check_port("", port, kind=socket.SOCK_DGRAM)


def _check_owner(admin: AdminClient) -> Iterator[Finding]:
    from node.wire.api.account import NodeInfo

    try:
        info = admin.get("/node", NodeInfo)
    except LocalError:
        return
    if info.setup == "owner_needed":
        yield Finding(Level.WARN, "The node has no owner yet; the link was printed when it started.")


def _check_port(host: str, port: int, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = f"Port {port} on {host}" if kind is socket.SOCK_STREAM else f"UDP port {port}"
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Finding(Level.FAIL, f"{name} cannot be used ({error.strerror}).")
    return Finding(Level.OK, f"{name} is free.")
