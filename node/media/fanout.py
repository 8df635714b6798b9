"""The loop: a packet that came in goes out to every leg of its layer.

Hot: one call per received packet, one pass per leg; no await, no task, no concatenation. What is the same for all legs (payload, copied
extensions, send time) is put together once; a plain leg costs one `pack_into`, one copy, one `srtp_protect` in the send slot. Legs that
are not plain take `Leg.forward`.
"""

from __future__ import annotations

from typing import Final

from node.media.layer import RING_MASK, Kept, Layer
from node.media.proto import canonical, keyframe, rtp, vp8
from node.media.seam import Batch, Mux, Transport

_pack: Final = rtp.HEAD.pack_into


class Fanout:
    """Of one worker's port. `watch` is called with a layer that has begun to miss packets; counters only grow."""

    __slots__ = ("_mux", "_now", "_send_time", "failed", "forwarded")

    def __init__(self, mux: Mux) -> None:
        self._mux = mux
        self._now = -1.0
        self._send_time = 0
        self.forwarded = 0
        self.failed = 0

    def send_time(self, now: float) -> int:
        """The word of abs-send-time; the same within a batch."""
        if now != self._now:
            self._now = now
            self._send_time = rtp.send_time_word(now)
        return self._send_time

    def take(
        self, layer: Layer, seq: int, timestamp: int, mark_type: int, words: int, body: bytes, now: float, *, wide: bool
    ) -> int:  # fmt: skip
        """A packet of `layer` with canonical numbers: kept, and forwarded if it is new. Returns its index, -1 for a duplicate."""
        gaps = layer.gaps
        index = gaps.received(seq)
        if index < 0:
            layer.duplicates += 1
            return -1
        kept = (index, timestamp, mark_type, words, wide, body)
        layer.ring[index & RING_MASK] = kept
        layer.heard_at = now
        for onward in layer.onward:
            onward.forward(kept)
        if index != gaps.highest:
            self._late(layer, kept, now)
            return index
        layer.reception.received(index, timestamp, len(body), now)
        picture = self._look(layer, kept, now) if layer.curious else None
        if wide:
            for leg in layer.legs:
                leg.forward(kept, picture, self.send_time(now))
            return index
        if layer.plain:
            batch = self._mux.batch
            if batch is not None:
                self._batched(batch, layer, seq, kept, self.send_time(now))
            else:
                self._portable(layer, seq, kept, self.send_time(now))
        if layer.shifted:
            self._shifted(layer, seq, kept, picture, self.send_time(now))
        for leg in layer.slow:
            leg.forward(kept, picture, self.send_time(now))
        return index

    def _late(self, layer: Layer, kept: Kept, now: float) -> None:
        body, words = kept[5], kept[3]
        layer.reception.late(len(body))
        picture = vp8.read(body[4 * words :]) if layer.codec == canonical.VP8 else None
        for leg in layer.legs:
            leg.forward_late(kept, picture, self.send_time(now))

    def _look(self, layer: Layer, kept: Kept, now: float) -> vp8.Picture | None:
        """Reads the descriptor; a key frame lets in who waits. A payload that cannot be read lets everybody in: a decoder that
        cannot use it asks for a key frame."""
        payload = kept[5][4 * kept[3] :] if kept[3] else kept[5]
        picture: vp8.Picture | None = None
        if layer.codec == canonical.VP8:
            picture = vp8.read(payload)
            begins = bool(payload) and (picture is None or picture.key)
            if picture is not None:
                layer.width = picture.width or layer.width
                if picture.tid > layer.temporal:
                    layer.temporal = picture.tid
                    layer.arrange()
        else:
            begins = not layer.track.video or keyframe.begins(layer.codec, payload)
        if begins:
            layer.gate.arrived()
            for leg in layer.waiting:
                leg.enter(layer, kept, picture, now)
        elif layer.waiting and not layer.gate.waiting:  # asked for in vain, or before anything came
            layer.ask_key_frame()
        layer.look()
        return picture

    def _batched(self, batch: Batch, layer: Layer, seq: int, kept: Kept, send_time: int) -> None:
        _, timestamp, mark_type, words, _, body = kept
        begin = rtp.ONE_BYTE_HEAD + words
        end = rtp.HEAD_BYTES + len(body)
        cut = slice(rtp.HEAD_BYTES, end)
        pack, protect, size, capacity = _pack, batch.protect, batch.size, batch.capacity
        views, pointers, iovs, headers = batch.views, batch.pointers, batch.iovs, batch.headers
        slot = batch.queued
        for shift, ssrc, mid, transport in layer.plain:
            address = transport.sockaddr
            if address is None:  # over TCP
                batch.queued = slot
                self._push(transport, shift, ssrc, mid, seq, kept, send_time)
                slot = batch.queued
                continue
            view = views[slot]
            pack(view, 0, 0x90, mark_type, seq + shift & 0xFFFF, timestamp, ssrc, begin, mid, send_time)
            view[cut] = body
            size[0] = end
            if protect(transport.tx, pointers[slot], size):
                self.failed += 1
                continue
            iovs[slot].iov_len = size[0]
            headers[slot].msg_name = address
            slot += 1
            if slot == capacity:
                batch.queued = slot
                self._mux.flush()
                slot = 0
        batch.queued = slot
        self.forwarded += len(layer.plain)

    def _shifted(self, layer: Layer, seq: int, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        """The same loop for legs with more constants."""
        batch = self._mux.batch
        _, timestamp, mark_type, words, _, body = kept
        begin = rtp.ONE_BYTE_HEAD + words
        end = rtp.HEAD_BYTES + len(body)
        cut = slice(rtp.HEAD_BYTES, end)
        payload = rtp.HEAD_BYTES + 4 * words
        for shift, later, pid, tl0, ssrc, mid, transport, leg in layer.shifted:
            address = transport.sockaddr
            if batch is None or address is None:
                leg.forward(kept, picture, send_time)
                continue
            slot = batch.queued
            view = batch.views[slot]
            number, at = seq + shift & 0xFFFF, timestamp + later & 0xFFFFFFFF
            _pack(view, 0, rtp.FIRST, mark_type, number, at, ssrc, begin, mid, send_time)
            view[cut] = body
            if picture is not None:
                vp8.rewrite(view, payload, picture, pid, tl0)
            batch.size[0] = end
            if batch.protect(transport.tx, batch.pointers[slot], batch.size):
                self.failed += 1
                continue
            batch.iovs[slot].iov_len = batch.size[0]
            batch.headers[slot].msg_name = address
            batch.queued = slot + 1
            if slot + 1 == batch.capacity:
                self._mux.flush()
        self.forwarded += len(layer.shifted)

    def _portable(self, layer: Layer, seq: int, kept: Kept, send_time: int) -> None:
        for shift, ssrc, mid, transport in layer.plain:
            self._push(transport, shift, ssrc, mid, seq, kept, send_time)
        self.forwarded += len(layer.plain)

    def _push(
        self, transport: Transport, shift: int, ssrc: int, mid: int, seq: int, kept: Kept, send_time: int
    ) -> None:
        _, timestamp, mark_type, words, _, body = kept
        view = self._mux.slot()
        end = rtp.HEAD_BYTES + len(body)
        begin = rtp.ONE_BYTE_HEAD + words
        _pack(view, 0, rtp.FIRST, mark_type, seq + shift & 0xFFFF, timestamp, ssrc, begin, mid, send_time)
        view[rtp.HEAD_BYTES : end] = body
        if not self._mux.push(transport, end):
            self.failed += 1
