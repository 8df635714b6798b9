"""Live settings as text, key by key; types and bounds are in services/settings.py."""

from __future__ import annotations

from node.storage.database import Tx


class SettingStore:
    """The table ``settings``."""

    def all(self, tx: Tx) -> dict[str, str]:
        """Everything that was ever changed; what is missing has its default."""
        return dict(tx.all("SELECT key, value FROM settings"))

    def put(self, tx: Tx, values: dict[str, str]) -> None:
        """Writes these."""
        tx.executemany(
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            list(values.items()),
        )
