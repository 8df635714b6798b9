"""A home behind a router with miniupnpd: the router grants a mapping, a connection from outside arrives, the end is clean."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.net.netns import Internet, Program

pytestmark = [pytest.mark.slow, pytest.mark.netns("miniupnpd"), pytest.mark.xdist_group("netns")]

CONF = """
ext_ifname=eth0
listening_ip=br0
http_port=5555
enable_natpmp={natpmp}
enable_upnp={upnp}
secure_mode=yes
min_lifetime=120
max_lifetime=86400
notify_interval=60
uuid=00000000-0000-0000-0000-0000feedbeef
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=forward
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
CHAINS = """
table inet miniupnpd {
 chain forward { type filter hook forward priority -5; policy accept;
 }
 chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd
 }
 chain postrouting { type nat hook postrouting priority 90; policy accept; jump postrouting_miniupnpd
 }
 chain prerouting_miniupnpd {
 }
 chain postrouting_miniupnpd {
 }
}
"""
OUTSIDE = "11.22.33.1"


def router(internet: Internet, folder: Path, *, natpmp: str = "yes") -> Program:
    internet.host("pub", "11.22.33.10")
    internet.home("ra", outside=OUTSIDE, hosts={"a1": "192.168.1.11"})
    conf = folder / "miniupnpd.conf"
    conf.write_text(CONF.format(natpmp=natpmp, upnp="yes"), encoding="ascii")
    return switch_on(internet, folder, natpmp=natpmp)


def switch_on(internet: Internet, folder: Path, *, natpmp: str = "yes") -> Program:
    internet.nft("ra", CHAINS)
    daemon = internet.start("ra", "miniupnpd", "-d", "-f", str(folder / "miniupnpd.conf"), "-P", str(folder / "pid"))
    daemon.wait_for("Listening for NAT-PMP" if natpmp == "yes" else "HTTP listening")
    return daemon


@pytest.mark.parametrize("method", ["PCP", "NAT-PMP", "UPnP"])
def test_a_connection_from_outside_arrives(
    internet: Internet, tmp_path: Path, method: str, record_property: Callable[[str, object], None]
) -> None:
    router(internet, tmp_path, natpmp="no" if method == "UPnP" else "yes")
    home = internet.python("a1", "mapped.py", "8443", *(["NAT-PMP"] if method == "NAT-PMP" else []))
    granted = home.hear("mapped")
    record_property("mapped_s", granted["s"])
    assert (granted["method"], granted["ip"], granted["port"]) == (method, OUTSIDE, 8443)
    assert internet.connects("pub", OUTSIDE, 8443)
    assert home.hear("connected")["connected"] == "11.22.33.10"
    home.stop()
    assert not internet.connects("pub", OUTSIDE, 8443)
    assert "8443" not in internet.run("ra", "nft", "list", "table", "inet", "miniupnpd").stdout


@pytest.mark.parametrize("method", ["PCP", "NAT-PMP", "UPnP"])
def test_a_router_that_starts_anew_has_the_mapping_again(internet: Internet, tmp_path: Path, method: str) -> None:
    """Twice: switched off and on while nobody looks, and away long enough to be missed."""
    natpmp = "no" if method == "UPnP" else "yes"
    daemon = router(internet, tmp_path, natpmp=natpmp)
    home = internet.python("a1", "mapped.py", "8443", method, "2")
    assert home.hear("mapped")["mapped"]
    assert internet.connects("pub", OUTSIDE, 8443)
    switch_off(internet, daemon)
    daemon = switch_on(internet, tmp_path, natpmp=natpmp)
    until(lambda: internet.connects("pub", OUTSIDE, 8443))
    switch_off(internet, daemon)
    while home.hear("mapped", within_s=40)["mapped"]:
        pass
    switch_on(internet, tmp_path, natpmp=natpmp)
    while not home.hear("mapped", within_s=40)["mapped"]:
        pass
    assert internet.connects("pub", OUTSIDE, 8443)
    home.stop()
    assert not internet.connects("pub", OUTSIDE, 8443)


def switch_off(internet: Internet, daemon: Program) -> None:
    """And what it knew is gone."""
    daemon.process.kill()
    daemon.process.wait()
    internet.run("ra", "nft", "delete", "table", "inet", "miniupnpd")
    assert not internet.connects("pub", OUTSIDE, 8443)


def until(true: Callable[[], bool], patience_s: float = 40) -> None:
    give_up_at = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.2)


def test_without_a_mapping_nothing_gets_in(internet: Internet) -> None:
    internet.host("pub", "11.22.33.10")
    internet.home("ra", outside=OUTSIDE, hosts={"a1": "192.168.1.11"})
    internet.python("a1", "mapped.py", "8443").hear("listening")
    assert internet.connects("a1", "192.168.1.11", 8443)
    assert not internet.connects("pub", OUTSIDE, 8443)
