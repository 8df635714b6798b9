"""What every publisher sends: ten seconds of 640x360@30 VP8 at 1 Mb/s and Opus, encoded once and played in a circle.

The number of each frame is drawn across its top as a barcode of 16 bars, so a decoded frame tells when it was sent; the pictures move
and are noisy, so the encoder has something to do and packets have the sizes of a real call.
"""

from __future__ import annotations

import asyncio
import fractions
import math
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import av
import msgspec
from aiortc import MediaStreamTrack
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

WIDTH: Final = 640
HEIGHT: Final = 360
FPS: Final = 30
SECONDS: Final = 10
FRAMES: Final = FPS * SECONDS
BARS: Final = 16
BAR_HEIGHT: Final = 40
BITRATE: Final = 1_000_000
AUDIO_RATE: Final = 48_000
AUDIO_FRAME: Final = 960
TAIL: Final = 16  # the last bytes of an encoded frame tell it from others
CACHE: Final = Path("build/bench/stream.msgpack")


class Stream(msgspec.Struct, frozen=True):
    """Encoded frames."""

    video: list[bytes]
    audio: list[bytes]


def load(cache: Path = CACHE) -> Stream:
    """The stream, made at the first time."""
    if cache.exists():
        return msgspec.msgpack.decode(cache.read_bytes(), type=Stream)
    stream = Stream(_video(), _audio())
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(msgspec.msgpack.encode(stream))
    return stream


def _video() -> list[bytes]:
    codec = av.CodecContext.create("libvpx", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.framerate, codec.time_base = fractions.Fraction(FPS, 1), fractions.Fraction(1, FPS)
    codec.bit_rate, codec.gop_size = BITRATE, 2 * FPS
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "-6",
        "lag-in-frames": "0",
        "error-resilient": "partitions",
        "minrate": str(BITRATE),
        "maxrate": str(BITRATE),
        "bufsize": str(BITRATE // 2),
        "qmin": "2",
        "qmax": "56",
    }
    noise = random.Random(1).randbytes(HEIGHT * 2 * WIDTH)
    noise = bytes(value % 70 for value in noise)
    out: list[bytes] = []
    for number in range(FRAMES):
        out += [bytes(packet) for packet in codec.encode(_picture(number, noise))]
    return out + [bytes(packet) for packet in codec.encode(None)]


def _picture(number: int, noise: bytes) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    bars = b"".join(bytes([235 if number >> bar & 1 else 16]) * (WIDTH // BARS) for bar in range(BARS))
    ramp = bytes((x + 3 * number) % 256 // 2 for x in range(WIDTH))
    shift = 2 * number % WIDTH
    rows = [bars] * BAR_HEIGHT
    base = int.from_bytes(ramp, "big")
    for row in range(BAR_HEIGHT, HEIGHT):
        start = row * 2 * WIDTH + shift
        grain = int.from_bytes(noise[start : start + WIDTH], "big")
        rows.append((base + grain).to_bytes(WIDTH, "big"))  # 127 + 69 at most: no carry between pixels
    flat = (b"".join(rows), bytes([110 + number % 30]), bytes([140 + number % 30]))
    for plane, data in zip(frame.planes, flat, strict=True):
        width, height = plane.width, plane.height
        lines = (
            [data * width] * height if len(data) == 1 else [data[k * width : (k + 1) * width] for k in range(height)]
        )
        plane.update(b"".join(line.ljust(plane.line_size, b"\0") for line in lines))
    frame.pts, frame.time_base = number, fractions.Fraction(1, FPS)
    return frame


def _audio() -> list[bytes]:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = AUDIO_RATE, "stereo", "s16", 48_000
    out: list[bytes] = []
    for number in range(SECONDS * AUDIO_RATE // AUDIO_FRAME):
        tone = 300 + number % 200
        values = (
            int(8000 * math.sin(2 * math.pi * tone * (k + number * AUDIO_FRAME) / AUDIO_RATE))
            for k in range(AUDIO_FRAME)
        )
        data = b"".join(struct.pack("<hh", value, value) for value in values)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=AUDIO_FRAME)
        frame.planes[0].update(data.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = (
            AUDIO_RATE,
            number * AUDIO_FRAME,
            fractions.Fraction(1, AUDIO_RATE),
        )
        out += [bytes(packet) for packet in codec.encode(frame)]
    return out


def barcode(frame: av.VideoFrame) -> int:
    """The number that is drawn on a decoded frame."""
    plane = frame.planes[0]
    row = memoryview(plane)[frame.height * (BAR_HEIGHT // 2) // HEIGHT * plane.line_size :]
    middle = frame.width // BARS // 2
    return sum(1 << bar for bar in range(BARS) if row[bar * frame.width // BARS + middle] > 128)


class EncodedTrack(MediaStreamTrack):
    """Plays encoded frames at their rate; `on_frame(number, data)` is told of each when it leaves."""

    def __init__(
        self,
        kind: str,
        frames: list[bytes],
        per_s: int,
        clock: int,
        on_frame: Callable[[int, bytes], None] | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self._frames = frames
        self._per_s = per_s
        self._clock = clock
        self._on_frame = on_frame
        self._number = 0
        self._began = 0.0

    async def recv(self) -> av.Packet[Any]:
        """The next frame, when it is due."""
        self._began = self._began or time.monotonic()
        wait = self._began + self._number / self._per_s - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        place = self._number % len(self._frames)
        packet = av.Packet(self._frames[place])
        packet.pts = self._number * (self._clock // self._per_s)
        packet.time_base = fractions.Fraction(1, self._clock)
        if self._on_frame is not None:
            self._on_frame(place, self._frames[place])
        self._number += 1
        return packet


def camera(stream: Stream, on_frame: Callable[[int, bytes], None] | None = None) -> EncodedTrack:
    """The video."""
    return EncodedTrack("video", stream.video, FPS, 90_000, on_frame)


def microphone(stream: Stream) -> EncodedTrack:
    """The audio."""
    return EncodedTrack("audio", stream.audio, AUDIO_RATE // AUDIO_FRAME, AUDIO_RATE)
