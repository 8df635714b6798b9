"""The boot file: the few settings that must be known before the database can be opened.

Sources, the later wins: the defaults here, ``<data>/startalk.toml``, the environment (``STARTALK_HTTPS_PORT`` for
``https_port``), options of the command line. All go through one struct; a key nobody knows is an error that names it,
because a misspelt setting that is silently ignored is found too late. What an admin may change while the node runs
(names, registration, rates) is not here but in node/services/settings.py.

The help sentence of a setting stands beside its type; ``startalk run --help`` and docs/reference/configuration.md are
made from `settings`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import ExitStatus, Fatal

FILE: Final = "startalk.toml"
PREFIX: Final = "STARTALK_"
# What the build reads and shares the prefix, and is no setting.
FOREIGN: Final = frozenset({"STARTALK_WEBUI"})
_DOMAIN: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_LINK_URL: Final = re.compile(r"wss://[a-z0-9.-]{1,253}(?::[1-9][0-9]{0,4})?/s2s")

Port = Annotated[int, Meta(ge=0, le=65535)]


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node needs to know to start. A subsystem is handed what concerns it, never the whole."""

    data: Annotated[str, Meta(description="Folder of this node: database, keys, startalk.toml. Made when missing.")] = (
        "data"
    )
    domain: Annotated[
        str,
        Meta(
            description="Name people write after the @, if you own one; empty means the node is known by its key only."
        ),
    ] = ""

    https: Annotated[bool, Meta(description="Serve HTTPS to everybody who can reach this machine.")] = True
    https_host: Annotated[str, Meta(description="Address the HTTPS listener binds to.")] = "0.0.0.0"  # noqa: S104 - a server
    https_port: Annotated[Port, Meta(description="Port of the HTTPS listener; 0 takes any free one.")] = 8443
    tls_cert: Annotated[
        str, Meta(description="Certificate chain (PEM); empty uses a self-signed one made at first start.")
    ] = ""
    tls_key: Annotated[str, Meta(description="Private key of tls_cert (PEM).")] = ""

    http: Annotated[
        bool, Meta(description="Serve plain HTTP to this machine or to the proxies in trusted_proxies.")
    ] = True
    http_host: Annotated[
        str, Meta(description="Address the HTTP listener binds to; a loopback one unless trusted_proxies is set.")
    ] = "127.0.0.1"
    http_port: Annotated[Port, Meta(description="Port of the HTTP listener; 0 takes any free one.")] = 8080
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."
        ),
    ] = ()
    metrics_token: Annotated[
        str,
        Meta(description="Bearer token that opens /metrics to other machines; empty serves it to this machine only."),
    ] = ""

    public_url: Annotated[
        str,
        Meta(
            description="Where other nodes open links to this one from outside, like wss://casa.example/s2s; empty takes it from domain."
        ),
    ] = ""
    mdns: Annotated[
        bool, Meta(description="Show this node to its neighbours in the local network, and find theirs.")
    ] = True
    dht: Annotated[
        bool, Meta(description="Publish where this node is, signed, in the table that nodes share, and look others up.")
    ] = True
    dht_port: Annotated[Port, Meta(description="UDP port of that table; 0 takes any free one.")] = 8444
    bootstrap: Annotated[
        tuple[str, ...],
        Meta(description="First contacts of the shared table, as host:port, for a node that knows nobody."),
    ] = ()
    portmap: Annotated[
        bool, Meta(description="Ask the router to forward this node's ports to this machine (PCP, NAT-PMP, UPnP).")
    ] = True
    calls: Annotated[
        bool,
        Meta(description="Carry calls: audio and video between the devices of this node, in processes of their own."),
    ] = True
    media_port: Annotated[
        Port,
        Meta(description="UDP port of calls; 0 takes any free one. Further processes take 8450 and the following."),
    ] = 8443
    media_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="IP addresses that devices are told for calls beside those of this machine: where a router or a container's host forwards the port by hand."
        ),
    ] = ()
    media_workers: Annotated[
        int,
        Meta(ge=1, le=limits.MEDIA_WORKERS_MAX, description="Processes that carry calls at most; one fills a core."),
    ] = 1
    net_allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks that are not public and to which this node may connect for others, like 10.8.0.0/24."
        ),
    ] = ()
    net_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names that are not asked of the DNS, as name=address or name=address:port; the port stands for 443."
        ),
    ] = ()
    net_ca: Annotated[
        str,
        Meta(description="File of further certificate authorities (PEM) that are believed when connecting to others."),
    ] = ""

    password_cost: Annotated[
        Literal["standard", "small"],
        Meta(
            description="Memory per password check: standard takes 64 MiB, small 19 MiB for machines with little memory."
        ),
    ] = "standard"  # noqa: S105 - a choice, not a password

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least level that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="text writes key=value lines, json one object a line.")
    ] = "text"

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data)


