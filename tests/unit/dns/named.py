"""A real BIND on loopback: an ordinary process with a dynamic zone, TSIG keys and no privileges."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import dns.zone
import pytest

from tests.controlplane.process import Server, free_port

ZONE = "shop.example.com."
KEY, SECRET = "federation.", "c2VjcmV0LW9mLXRoZS1mZWRlcmF0aW9uLTAxMjM0NTY="
READER, READER_SECRET = "reader.", "b25seS1yZWFkcy1uZXZlci13cml0ZXMtMDEyMzQ1Njc="
EVERYTHING = f'grant "{KEY}" zonesub ANY;'

_ZONE_FILE = f"""$TTL 300
@ IN SOA ns.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 60
@ IN NS ns.{ZONE}
ns IN A 127.0.0.1
"""

CREDENTIALS = {"TSIG_KEY": KEY, "TSIG_SECRET": SECRET}


def federation(port: int, *, owner: str = "shop", batch: int = 1000, zone: str = ZONE) -> str:
    """A Federation that writes to this server."""
    return f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: {owner}}}
spec:
  dns:
    ttl: 60
    providers:
      bind:
        class: octodns_bind.Rfc2136Provider
        host: 127.0.0.1
        port: {port}
        timeout: 5
        key_name: env/TSIG_KEY
        key_secret: env/TSIG_SECRET
        key_algorithm: hmac-sha256
        update_batch_size: {batch}
    zones:
      - {{name: {zone}, provider: bind}}
---
"""


def named_program() -> str:
    """The program, or a skip; where every test must run (CI), a failure."""
    found = shutil.which("named", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        message = "needs BIND: apt-get install bind9"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


class Named:
    """``policy`` is an update-policy in BIND's words; changing it takes ``restart``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.policy = EVERYTHING
        self.program = named_program()
        (directory / "shop.zone").write_text(_ZONE_FILE)
        self.server: Server | None = None

    def start(self) -> None:
        self._configure()
        config = self.directory / "named.conf"
        command = [self.program, "-g", "-n", "1", "-U", "1", "-c", config, "-p", str(self.port)]
        self.server = Server(command, self.directory / "named.log")
        self.server.wait_until(self._answers, "named", 20)

    def stop(self) -> None:
        if self.server:
            self.server.kill()

    def pause(self) -> None:
        """It accepts connections and never answers."""
        assert self.server is not None
        self.server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.server is not None
        self.server.signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _configure(self) -> None:
        (self.directory / "named.conf").write_text(f"""
key "{KEY}" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
key "{READER}" {{ algorithm hmac-sha256; secret "{READER_SECRET}"; }};
controls {{ }};
options {{
    directory "{self.directory}";
    pid-file "{self.directory}/named.pid";
    session-keyfile "{self.directory}/session.key";
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    allow-transfer {{ key "{KEY}"; key "{READER}"; }};
}};
zone "{ZONE}" {{ type primary; file "shop.zone"; update-policy {{ {self.policy} }}; }};
""")

    def _answers(self) -> bool:
        question = dns.message.make_query(ZONE, "SOA")
        try:
            dns.query.udp(question, "127.0.0.1", port=self.port, timeout=0.2)
        except (OSError, dns.exception.DNSException):
            return False
        return True

    # -- the independent witness -----------------------------------------------------------

    def answer(self, name: str, kind: str = "A") -> list[str]:
        """What a resolver would be told."""
        question = dns.message.make_query(name, kind)
        said = dns.query.tcp(question, "127.0.0.1", port=self.port, timeout=5)
        return sorted(
            item.to_text()
            for rrset in said.answer
            for item in rrset
            if rrset.rdtype == dns.rdatatype.from_text(kind)
        )

    def transfer(self) -> dict[tuple[str, str], list[str]]:
        """The whole zone but its SOA: (name, type) -> values."""
        keyring = dns.tsigkeyring.from_text({KEY: SECRET})
        message = dns.query.xfr(
            "127.0.0.1", ZONE, port=self.port, keyring=keyring, relativize=False, timeout=5
        )
        zone = dns.zone.from_xfr(message, relativize=False)
        found: dict[tuple[str, str], list[str]] = {}
        for name, _, rdata in zone.iterate_rdatas():
            kind = dns.rdatatype.to_text(rdata.rdtype)
            if kind != "SOA":
                found.setdefault((name.to_text(), kind), []).append(rdata.to_text())
        return {at: sorted(values) for at, values in sorted(found.items())}

    def serial(self) -> int:
        question = dns.message.make_query(ZONE, "SOA")
        said = dns.query.udp(question, "127.0.0.1", port=self.port, timeout=5)
        return int(said.answer[0][0].serial)

    def somebody_writes(self, name: str, kind: str, value: str, ttl: int = 300) -> None:
        """A person with nsupdate."""
        self._update(lambda update: update.replace(name, ttl, kind, value))

    def somebody_deletes(self, name: str, kind: str) -> None:
        self._update(lambda update: update.delete(name, kind))

    def _update(self, change: Callable[[dns.update.UpdateMessage], None]) -> None:
        keyring = dns.tsigkeyring.from_text({KEY: SECRET})
        update = dns.update.UpdateMessage(ZONE, keyring=keyring, keyalgorithm="hmac-sha256")
        change(update)
        said = dns.query.tcp(update, "127.0.0.1", port=self.port, timeout=5)
        assert said.rcode() == 0, said
