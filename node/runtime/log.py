"""The node's diary for its admin: one line an event, a fixed sentence and a few named fields.

    log = Log("web.server")
    log.info("listening", listener="https", host="0.0.0.0", port=8443)

A log is copied into bug reports and kept by machines nobody thinks of, so it must never hold what people wrote, what
they signed in with, or where exactly they are. Therefore the sentence is static, and only the field names in `FIELDS`
exist: a new one is added here, on purpose. A field that is not in the list is written as ``name=?``, and a test looks
for such calls in the source. The text of an unexpected exception may quote its input; it is shown at level debug only.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Final, Literal, TextIO

import msgspec

from node.base.errors import LocalError

Value = str | int | float | bool | None
Level = Literal["debug", "info", "warning", "error"]

# What may be said about an event. Ids of rooms, users and devices are opaque; addresses are cut by `network_of`.
FIELDS: Final = frozenset({
    "address", "attempt", "code", "commits", "count", "delay_s", "device", "domain", "error_id", "event", "fault", "file",
    "head", "host", "idx", "invite", "kind", "limit", "listener", "method", "ms", "network", "nid", "pid", "port", "reason",
    "role", "room", "route", "schema", "seq", "service", "setting", "signal", "size_bytes", "status", "url", "user", "version",
})  # fmt: skip
_ROOT: Final = "node"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SHOWN: Final = (LocalError, OSError, AssertionError)  # texts of these are ours or the machine's, not a user's


class Log:
    """The diary of one part; `name` is the part's module without ``node.``."""

    __slots__ = ("_to",)

    def __init__(self, name: str) -> None:
        self._to = logging.getLogger(f"{_ROOT}.{name}")

    def debug(self, sentence: str, **fields: Value) -> None:
        """For somebody who looks for a fault."""
        self._write(logging.DEBUG, sentence, fields)

    def info(self, sentence: str, **fields: Value) -> None:
        """Something an admin may want to know happened, as it should."""
        self._write(logging.INFO, sentence, fields)

    def warning(self, sentence: str, **fields: Value) -> None:
        """Something went wrong and the node coped."""
        self._write(logging.WARNING, sentence, fields)

    def error(self, sentence: str, fault: BaseException | None = None, **fields: Value) -> None:
        """Something went wrong that should not; `fault` adds where in the program."""
        self._write(logging.ERROR, sentence, fields, fault)

    def _write(self, level: int, sentence: str, fields: dict[str, Value], fault: BaseException | None = None) -> None:
        if self._to.isEnabledFor(level):
            extra = {"fields": {name: value if name in FIELDS else "?" for name, value in fields.items()}}
            self._to.log(level, sentence, extra=extra, exc_info=fault)


def configure(*, level: Level, style: Literal["text", "json"], to: TextIO | None = None) -> None:
    """Sets up the diary of this process; called once, by the command that runs a node."""
    handler = logging.StreamHandler(to if to is not None else sys.stderr)
    handler.setFormatter(_Formatter(as_json=style == "json", faults_in_full=level == "debug"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries speak only when something is wrong
    logging.getLogger(_ROOT).setLevel(_LEVELS[level])
    logging.captureWarnings(capture=True)


def network_of(address: str) -> str:
    """An address without its last part: enough to see a pattern, too little to find a person."""
    if ":" in address:
        return ":".join(address.split(":")[:3]) + "::/48"
    return ".".join(address.split(".")[:3]) + ".0/24"


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool, faults_in_full: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._faults_in_full = faults_in_full

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "part": record.name.removeprefix(f"{_ROOT}."),
            "what": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = _fault(record.exc_info[1], in_full=self._faults_in_full)
        if self._as_json:
            return msgspec.json.encode(line).decode()
        at, level, part, what = line.pop("at"), line.pop("level"), line.pop("part"), line.pop("what")
        fault = line.pop("fault", None)
        fields = "".join(f" {name}={_quoted(value)}" for name, value in line.items())
        return f"{at} {level:<7} {part}: {what}{fields}" + (f"\n  {fault}" if fault else "")


def _fault(error: BaseException, *, in_full: bool) -> str:
    """Kind and place of an exception: outermost cause first, without the values it met."""
    told = str(error) if in_full or isinstance(error, _SHOWN) else ""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
    head = type(error).__name__ + (f": {told}" if told else "")
    return f"{head} at {places}" if places else head


def _quoted(value: Value) -> str:
    """`value` as one word, or in quotes with control characters escaped: a name cannot forge a line."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=')
    return text if plain else msgspec.json.encode(text).decode()
