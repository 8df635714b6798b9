"""``startalk demo``: three nodes on this machine, two people on each, and a group of all six.

    a.test  alice dave  ─┐
    b.test  bob   erin  ─┼─ each a process of its own: ``startalk run`` on a folder of its own, on loopback only
    c.test  carol frank ─┘

What differs from nodes in the world is written into each ``startalk.toml``: the three names are pinned to ports of this machine
(`net_hosts`), loopback is allowed (`net_allow`), and the nodes' own certificates are believed (`net_ca`); mDNS, DHT and port
mapping are off. Everything else is the real thing: ``alice@a.test``, typed on b.test, is looked up at a.test's well-known page over
TLS, proved by a handshake, and stored.

The folder is deleted at the end unless ``--data`` names one to keep. A kept demo goes on where it stopped.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec import Struct

from node.base.errors import ExitStatus, Fatal

if TYPE_CHECKING:
    from node.cli.desk import StoppedDesk
    from node.cli.scene import Seat

LOOPBACK: Final = "127.0.0.1"
HOSTS: Final = (LOOPBACK, "localhost")  # one for each person of a node: browsers keep their cookies apart
CAST: Final = (("a.test", ("alice", "dave")), ("b.test", ("bob", "erin")), ("c.test", ("carol", "frank")))
PASSWORD: Final = "three small nodes"  # noqa: S105 - printed, and good on loopback only
PORT: Final = 8081
READY: Final = "demo.ready"  # its folder has seen the first scene
AUTHORITIES: Final = "ca.pem"
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


class House(Struct, frozen=True, kw_only=True):
    """One of the three nodes."""

    domain: str
    folder: Path
    port: int  # of its web UI
    https_port: int  # where the other two link to it
    people: tuple[str, ...]


def demo(
    data: Annotated[
        str | None,
        typer.Option(help="Folder to keep the demo in; a temporary one if left out.", metavar="FOLDER"),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the first web UI, the others follow; 0 takes any three.", min=0, max=65_533)
    ] = PORT,
) -> None:
    """Run three nodes on this machine with six people in a group, until Ctrl-C.

    For trying out what happens between nodes: nothing leaves this machine. Exit status 0 after Ctrl-C or SIGTERM.
    """
    with _folder(data) as folder:
        fresh = not (folder / READY).exists()
        houses = _houses(folder, port)
        try:
            (folder / AUTHORITIES).touch(mode=0o600)  # a setting that names no file is refused
            for house in houses:
                _furnish(house, houses, fresh=fresh)
            _believe(houses, folder / AUTHORITIES)
        except KeyboardInterrupt:
            return
        _perform(houses, folder, fresh=fresh, kept=data is not None)


# --- before they run ------------------------------------------------------------------------------------


@contextmanager
def _folder(data: str | None) -> Iterator[Path]:
    """An empty or kept one. Raises Fatal for a folder that holds something else."""
    from tempfile import TemporaryDirectory

    if data is None:
        with TemporaryDirectory(prefix="startalk-demo-") as made:
            yield Path(made)
        return
    folder = Path(data).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / READY).exists() and any(folder.iterdir()):
        raise Fatal(
            ExitStatus.FAILED, f"{folder} holds no finished demo. Name an empty folder, or delete what is in it."
        )
    yield folder


def _houses(folder: Path, port: int) -> tuple[House, ...]:
    wanted = [port + place if port else 0 for place in range(len(CAST))]
    ports, https_ports = _free_ports(wanted), _free_ports([0] * len(CAST))
    return tuple(
        House(domain=domain, folder=folder / domain, port=ports[place], https_port=https_ports[place], people=people)
        for place, (domain, people) in enumerate(CAST)
    )


def _free_ports(wanted: Sequence[int]) -> list[int]:
    """Ports of loopback that nobody has now, 0 standing for any. Raises Fatal."""
    found = []
    with ExitStack() as stack:
        for port in wanted:
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                text = (
                    f"Port {port} on {LOOPBACK} cannot be used ({error.strerror}). Name another one with --port, or 0."
                )
                raise Fatal(ExitStatus.PORT_IN_USE, text) from None
            found.append(probe.getsockname()[1])
    return found


def _furnish(house: House, houses: Sequence[House], *, fresh: bool) -> None:
    """Settings, certificate and, the first time, the two accounts."""
    from node.cli.desk import stopped
    from node.runtime import config, tls
    from node.runtime.clock import SystemClock
    from node.storage import keys

    house.folder.mkdir(mode=0o700, exist_ok=True)
    (house.folder / config.FILE).write_text(_settings(house, houses), encoding="utf-8")
    if fresh:
        with stopped(config.load(data=str(house.folder), env={})) as desk:
            _settle(desk, house)
    tls.own_certificate(house.folder / keys.FOLDER / keys.TLS, domain=house.domain, clock=SystemClock())


def _settings(house: House, houses: Sequence[House]) -> str:
    values = {
        "domain": house.domain,
        "https_host": LOOPBACK,
        "https_port": house.https_port,
        "http_host": LOOPBACK,
        "http_port": house.port,
        "mdns": False,
        "dht": False,
        "portmap": False,
        "net_allow": ["127.0.0.0/8"],
        "net_hosts": [f"{one.domain}={LOOPBACK}:{one.https_port}" for one in houses],
        "net_ca": str(house.folder.parent / AUTHORITIES),
        "password_cost": "small",
        "log_level": "warning",
    }
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "# Written by `startalk demo` at each start.\n" + "\n".join(lines) + "\n"


def _settle(desk: StoppedDesk, house: House) -> None:
    """The first person owns the node; nobody needs to write its phrase down."""
    from node.cli.desk import NEWCOMER_S
    from node.services.settings import Change

    services = desk.services
    desk.run(services.settings.change(Change(name=house.domain), actor=services.accounts.console().user))
    owner, other = house.people
    token = desk.run(services.invites.owner_invite())
    assert token is not None, "a new node needs an owner"
    desk.add(local=owner, name=owner.title(), password=PASSWORD, token=token)
    token = desk.invite(role="user", expires_s=NEWCOMER_S, uses=1).token
    desk.add(local=other, name=other.title(), password=PASSWORD, token=token)
    phrase = services.identity.phrase()
    services.identity.confirm({place: phrase[place - 1] for place in services.identity.asked()})


def _believe(houses: Sequence[House], target: Path) -> None:
    """One file with the certificates, without the keys, of all three."""
    from node.runtime import tls
    from node.storage import keys

    files = [house.folder / keys.FOLDER / keys.TLS / tls.FILE for house in houses]
    parts = [_CERTIFICATE + file.read_text("ascii").partition(_CERTIFICATE)[2] for file in files]
    target.write_text("".join(parts), "ascii")


# --- while they run -------------------------------------------------------------------------------------


def _perform(houses: Sequence[House], folder: Path, *, fresh: bool, kept: bool) -> None:
    """The first scene, if it was not played yet, then what to tell the person at the terminal; until a signal. Raises Fatal."""
    import asyncio

    from node.cli import scene, troupe

    seats = _seats(houses)

    async def opening() -> None:
        if fresh:
            await scene.play(seats, PASSWORD)
            (folder / READY).touch()
        print(_told(seats, folder, kept=kept), flush=True)

    asyncio.run(troupe.run(houses, opening))


def _seats(houses: Sequence[House]) -> Mapping[str, Seat]:
    """By user name, those of a.test, b.test and c.test in turns."""
    from node.cli.scene import Seat

    return {
        house.people[place]: Seat(
            origin=f"http://{LOOPBACK}:{house.port}",
            link=f"http://{HOSTS[place]}:{house.port}/",
            local=house.people[place],
            address=f"{house.people[place]}@{house.domain}",
        )
        for place in range(len(HOSTS))
        for house in houses
    }


def _told(seats: Mapping[str, Seat], folder: Path, *, kept: bool) -> str:
    from node.cli.scene import GROUP
    from node.cli.terminal import table

    by_address = sorted(seats.values(), key=lambda seat: seat.address.rpartition("@")[::-1])
    rows = [(seat.address, seat.link, seat.local) for seat in by_address]
    return f"""
Three nodes run on this machine, and all six people are in the group {GROUP}.

{table(("ADDRESS", "OPEN IN THE BROWSER", "USER NAME"), rows)}

Everybody's password: {PASSWORD}

Open two of them side by side. Or type carol@c.test as a new contact of Alice's: her node finds the other by its name.
{"The demo is kept in" if kept else "When it ends it deletes"} {folder}.

Stop it with Ctrl+C."""
