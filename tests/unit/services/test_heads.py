"""The hub's signature vouches for a log: it is made, it is renewed, and a log that was changed afterwards does not fit it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from node.base.ids import EventId
from node.core import hub
from node.main import Services, open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.accounts import NewPerson
from node.services.actor import Actor
from node.services.post import Post
from node.services.sessions import Origin
from node.storage import checkup
from node.storage.heads import Signer
from node.wire.codec import encode


def opened(folder: Path) -> Services:
    config = Config(data=str(folder / "data"), password_cost="small")
    return open_services(config, clock=ManualClock(), entropy=SeededEntropy("heads"))


async def owner(node: Services) -> Actor:
    person = NewPerson(local="alice", password="four blue herons", token=await node.invites.owner_invite() or "")
    return (await node.accounts.register(person, Origin(address="127.0.0.1"))).actor


async def post(node: Services, who: Actor, room: bytes, kind: str, body: dict[str, object]) -> bytes:
    client_id = node.entropy.uuid7(node.clock.now_ms())
    return (await node.posting.post(who, Post(room, client_id, kind, encode(body)))).room  # type: ignore[arg-type]


def signer(node: Services) -> Signer:
    identity = node.identity
    return Signer(identity.cert.op, identity.nid, identity.incarnation)


async def test_the_end_of_a_node_leaves_every_head_signed(tmp_path: Path) -> None:
    node = opened(tmp_path)
    alice = await owner(node)
    room = await post(node, alice, b"", "create", {"name": "Walk"})
    await node.heads.sign()
    await post(node, alice, room, "text", {"text": "hello"})
    who = signer(node)
    await node.close()
    conn = sqlite3.connect(tmp_path / "data" / "startalk.db")
    assert conn.execute("SELECT idx FROM heads").fetchall() == [(2,)], "one head a room, the newest"
    conn.close()
    assert checkup.verify_logs(tmp_path / "data", who).faults == ()


async def test_a_head_of_before_a_move_still_vouches(tmp_path: Path) -> None:
    """The node got new keys; its old heads are checked with the certificates it has kept."""
    node = opened(tmp_path)
    await post(node, await owner(node), b"", "create", {"name": "Walk"})
    await node.heads.sign()
    before = signer(node)
    node.identity.renew(node.identity.phrase(), entropy=SeededEntropy("move"))
    after = signer(node)
    await node.close()
    assert [len(checkup.verify_logs(tmp_path / "data", who).faults) for who in (before, after)] == [0, 1]
    whole = msgspec.structs.replace(after, earlier=((before.op, before.incarnation),))
    assert checkup.verify_logs(tmp_path / "data", whole).faults == ()


async def test_a_log_that_was_rewritten_with_a_chain_of_its_own_is_seen(tmp_path: Path) -> None:
    node = opened(tmp_path)
    alice = await owner(node)
    await post(node, alice, b"", "create", {"name": "Walk"})
    who = signer(node)
    await node.close()
    conn = sqlite3.connect(tmp_path / "data" / "startalk.db")
    with conn:
        room, event = conn.execute("SELECT r.room, e.event_id FROM rooms r JOIN entries e ON e.room = r.id").fetchone()
        forged = hub.append(room, hub.Head(), EventId(event), 12_345)
        conn.execute("UPDATE entries SET at_ms = 12345, log_hash = ?", (forged.hash,))
        conn.execute("UPDATE rooms SET head_hash = ?", (forged.hash,))
    conn.close()
    assert checkup.verify_logs(tmp_path / "data").faults == (), "the chain itself holds"
    (fault,) = checkup.verify_logs(tmp_path / "data", who).faults
    assert fault.text == "the signed head does not fit the log"


async def test_a_log_that_was_cut_behind_its_signed_head_is_seen(tmp_path: Path) -> None:
    node = opened(tmp_path)
    alice = await owner(node)
    room = await post(node, alice, b"", "create", {"name": "Walk"})
    await post(node, alice, room, "text", {"text": "hello"})
    who = signer(node)
    await node.close()
    conn = sqlite3.connect(tmp_path / "data" / "startalk.db")
    with conn:
        first = conn.execute("SELECT log_hash FROM entries WHERE idx = 1").fetchone()[0]
        conn.execute("DELETE FROM entries WHERE idx = 2")
        conn.execute("UPDATE rooms SET head_idx = 1, head_hash = ?", (first,))
    conn.close()
    assert [fault.idx for fault in checkup.verify_logs(tmp_path / "data", who).faults] == [2]
