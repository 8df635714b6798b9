"""docs/spec/vectors/record.json both ways: what it calls valid verifies and says the same, what it calls invalid does not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from node.base import limits
from node.base.errors import RemoteError
from node.wire import keys, location, record
from node.wire.keys import Chain
from node.wire.location import Spot
from tests.vectors import identities

FILE: dict[str, Any] = json.loads((identities.FOLDER / "record.json").read_text(encoding="utf-8"))


def known(case: dict[str, Any]) -> Chain | None:
    return keys.decode_chain(bytes.fromhex(case["known"])) if "known" in case else None


@pytest.mark.parametrize("case", FILE["records"], ids=lambda case: str(case["name"]))
def test_a_valid_record(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    got = record.verify_record(data, now_s=FILE["now_s"], known=known(case))
    assert len(data) == case["bytes"] <= limits.RECORD_BYTES_MAX
    assert (got.nid.hex(), got.typ, got.rotations) == (case["nid"], case["typ"], case["rotations"])
    assert (got.incarnation, got.seq, got.exp) == (case["incarnation"], case["seq"], case["exp"])
    assert got.salt == case["salt"].encode()
    assert record.dht_key(got.nid, got.salt).hex() == case["dht_key"]
    fields = msgspec.msgpack.decode(data)
    assert (record.CONTEXT + b"\x00" + msgspec.msgpack.encode(fields[:8])).hex() == case["signing_input"]
    signer = got.op or got.chain[-1].root
    assert keys.is_signed(signer, fields[8], bytes.fromhex(case["signing_input"]))


@pytest.mark.parametrize("case", FILE["invalid"], ids=lambda case: str(case["name"]))
def test_an_invalid_record(case: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        record.verify_record(bytes.fromhex(case["hex"]), now_s=case["now_s"], known=known(case))


def test_the_order() -> None:
    rising = [record.verify_record(bytes.fromhex(each), now_s=FILE["now_s"]) for each in FILE["older_to_newer"]]
    assert sorted(rising, key=lambda each: each.order) == rising


@pytest.mark.parametrize("case", FILE["public"], ids=lambda case: str(case["spot"]))
def test_public_addresses(case: dict[str, Any]) -> None:
    family, ip, port = case["spot"]
    spot = Spot(family, bytes.fromhex(ip), port)
    assert location.public_spots((spot,)) == ((spot,) if case["public"] else ())
