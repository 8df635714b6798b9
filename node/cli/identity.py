"""``startalk identity``: what others may know about this node's identity. Reads the keys folder only."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from node.cli.boot import Data, load

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The node's id and keys."""


@app.command("show")
def show(data: Data = None) -> None:
    """Print the node's id, its certificate and the fingerprint of its TLS certificate."""
    from node.base.errors import ExitStatus, Fatal
    from node.base.ids import format_node
    from node.runtime import tls
    from node.storage.keys import KeyFolder
    from node.wire import address, keys

    config = load(data)
    if not KeyFolder.exists(config.folder):
        raise Fatal(ExitStatus.FAILED, f"{config.folder} has no identity yet; the first `startalk run` makes one.")
    folder = KeyFolder(config.folder)
    cert, node = folder.identity.cert, format_node(keys.node_id(folder.identity.inception))
    print(f"node          {node}")
    print(f"address       <name>@{config.domain or node + address.KEY_SUFFIX}")
    print(f"op key        {cert.op.hex()}")
    print(f"certified     {_day(cert.nbf)} to {_day(cert.exp)}, incarnation {cert.incarnation}")
    print(f"phrase        {'waits to be written down' if folder.setup() else 'confirmed and erased'}")
    own = folder.tls / tls.FILE
    if config.tls_cert or own.exists():
        from pathlib import Path

        served = Path(config.tls_cert) if config.tls_cert else own
        print(f"TLS SHA-256   {tls.fingerprint(served).hex(':')}")


def _day(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