class Described(Struct, frozen=True, kw_only=True):
    """One setting, as help pages show it."""

    key: str
    env: str
    help: str
    default: str
    kind: str
    choices: tuple[str, ...]


_LISTS: Final = frozenset(
    field.name for field in msgspec.structs.fields(Config) if isinstance(field.default, tuple)
)  # written with commas in the environment


def settings() -> tuple[Described, ...]:
    """Every setting in the order of `Config`, from which help and reference pages are made."""
    hints = get_type_hints(Config, include_extras=True)
    return tuple(_describe(field, hints[field.name]) for field in msgspec.structs.fields(Config))


def load(*, data: str | None = None, env: Mapping[str, str], options: Mapping[str, object] | None = None) -> Config:
    """The configuration of one start. `data` and `options` are the command line's; None in them means not given.

    Raises Fatal(USAGE) with a sentence that names the source and the key.
    """
    given = _split_lists({key: value for key, value in (options or {}).items() if value is not None})
    if data is not None:
        given["data"] = data
    from_env = _from_env(env)
    folder = str(given.get("data") or from_env.get("data") or Config().data)
    merged: dict[str, object] = {**_from_file(Path(folder) / FILE), **from_env, **given, "data": folder}
    config = _convert(merged, "the settings")
    _check(config)
    return config


def from_environment(data: str | None = None) -> Config:
    """`load` with this process's environment."""
    return load(data=data, env=os.environ)


def _describe(field: Any, hint: Any) -> Described:
    bare, meta = get_args(hint)[0], next(m for m in reversed(get_args(hint)[1:]) if m.description)
    while get_origin(bare) is Annotated:
        bare = get_args(bare)[0]
    literal = get_origin(bare) is Literal
    kind = "choice" if literal else "list" if get_origin(bare) is tuple else bare.__name__
    default = field.default
    shown = (
        ",".join(default) if isinstance(default, tuple) else str(default).lower() if kind == "bool" else str(default)
    )
    return Described(
        key=field.name,
        env=PREFIX + field.name.upper(),
        help=meta.description,
        default=shown,
        kind=kind,
        choices=tuple(str(choice) for choice in get_args(bare)) if literal else (),
    )


