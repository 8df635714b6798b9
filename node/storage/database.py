"""One SQLite file, one writer with group commit, and readers that see only what is on disk.

`write(fn)` queues a plain function ``fn(tx)``. Waiting functions run one after the other inside one
transaction *on the event loop*; then the transaction is committed (and fsynced: WAL, ``synchronous=FULL``) on a
thread while the loop goes on; then every caller is answered. So an answer means *on disk*, a slow disk makes
bigger batches, not a longer queue, and no other code runs between a function's reads and its writes. Why not run the
functions on the thread too: docs/adr/0003.

Who waits is served in fair turns (turns.py): a peer that brings much delays neither people here nor other peers by more than its share.

A function must be short, may run twice (if a neighbour in its batch fails, the batch is undone and its
members run again one by one), and must raise `Rejected` before its first change.

`view(fn)` reads at once on the loop, for bounded look-ups by key; `read(fn)` runs on a reader thread, for the long ones.
Both see committed data only.

Trouble with the disk turns the database read-only: writes are refused with `read_only`, nothing that was acknowledged
is lost, `trouble` says why, and full disks are tried again.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from node.base import limits
from node.base.errors import Code, ExitStatus, Fatal, Rejected
from node.base.ids import NodeId
from node.runtime.clock import Clock
from node.storage import migrations
from node.storage.turns import Turns

T = TypeVar("T")
Params = tuple[Any, ...]

FILE: Final = "startalk.db"
RESTORED: Final = (
    "restored"  # beside it in a copy from a backup, until others were asked what it lacks (services/restoring.py)
)
RETRY_S: Final = 5.0  # a full disk is tried again this often
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -16384",
)

# `sqlite3` looks for a conversion of every parameter that is not a number or text: for bytes and None it ends in two failed attribute
# look-ups, a third of the time of binding. These give them as they are.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), dict[None, None]().get)


class Tx:
    """What a function of a transaction may use. Valid only while the function runs."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.execute: Final = conn.execute
        self.executemany: Final = conn.executemany
        self._before: dict[Hashable, Callable[[], None]] = {}
        self._after: list[Callable[[], None]] = []

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """First row, or None."""
        row: tuple[Any, ...] | None = self.execute(sql, params).fetchone()
        return row

    def all(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """Every row."""
        return self.execute(sql, params).fetchall()

    def before_commit(self, key: Hashable, action: Callable[[], None]) -> None:
        """Runs `action` once at the end of the batch, whoever asked for `key` first."""
        self._before.setdefault(key, action)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Runs `action` on the loop once the batch is on disk; never when it failed."""
        self._after.append(action)


class _Job(Generic[T]):
    __slots__ = ("done", "error", "fn", "result")

    def __init__(self, fn: Callable[[Tx], T], done: Callable[[T | None, Exception | None], None]) -> None:
        self.fn = fn
        self.done = done
        self.result: T | None = None
        self.error: Exception | None = None


class Database:
    """Open it, give it functions, close it. One object for one file."""

    def __init__(self, *, path: Path, clock: Clock) -> None:
        self.path = path
        self.trouble = ""  # why writes are refused; empty when all is well
        self.commits = 0
        self.writes = 0
        self._clock = clock
        self._queue: Turns[_Job[Any]] = Turns()
        self._busy = False
        self._final = False
        self._retry_at = 0.0
        self._aborted: list[Callable[[], None]] = []
        self._idle: asyncio.Event | None = None
        self._committer: Executor = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._readers: Executor = ThreadPoolExecutor(limits.READERS, thread_name_prefix="reader")
        self._conn = _open(path)
        self._view = _open_reader(path)
        self._view_tx = Tx(self._view)
        self._spare_readers: list[sqlite3.Connection] = []

    # --- callers ----------------------------------------------------------------------------------------

    def on_abort(self, action: Callable[[], None]) -> None:
        """`action` drops a cache that may hold changes of a batch that was undone."""
        self._aborted.append(action)

    def submit(
        self,
        fn: Callable[[Tx], T],
        done: Callable[[T | None, Exception | None], None],
        *,
        peer: NodeId | None = None,
        size_bytes: int = 0,
    ) -> None:
        """Queues `fn`; calls ``done(result, error)`` after the commit. What a peer brought is in its turn: `peer`, and about how much
        it is. Raises Rejected when writes are refused."""
        self._check_open()
        self._queue.put(_Job(fn, done), peer, size_bytes)
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._run_batch)

    async def write(self, fn: Callable[[Tx], T], *, peer: NodeId | None = None, size_bytes: int = 0) -> T:
        """Runs `fn` and waits until its changes are on disk; `peer` and `size_bytes` as in `submit`. Raises what `fn` raised."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # T may be None itself

        self.submit(fn, done, peer=peer, size_bytes=size_bytes)
        return await future

    def view(self, fn: Callable[[Tx], T]) -> T:
        """Runs a short read at once, on one snapshot: a commit may end on its thread between two statements.
        Only for look-ups by key that touch a bounded number of rows. May be nested."""
        conn = self._view
        if conn.in_transaction:
            return fn(self._view_tx)
        conn.execute("BEGIN")
        try:
            return fn(self._view_tx)
        except sqlite3.Error as error:
            self._note_trouble(error)  # a damaged page is met by readers first
            raise
        finally:
            conn.execute("COMMIT")

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Runs a long read on a reader thread, on one snapshot."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, fn)

    def fence(self, reason: str) -> None:
        """Refuses every write from now on, those in the queue too, until the next start. A commit under way still ends."""
        self._final, self.trouble = True, reason

    @property
    def waiting(self) -> int:
        """Functions in the queue."""
        return len(self._queue)

    async def close(self) -> None:
        """Waits for queued writes, folds the WAL into the file and closes."""
        while self._busy:
            self._idle = asyncio.Event()
            await self._idle.wait()
        self._final, self.trouble = True, "The node is stopping."
        await asyncio.get_running_loop().run_in_executor(self._committer, self._checkpoint)
        self.abandon()

    def abandon(self) -> None:
        """Closes at once, without waiting or checkpoint: what was acknowledged is on disk all the same."""
        self._final, self.trouble = True, self.trouble or "The node has stopped."
        self._committer.shutdown()
        self._readers.shutdown()
        for conn in (self._view, *self._spare_readers, self._conn):
            conn.close()

    # --- the writer -------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._final or (self.trouble and self._clock.monotonic() < self._retry_at):
            raise self._refusal()
        if len(self._queue) >= limits.WRITE_QUEUE_MAX:
            raise Rejected(Code.RATE_LIMITED, "The node is overloaded; try again in a moment.", retry_after_s=1)

    def _refusal(self) -> Rejected:
        return Rejected(
            Code.READ_ONLY, f"The node cannot store anything now: {self.trouble}", retry_after_s=int(RETRY_S)
        )

    def _run_batch(self) -> None:
        """Runs what waits, then commits on the thread. On the loop."""
        if not self._queue:
            self._busy = False
            if self._idle is not None:
                self._idle.set()
            return
        tx = Tx(self._conn)
        jobs: list[_Job[Any]] = []
        before = self._conn.total_changes
        try:
            self._check_space()
            self._conn.execute("BEGIN IMMEDIATE")
            self._fill(tx, jobs)
            for action in list(tx._before.values()):  # noqa: SLF001 - Tx and Database are one thing in two classes
                action()
        except Exception as error:  # noqa: BLE001 - whatever it was, the batch is undone and each caller hears of it
            self._undo(jobs, error)
            return
        if self._conn.total_changes == before:
            self._conn.execute("ROLLBACK")
            self._finish(tx, jobs)
            return
        future = asyncio.get_running_loop().run_in_executor(self._committer, self._conn.execute, "COMMIT")
        future.add_done_callback(lambda done: self._committed(tx, jobs, done.exception()))

    def _fill(self, tx: Tx, jobs: list[_Job[Any]]) -> None:
        queue, conn = self._queue, self._conn
        stop_at = self._clock.monotonic() + limits.BATCH_MS_MAX / 1000
        queue.begin()
        while len(jobs) < limits.BATCH_WRITES_MAX and (job := queue.take()) is not None:
            jobs.append(job)
            changes = conn.total_changes
            try:
                job.result = job.fn(tx)
                job.error = None
            except Rejected as error:
                if conn.total_changes != changes:
                    raise
                job.error = error
            if self._clock.monotonic() > stop_at:
                return

    def _committed(self, tx: Tx, jobs: list[_Job[Any]], error: BaseException | None) -> None:
        if error is not None:
            assert isinstance(error, Exception)
            self._undo(jobs, error)
            return
        self.commits += 1
        if not self._final:  # fenced while the disk was at work
            self.trouble = ""
        self._finish(tx, jobs)

    def _finish(self, tx: Tx, jobs: list[_Job[Any]]) -> None:
        self.writes += len(jobs)
        loop = asyncio.get_running_loop()
        for job in jobs:
            job.done(job.result, job.error)
        for action in tx._after:  # noqa: SLF001
            action()
        loop.call_soon(self._run_batch)

    def _undo(self, jobs: list[_Job[Any]], error: Exception) -> None:
        """Rolls back; a lone function gets the error, of several each runs again by itself."""
        self._roll_back()
        if isinstance(error, sqlite3.Error) and self._note_trouble(error):
            refusal = self._refusal()
            for job in jobs:
                job.done(None, refusal)
            for job in self._queue.drain():
                job.done(None, refusal)
        elif isinstance(error, Rejected) and error.code is Code.READ_ONLY:
            for job in (*jobs, *self._queue.drain()):
                job.done(None, error)
        elif len(jobs) == 1:
            jobs[0].done(None, error)
        else:
            self._alone(jobs)
        asyncio.get_running_loop().call_soon(self._run_batch)

    def _alone(self, jobs: list[_Job[Any]]) -> None:
        """Each of `jobs` in a transaction of its own: only the guilty one fails. Rare, so it blocks the loop."""
        for job in jobs:
            if self._final:  # the disk failed under a neighbour
                job.done(None, self._refusal())
                continue
            tx = Tx(self._conn)
            try:
                self._conn.execute("BEGIN IMMEDIATE")
                job.result = job.fn(tx)
                for action in list(tx._before.values()):  # noqa: SLF001
                    action()
                self._conn.execute("COMMIT")
            except Exception as error:  # noqa: BLE001 - the caller gets it
                self._roll_back()
                trouble = isinstance(error, sqlite3.Error) and self._note_trouble(error)
                job.done(None, self._refusal() if trouble else error)
                continue
            job.done(job.result, None)
            for action in tx._after:  # noqa: SLF001
                action()

    def _roll_back(self) -> None:
        """Undoes the open transaction; caches that may hold its changes are dropped."""
        with suppress(sqlite3.Error):  # a disk in trouble cannot even do this; SQLite then undoes it at the next start
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
        for action in self._aborted:
            action()

    def _note_trouble(self, error: sqlite3.Error) -> bool:
        """Whether `error` is the disk's fault; then writes are refused from now on (a full disk: for a while)."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            self.trouble = "The disk is full. Free some space; the node goes on by itself."
            self._retry_at = self._clock.monotonic() + RETRY_S
        elif code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
            self.trouble, self._final = f"The disk reports an error ({error}). Check it and restart the node.", True
        elif code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self.trouble, self._final = "The database is damaged. Stop the node and run `startalk doctor`.", True
        else:
            return False
        return True

    def _check_space(self) -> None:
        if self._final:
            raise self._refusal()
        now = self._clock.monotonic()
        if now < self._retry_at and not self.trouble:
            return
        self._retry_at = now + RETRY_S
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return
        least = min(limits.DISK_FREE_BYTES_MIN, disk.f_blocks * disk.f_frsize * 3 // 100)
        if disk.f_bavail * disk.f_frsize < least:
            self.trouble = "The disk is nearly full. Free some space; the node goes on by itself."
            raise self._refusal()

    def _checkpoint(self) -> None:
        try:
            self._conn.execute("PRAGMA optimize")
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            return  # the WAL is complete and is read at the next start

    def _read(self, fn: Callable[[Tx], T]) -> T:
        conn = self._spare_readers.pop() if self._spare_readers else _open_reader(self.path)
        try:
            conn.execute("BEGIN")
            return fn(Tx(conn))
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise
        finally:
            if conn.in_transaction:
                conn.execute("COMMIT")
            self._spare_readers.append(conn)


def _open(path: Path) -> sqlite3.Connection:
    """The writer's connection, with the schema brought up to date. Raises Fatal with what to do."""
    try:
        conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        for pragma in _PRAGMAS:
            conn.execute(pragma)
        conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
        migrations.migrate(conn, path)
        os.chmod(path, 0o600)
    except sqlite3.DatabaseError as error:
        raise _cannot_open(path, error) from error
    return conn


def _cannot_open(path: Path, error: sqlite3.DatabaseError) -> Fatal:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Fatal(
            ExitStatus.DATA_CORRUPT,
            f"{path} is damaged ({error}). Restore a backup, or run `startalk doctor` to see how much.",
        )
    if code == sqlite3.SQLITE_FULL:
        return Fatal(ExitStatus.DISK_FULL, f"The disk of {path.parent} is full. Free some space and start again.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Fatal(ExitStatus.DATA_IN_USE, f"Another program uses {path}. Stop it first.")
    return Fatal(
        ExitStatus.DATA_UNWRITABLE,
        f"{path} cannot be opened for writing ({error}). Check owner and rights of the folder.",
    )


def _open_reader(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in ("PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "PRAGMA cache_size = -8192"):
        conn.execute(pragma)
    return conn
