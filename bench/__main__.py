"""``python -m bench``: measures everything and writes the page docs/reference/benchmarks.md from the figures."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import chat

PAGE: Final = Path("docs/reference/benchmarks.md")
# name, unit, what, aim, other programs on a machine of the same size with the server on one core
ROWS: Final = (
    ("direct_msgs_per_s", "/s", "1:1 messages, 100 pairs × 10 in flight, durable", "≥ 8,000", "ejabberd 1,080 (with SQLite 320), Prosody 777 (with SQLite 256), Synapse 40"),
    ("direct_p50_ms_1pair", "ms", "one pair × 1, p50 from post to durable answer", "≤ 4", "Prosody 0.4 (no sync) … 3.5 (SQLite)"),
    ("direct_p99_ms", "ms", "the same, p99", "", ""),
    ("fsyncs_per_message", "", "syncs of the disk per message in the first row", "", ""),
    ("cpu_ms_per_message", "ms", "CPU of the node per message in the first row", "", ""),
    ("group100_deliveries_per_s", "/s", "group of 100, 1 or 5 senders", "≥ 60,000", "Synapse 270"),
    ("group100_deliveries_per_s_1_sender", "/s", "the same, 1 sender", "", ""),
    ("group500_deliveries_per_s", "/s", "group of 500, 1 or 5 senders", "≥ 60,000", "ejabberd 18,000, Prosody 2,500"),
    ("group500_deliveries_per_s_1_sender", "/s", "the same, 1 sender", "", ""),
    ("token_logins_per_s", "/s", "connect, upgrade, hello, snapshot", "≥ 1,500", "Prosody 147, ejabberd 89"),
    ("password_logins_per_s", "/s", "Argon2id at the standard cost (64 MiB)", "", ""),
    ("rss_kib_per_connection", "KiB", "memory per idle socket at 5,000", "≤ 45", "Prosody 42, ejabberd 126"),
    ("rss_kib_per_connection_1000", "KiB", "the same at 1,000", "", ""),
    ("history_msgs_per_s", "/s", "paging through 10,000 messages", "≥ 100,000", "ejabberd 9,800, Prosody 184"),
    ("cold_start_s", "s", "process start to first session", "≤ 1", "Prosody 0.15, ejabberd 2.2, Synapse 2.2"),
    ("idle_rss_mib", "MiB", "memory before anybody connects", "≤ 70", "Prosody 17, ejabberd 87, Synapse 113"),
)  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "# Benchmarks",
        "",
        (
            f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}; the node on one core, the generator on another, "
            "plain WebSocket over loopback. Every message is on disk before it is acknowledged. For scale, other programs measured "
            "earlier on a machine of the same size stand beside (ejabberd 23.01, Prosody 0.12, Synapse; their default stores do not sync "
            "each message)."
        ),
        "",
        "| figure | value | what | aim | others |",
        "|---|---|---|---|---|",
    ]
    for name, unit, what, aim, others in ROWS:
        lines.append(f"| `{name}` | {number(result[name])} {unit} | {what} | {aim} | {others} |".replace("  ", " "))
    raised = ", ".join(f"`{name}`" for name in sorted(result["rates"]))
    lines += [
        "",
        f"The rate limits are live settings; for this run all of them were set to their maximum of 10,000,000: {raised}.",
        "",
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """As people read it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """What this was measured on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Measures, prints, writes."""
    PAGE.write_text(page(chat.run()))
    print(f"\nwritten: {PAGE}, {chat.OUT}")


if __name__ == "__main__":
    main()
