"""A router on loopback that speaks NAT-PMP, PCP and UPnP, each on wish. It keeps its mappings in a table."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import Any

from aiohttp import web

from node.discovery.mappers import Found

OUTSIDE = IPv4Address("8.8.4.4")
_DEVICE = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>router</friendlyName>
<manufacturer>m</manufacturer><modelName>r</modelName><UDN>uuid:1</UDN><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><friendlyName>wan</friendlyName><manufacturer>m</manufacturer>
<modelName>r</modelName><UDN>uuid:2</UDN><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><friendlyName>conn</friendlyName>
<manufacturer>m</manufacturer><modelName>r</modelName><UDN>uuid:3</UDN><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/control</controlURL><eventSubURL>/event</eventSubURL><SCPDURL>/scpd</SCPDURL></service></serviceList></device>
</deviceList></device></deviceList></device></root>"""


def _action(name: str, *arguments: tuple[str, str, str]) -> str:
    made = "".join(
        f"<argument><name>{argument}</name><direction>{way}</direction><relatedStateVariable>{state}</relatedStateVariable></argument>"
        for argument, way, state in arguments
    )
    return f"<action><name>{name}</name><argumentList>{made}</argumentList></action>"


_KEY = (("NewRemoteHost", "in", "Host"), ("NewExternalPort", "in", "Port"), ("NewProtocol", "in", "Protocol"))
_SCPD = f"""<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<actionList>{_action("GetExternalIPAddress", ("NewExternalIPAddress", "out", "Address"))}
{_action("AddPortMapping", *_KEY, ("NewInternalPort", "in", "Port"), ("NewInternalClient", "in", "Host"),
         ("NewEnabled", "in", "Enabled"), ("NewPortMappingDescription", "in", "Host"), ("NewLeaseDuration", "in", "Lease"))}
{_action("DeletePortMapping", *_KEY)}</actionList><serviceStateTable>
<stateVariable sendEvents="no"><name>Host</name><dataType>string</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Address</name><dataType>string</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Port</name><dataType>ui2</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Protocol</name><dataType>string</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Enabled</name><dataType>boolean</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Lease</name><dataType>ui4</dataType></stateVariable></serviceStateTable></scpd>"""  # fmt: skip


class Router(asyncio.DatagramProtocol):
    """What it speaks can be switched; `mappings` is external port -> (internal port, lifetime)."""

    def __init__(self) -> None:
        self.pcp = True
        self.nat_pmp = True
        self.refuse = 0
        self.drop = 0  # this many datagrams are lost
        self.taken: set[int] = set()
        self.permanent_only = False
        self.padding = 0  # bytes after the description
        self.outside = OUTSIDE
        self.mappings: dict[int, tuple[int, int]] = {}
        self.transports: set[str] = set()  # that were mapped
        self.heard = 0
        self.port = 0
        self.http = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard += 1
        if self.drop:
            self.drop -= 1
            return
        answer = self._pcp(data) if data[0] == 2 else self._pmp(data)
        if answer:
            self._transport.sendto(answer, addr)

    def _pmp(self, data: bytes) -> bytes:
        if not self.nat_pmp:
            return b""
        if data[1] == 0:
            return struct.pack("!BBHI", 0, 128, 0, 100) + self.outside.packed
        internal, external, lifetime = struct.unpack("!HHI", data[4:12])
        if self.refuse:
            return struct.pack("!BBHI", 0, data[1] | 128, self.refuse, 100)
        self.transports.add({1: "udp", 2: "tcp"}[data[1]])
        granted = self._map(internal, external, lifetime)
        return struct.pack("!BBHIHHI", 0, data[1] | 128, 0, 100, internal, granted, lifetime)

    def _pcp(self, data: bytes) -> bytes:
        if not self.pcp:
            return struct.pack("!BBHI", 0, 128, 1, 100) if self.nat_pmp else b""
        head = struct.pack("!BBBBII", 2, data[1] | 128, 0, self.refuse, struct.unpack("!I", data[4:8])[0], 100) + bytes(
            12
        )
        if data[1] == 0 or self.refuse:
            return head + data[24:]
        internal, external = struct.unpack("!HH", data[40:44])
        self.transports.add({6: "tcp", 17: "udp"}[data[36]])
        granted = self._map(internal, external, struct.unpack("!I", data[4:8])[0])
        return head + data[24:42] + struct.pack("!H", granted) + bytes(10) + b"\xff\xff" + self.outside.packed

    def _map(self, internal: int, external: int, lifetime: int) -> int:
        if lifetime == 0:
            for port in [port for port, (inside, _) in self.mappings.items() if inside == internal]:
                del self.mappings[port]
            return 0
        while external in self.taken:
            external += 1
        self.mappings[external] = (internal, lifetime)
        return external

    # --- UPnP -------------------------------------------------------------------------------------------

    async def search(self) -> list[Found]:
        return [Found(f"http://127.0.0.1:{self.http}/device", "127.0.0.1")] if self.http else []

    async def describe(self, request: web.Request) -> web.Response:
        text = _DEVICE if request.path == "/device" else _SCPD
        return web.Response(text=text + " " * self.padding, content_type="text/xml")

    async def control(self, request: web.Request) -> web.Response:
        text = await request.text()

        def argument(name: str) -> str:
            found = re.search(rf"<{name}[^>]*>([^<]*)<", text)
            return found[1] if found else ""

        action = request.headers["SOAPAction"].strip('"').rpartition("#")[2]
        if action == "AddPortMapping":
            external, lease = int(argument("NewExternalPort")), int(argument("NewLeaseDuration"))
            fault = 718 if external in self.taken else 725 if lease and self.permanent_only else self.refuse
            if fault:
                return _fault(fault)
            self.transports.add(argument("NewProtocol").lower())
            self.mappings[external] = (int(argument("NewInternalPort")), lease)
        elif action == "DeletePortMapping":
            self.mappings.pop(int(argument("NewExternalPort")), None)
        inside = (
            f"<NewExternalIPAddress>{self.outside}</NewExternalIPAddress>" if action == "GetExternalIPAddress" else ""
        )
        kind = "urn:schemas-upnp-org:service:WANIPConnection:1"
        return _envelope(f'<u:{action}Response xmlns:u="{kind}">{inside}</u:{action}Response>', 200)


def _fault(code: int) -> web.Response:
    detail = f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode><errorDescription>no</errorDescription></UPnPError>'
    return _envelope(
        f"<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>{detail}</detail></s:Fault>",
        500,
    )


def _envelope(inside: str, status: int) -> web.Response:
    kind = "http://schemas.xmlsoap.org/soap/"
    text = f'<?xml version="1.0"?><s:Envelope xmlns:s="{kind}envelope/" s:encodingStyle="{kind}encoding/"><s:Body>{inside}</s:Body></s:Envelope>'
    return web.Response(text=text, status=status, content_type="text/xml")


@asynccontextmanager
async def router(*, upnp: bool = False) -> AsyncIterator[Router]:
    """A router that is switched on."""
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(Router, local_addr=("127.0.0.1", 0), family=socket.AF_INET)
    app = web.Application()
    app.router.add_get("/device", made.describe)
    app.router.add_get("/scpd", made.describe)
    app.router.add_post("/control", made.control)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    if upnp:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.http = runner.addresses[0][1]
    try:
        yield made
    finally:
        transport.close()
        await runner.cleanup()