def _from_file(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(ExitStatus.USAGE, f"{path} cannot be read ({error}).") from error
    import tomllib

    try:
        raw: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Fatal(ExitStatus.USAGE, f"{path} is not valid TOML: {error}.") from error
    if "data" in raw:
        raise Fatal(ExitStatus.USAGE, f"{path} lies in the data folder and cannot name it: remove the key 'data'.")
    _refuse_unknown(raw.keys(), str(path))
    _convert(raw, str(path))
    return raw


def _from_env(env: Mapping[str, str]) -> dict[str, object]:
    """What the environment sets; an empty variable counts as not set, as compose files produce them."""
    names = sorted(name for name in env if name.startswith(PREFIX) and name not in FOREIGN and env[name])
    raw: dict[str, object] = {name.removeprefix(PREFIX).lower(): env[name] for name in names}
    _refuse_unknown(raw.keys(), "the environment", shown=lambda key: PREFIX + key.upper())
    raw = _split_lists(raw)
    _convert(raw, "the environment")
    return raw


def _split_lists(raw: Mapping[str, object]) -> dict[str, object]:
    """Lists that were written with commas, as tuples."""
    return {
        key: tuple(part.strip() for part in value.split(",") if part.strip())
        if key in _LISTS and isinstance(value, str)
        else value
        for key, value in raw.items()
    }


def _refuse_unknown(keys: Iterable[str], source: str, shown: Callable[[str], str] = str) -> None:
    known = Config.__struct_fields__
    for key in keys:
        if key in known:
            continue
        import difflib

        near = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean '{shown(near[0])}'?" if near else " `startalk run --help` lists all settings."
        raise Fatal(ExitStatus.USAGE, f"Unknown setting '{shown(key)}' in {source}.{hint}")


def _convert(raw: Mapping[str, object], source: str) -> Config:
    try:
        return msgspec.convert(raw, Config, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        key = where.rstrip("`") or "?"
        raise Fatal(
            ExitStatus.USAGE, f"Setting '{key}' in {source} is not valid: {what[:1].lower() + what[1:]}."
        ) from error


def _check(config: Config) -> None:
    if config.domain and not _DOMAIN.fullmatch(config.domain):
        raise Fatal(
            ExitStatus.USAGE,
            f"Setting 'domain' must be a host name in lower case, like chat.example; got '{config.domain}'.",
        )
    if bool(config.tls_cert) != bool(config.tls_key):
        raise Fatal(ExitStatus.USAGE, "Settings 'tls_cert' and 'tls_key' belong together: give both or neither.")
    if not (config.http or config.https):
        raise Fatal(ExitStatus.USAGE, "Both listeners are off: switch 'https' or 'http' on.")
    _check_net(config)
    if config.trusted_proxies or (config.http and config.http_host not in {"127.0.0.1", "::1", "localhost"}):
        _check_addresses(config)


def _check_addresses(config: Config) -> None:
    import ipaddress

    for proxy in config.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError as error:
            raise Fatal(
                ExitStatus.USAGE,
                f"Setting 'trusted_proxies' holds '{proxy}', which is neither an address nor a network.",
            ) from error
    if not config.http or config.trusted_proxies:
        return
    try:
        loopback = ipaddress.ip_address(config.http_host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Fatal(
            ExitStatus.USAGE,
            f"Setting 'http_host' is '{config.http_host}': plain HTTP is served to this machine only. "
            "Use HTTPS, or name your reverse proxy in 'trusted_proxies'.",
        )


def _check_net(config: Config) -> None:
    """The settings about other nodes."""
    if config.net_allow or config.net_hosts:
        from node.runtime.targets import Exceptions

        try:
            Exceptions.parse(allow=config.net_allow, hosts=config.net_hosts)
        except ValueError as error:
            raise Fatal(ExitStatus.USAGE, f"Settings 'net_allow' and 'net_hosts': {error}.") from error
    if config.net_ca and not Path(config.net_ca).is_file():
        raise Fatal(ExitStatus.USAGE, f"Setting 'net_ca' names '{config.net_ca}', which is no file.")
    if config.public_url and not _LINK_URL.fullmatch(config.public_url):
        raise Fatal(
            ExitStatus.USAGE,
            f"Setting 'public_url' is '{config.public_url}'; it looks like wss://casa.example/s2s or wss://casa.example:8443/s2s.",
        )
    if config.media_hosts:
        import ipaddress

        try:
            for host in config.media_hosts:
                ipaddress.ip_address(host)
        except ValueError as error:
            raise Fatal(
                ExitStatus.USAGE, f"Setting 'media_hosts' holds IP addresses, like 203.0.113.7, and no names: {error}."
            ) from error
    for seed in config.bootstrap:
        host, colon, port = seed.rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) <= 65_535):
            raise Fatal(
                ExitStatus.USAGE, f"Setting 'bootstrap' holds '{seed}'; a contact looks like casa.example:8444."
            )
