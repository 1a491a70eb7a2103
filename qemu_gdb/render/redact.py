"""Takes what is private out of an explanation before it is published: paths, hosts, addresses, secrets, guest data.

What a reader of QEMU's source needs stays: functions, source files and lines, types, ids, sizes, offsets. The same
thing gets the same label throughout (``<host 1>``), so that it can still be followed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import shlex
from typing import Any, Callable, Dict, List, Match, Optional, Sequence, Tuple

from ..model import Explanation, Frame, Message, Snapshot
from ..pattern import Pattern

# Keys of QEMU's options and QMP arguments, by what their values tell (qemu-options.hx, qapi/*.json; 5.2 to 10.2).
_SECRETS = frozenset("""data password passwd passphrase secret iv auth-cookie authpassword cookie-secret password-data
    key auth_sock""".split())
_HOSTS = frozenset("""host hostname server to localaddr addr-host listen-addr portal listen group.host
    bind local-address""".split())
_PATHS = frozenset("""file filename path image base backing backing-file logfile pidfile script downscript dir export
    mem-path unix socket socket-path cert key-file romfile cdrom kernel initrd append dtb bios firmware rundir
    x509-dir smb bootfile tftp helper br initfile rootdir source device-path sysfsdev sharedpath snapshot-file
    target-file luks-file backing_file base-filename lun-path vhostdev cgroup dir-path dump-file""".split())
_NAMES = frozenset("""guest serial uuid wwn user username user_id owner initiator-name iqn export-name volume pool
    domain domainname dnssearch manufacturer product version family sku asset location mac macaddr guid string value
    netdev-helper-args identity image-id cluster subject dn target group snap-name cmd command description""".split())
# Options whose next word is private as a whole, and what it is.
_WORD_OPTIONS: Dict[str, str] = {
    **dict.fromkeys("""kernel initrd bios dtb cdrom hda hdb hdc hdd fda fdb pflash sd mtdblock mem-path pidfile D chroot
        L shim writeconfig readconfig loadvm img tftp bootp""".split(), "path"),
    "append": "kernel command line", "uuid": "uuid", "runas": "name", "run-with": "path", "user": "name",
    "smb": "path", "redir": "host", "prom-env": "text", "plugin": "path", "acpitable": "path", "virtfs": "path",
}  # fmt: skip
_ENDPOINTS = frozenset("""vnc spice display serial monitor qmp qmp-pretty incoming parallel gdb chardev
    debugcon""".split())
_IMAGE = Pattern(r"\.(qcow2?|raw|img|iso|vmdk|vhdx?|vdi|qed|bin|fd|sock|socket|pid|log|elf|dtb|xml|gz|xz)$", re.I)

_PAIR_IN_TEXT = Pattern(
    r"""(?ix)(?P<key>["']?\b(?:pass(?:word|wd|phrase)|secret|auth[-_]?token|api[-_]?key)["']?\s*[:=]\s*)
    (?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;)}]+)""")
_UUID = Pattern(r"(?i)(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])")
_MAC = Pattern(r"(?i)(?<![0-9a-f:.-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![0-9a-f:-])")
_MAIL = Pattern(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9][\w-]*(?:\.[\w-]+)*")
_IPV4 = re.compile(r"(?<![\w.:+~-])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w.-]|:\w*\+)"
                   r"|(?<=:)(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?=:\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?(?![\w:])")
_URL = Pattern(r"(?i)\b(?P<scheme>[a-z][a-z0-9+.-]{1,20})://(?P<rest>[^\s\"'<>`]+)")
_SOCKET = Pattern(r"(?i)\b(?P<scheme>tcp|udp|nbd|telnet|websocket|rdma|ssh):"
                     r"(?P<host>\[[^\]\s]+\]|[\w.-]+)(?=:\d)")
_UNIX = Pattern(r"(?i)\b(?P<scheme>unix|file|fd|path|rbd|sheepdog|gluster|pipe):(?P<rest>[^\s\"'<>`,;)]+)")
_EXEC = Pattern(r"\bexec:(?P<rest>[^\"'<>`\n]+)")
_DOMAIN = Pattern(r"(?i)(?<![\w./@-])(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:com|org|net|edu|gov|mil|int|info|"
                     r"io|dev|cloud|local|lan|internal|intra|intranet|corp|home|localdomain|private|example|test|de|uk|"
                     r"fr|cn|jp|ru|nl|eu|it|ch|se|no|fi|pl|cz|br|in|au|ca)(?![\w-]|\.\w|\()")
_PART = r"[^\s\"'`,;:()<>{}\[\]|=/]+"
_PATH = Pattern(rf"(?<![\w.~/<>$-])(?:~[\w.-]*)?/(?=[\w.~+-])(?:{_PART}/)*{_PART}/?"
                   r"|\b[A-Za-z]:\\[^\s\"'`,;()<>|]+")
_HEX = Pattern(r"(?i)\b0x[0-9a-f]{7,16}(?![0-9a-f])|(?<![\w.])(?=[0-9a-f]*[a-f])0[0-9a-f]{15}(?![\w.])")
_STRING = Pattern(r'"(?:[^"\\]|\\.)*"(?:\.\.\.)?|"[^"]*$')
_CHARACTER = Pattern(r"(?<=\d )'(?:[^'\\]|\\.[^']{0,10})'(?: <repeats \d+ times>)?")
_ARRAY = Pattern(r"\{(?:\s*(?:0x[0-9a-fA-F]+|-?\d+)(?: <repeats \d+ times>| '[^']{1,6}')?\s*,?){4,}"
                    r"(?:\.\.\.)?\s*\}?")

_LONGEST, _LONGEST_LINE = 8192, 65536  # characters of one text and of a command line that are looked at

# Arguments whose strings are QEMU's own words: assert's, error_setg's and QOM's.
_OWN_STRINGS = frozenset("""assertion __assertion expr expression func function __function __func fmt format prop
    property typename type driver cmd_name command interface signature errmsg""".split())
_SOURCE_STRINGS = frozenset("file __file filename src fname".split())
_NOT_POINTERS = frozenset("""addr offset hwaddr size len length flags features mask val value gpa paddr physaddr bytes
    sector_num haddr ret request cmd""".split())
_DISPLAYED_PATHS = Pattern(
    r"^/(?:machine|objects|chardevs|backend|peripheral|unattached)(?:/|$)"  # QOM paths
    r"|^/dev/(?:kvm|null|zero|random|urandom|full|tty|ptmx|vhost-net|vhost-vsock|net/tun|hugepages|shm|vfio/vfio|userfaultfd)$"
    r"|^/(?:proc|sys)(?:/self|/sys)?(?:/[a-z_]+){0,4}$")
_SOURCE = Pattern(r"\.(?:c|cc|cpp|h|hpp|inc|m|rs|S|s|py|asm)$|\.(?:c|h)\.inc$")
_PROGRAM = Pattern(r"/(?:usr/)?(?:local/)?(?:s?bin|libexec)/[\w.+-]+$")
_TOP = frozenset("""accel audio authz backends block bsd-user chardev common-user contrib crypto disas dump ebpf fpu
    gdbstub hw include io iothread libdecnumber linux-user migration monitor nbd net plugins qapi qga qobject qom replay
    scsi semihosting softmmu storage-daemon stubs system target tcg tests tools trace ui util build rust
    subprojects""".split())
_COMMON = frozenset("""qemu root guest user disk nobody main test host none default system drive image
    virtio scsi-hd localhost 127.0.0.1 0.0.0.0""".split())
_PLAIN_HOSTS = frozenset("localhost 127.0.0.1 0.0.0.0 255.255.255.255 ::1 :: * any on off none".split())


def source_file(path: str) -> str:
    """A source file's path in QEMU's tree, or its name alone: ``/home/me/qemu/hw/scsi/x.c`` becomes ``hw/scsi/x.c``."""
    plain = path.replace("\\", "/")
    parts = plain.split("/")
    while parts and parts[0] in ("..", "."):
        parts.pop(0)
    start = max((i for i, p in enumerate(parts[:-1]) if p.startswith("qemu")), default=-1) + 1
    for first in (start, 0):
        for i in range(first, len(parts) - 1):
            if parts[i] in _TOP:
                return "/".join(parts[i:])
    absolute = plain.startswith(("/", "~")) or re.match(r"[A-Za-z]:", plain)
    return parts[-1] if absolute else "/".join(parts)


class Redactor:
    """Labels private things, the same thing always the same way, over all the texts of one report."""

    def __init__(self) -> None:
        self._labels: Dict[Tuple[str, str], str] = {}
        self._counts: Dict[str, int] = {}
        self._known: Dict[str, str] = {}  # values that were seen under a telling key, and their labels
        self._finder: Optional[re.Pattern[str]] = None

    def explanations(self, told: Sequence[Explanation]) -> List[Explanation]:
        """Copies of ``told`` without anything private; the originals stay as they are."""
        for explanation in told:
            _learn(self, explanation.snapshot)
        return [_explanation(self, explanation) for explanation in told]

    def spell(self, address: int) -> str:
        """An address of the process."""
        return self.address(hex(address))

    # -- labels

    def label(self, what: str, value: str) -> str:
        """``<what N>`` for ``value``."""
        key = (what, value)
        if key not in self._labels:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._labels[key] = f"<{what} {self._counts[what]}>"
        return self._labels[key]

    def _path(self, path: str) -> str:
        if _SOURCE.search(path):
            return source_file(path)
        if _DISPLAYED_PATHS.match(path):
            return path
        if re.search(r"/[^/]*\.so(?:\.[\d.]+)?$", path) or _PROGRAM.match(path):
            return path.rsplit("/", 1)[1]
        suffix = _IMAGE.search(path)
        return self.label("path", path) + (suffix.group() if suffix else "")

    def _host(self, host: str) -> str:
        return host if host.strip("[]").lower() in _PLAIN_HOSTS or host.startswith("<") else self.label(
            "host", host.strip("[]"))

    def address(self, value: str) -> str:
        """A host address in hex; small numbers, fill patterns and errors stay, they tell something."""
        try:
            number = int(value, 16)
        except ValueError:
            return value
        digits = f"{number:x}"
        # A pointer that is spelled with all its digits may lie low: a program that is not position-independent.
        least = 1 << 16 if len(value) >= 14 else 1 << 32
        if number < least or number >= (1 << 64) - (1 << 20) or len(set(digits)) <= 2:
            return value
        return self.label("address", digits)

    def learn(self, what: str, value: Optional[str]) -> str:
        """Label ``value`` here and wherever else it stands; returns the label."""
        if not value:
            return value or ""
        if value.startswith("<") and value.endswith(">"):
            return value
        if what == "host":
            told = self._host(value)
        elif what == "path":
            told = self._path(value) if value.startswith(("/", "~")) else self._relative(value)
        elif what == "secret":
            told = "<secret>"
        else:
            told = self.label(what, value)
        if told != value and _is_telling(what, value):
            self._known[value] = told
            self._finder = None
        return told

    def _relative(self, path: str) -> str:
        suffix = _IMAGE.search(path)
        return self.label("path", path) + (suffix.group() if suffix else "")

    # -- texts

    def text(self, text: Optional[str]) -> str:
        """Prose, a message, a name."""
        if not text:
            return text or ""
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + " ... (cut)"
        if self._known:
            if self._finder is None:
                longest = sorted(self._known, key=len, reverse=True)
                self._finder = re.compile(r"(?<![\w<])(?:" + "|".join(map(re.escape, longest)) + r")(?!\w)")
            text = self._finder.sub(lambda m: self._known[m.group()], text)
        text = _PAIR_IN_TEXT.sub(lambda m: f"{m['key']}<secret>", text)
        text = _URL.sub(self._url, text)
        text = _EXEC.sub(lambda m: "exec:" + self.learn("command", m["rest"].strip()), text)
        text = _UNIX.sub(lambda m: m.group() if m["rest"].isdecimal() or m["rest"].startswith(("<", "/<")) or (
            m["scheme"].lower() in ("file", "path") and _SOURCE.search(m["rest"])) else
            f"{m['scheme']}:{self._path(m['rest']) if m['rest'].startswith('/') else self._relative(m['rest'])}", text)
        text = _SOCKET.sub(lambda m: f"{m['scheme']}:{self._host(m['host'])}", text)
        text = _UUID.sub(lambda m: self.label("uuid", m.group().lower()), text)
        text = _MAC.sub(lambda m: self.label("MAC address", m.group().lower()), text)
        text = _MAIL.sub(self._mail, text)
        text = _IPV4.sub(lambda m: self._host(m.group()), text)
        if text.count(":") > 1:
            text = _IPV6.sub(self._ipv6, text)
        text = _DOMAIN.sub(lambda m: self._host(m.group()), text)
        if "/" in text or ":\\" in text:
            text = _PATH.sub(lambda m: self._path(m.group()) if _is_path(m.group()) else m.group(), text)
        return _HEX.sub(lambda m: self.address(m.group()), text)

    def _url(self, found: Match[str]) -> str:
        scheme, rest = found["scheme"], found["rest"]
        tail = ""
        while rest and rest[-1] in ".,;)":
            rest, tail = rest[:-1], rest[-1] + tail
        if re.match(r"(?:www\.)?(?:gitlab\.com/qemu-project|qemu\.org|lore\.kernel\.org|lists\.(?:non)?gnu\.org|"
                    r"bugs\.launchpad\.net|bugzilla\.redhat\.com)(?:/|$)", rest):
            return found.group()
        return f"{scheme}://{self.label('server', rest)}{tail}"

    def _mail(self, found: Match[str]) -> str:
        # gdb shows symbol versions and modified pointers (name@entry, write@GLIBC_2.2.5) with the same sign.
        if found.group().split("@", 1)[1] in ("entry", "plt") or re.search(r"@+(?:GLIBC|GCC|Base|LIB)", found.group()):
            return found.group()
        return self.label("user", found.group())

    def _ipv6(self, found: Match[str]) -> str:
        value = found.group()
        try:
            ipaddress.IPv6Address(value.partition("%")[0])
        except ValueError:
            return value
        return self._host(value) if value.count(":") >= 2 and len(value) > 3 else value

    # -- values

    def value(self, name: str, value: str) -> str:
        """An argument's or a local's value, as a debugger prints it."""
        value = value[:_LONGEST]
        if name in _OWN_STRINGS:
            value = _STRING.sub(
                lambda m: m.group() if len(m.group()) < 300 and "/" not in m.group() else '"..."', value)
        elif name in _SOURCE_STRINGS:
            value = _STRING.sub(lambda m: f'"{source_file(m.group()[1:-1])}"' if _SOURCE.search(m.group()[1:-1])
                                else '"..."', value)
        else:
            value = _STRING.sub('"..."', value)
        value = _CHARACTER.sub("'.'", value)
        value = _ARRAY.sub("{...}", value)
        if name not in _NOT_POINTERS:
            value = re.sub(r"\b0x[0-9a-f]{7,8}\b", lambda m: self._narrow(m.group()), value)
        return self.text(value)

    def _narrow(self, value: str) -> str:
        """A 32-bit host's address."""
        number = int(value, 16)
        return value if len(set(value[2:])) <= 2 or number >= 0xFFFFF000 else self.label("address", f"{number:x}")

    # -- command lines

    def command_line(self, line: Optional[str]) -> str:
        """QEMU's command line with its private values labelled."""
        if not line:
            return line or ""
        words = _words(line[:_LONGEST_LINE])
        told: List[str] = []
        option = ""
        for i, word in enumerate(words):
            if i == 0 or (not option and re.match(r"qemu-[\w-]+$", word.rsplit("/", 1)[-1])):
                told.append(self._program(word))
            elif re.match(r"[A-Z][A-Z0-9_]+=", word) and not option and all(
                    re.match(r"[A-Z][A-Z0-9_]+=|env$", w) for w in words[:i]):
                told.append(word.partition("=")[0] + "=" + self.learn("value", word.partition("=")[2]))
            elif re.match(r"--?[A-Za-z]", word) and option not in ("append", "name", "prom-env"):
                name, equals, value = word.partition("=")
                option = name.lstrip("-")
                if equals:
                    told.append(f"{name}={self._option(option, value)}")
                    option = ""
                else:
                    told.append(word)
            else:
                told.append(self._option(option, word))
                option = ""
        return " ".join(told)

    def _program(self, word: str) -> str:
        if re.match(r"[A-Z][A-Z0-9_]+=", word):
            return word.partition("=")[0] + "=" + self.learn("value", word.partition("=")[2])
        name = word.rsplit("/", 1)[-1]
        own = re.match(r"(?:lt-)?(?:qemu|kvm|env|sudo|valgrind|gdb|taskset|numactl)", name)
        return name if own else self.text(word)

    def _option(self, option: str, value: str) -> str:
        if option in _WORD_OPTIONS:
            return self.learn(_WORD_OPTIONS[option], value)
        if not option:  # a word of its own: a disk image
            return self.learn("path", value)
        if option == "smbios":
            return ",".join(part if part.startswith("type=") else self._pair(part, "text") for part in _split(value))
        if option == "name":
            return ",".join(part if part.startswith(("debug-threads=", "process=")) else self._pair(part, "name")
                            for part in _split(value))
        if option in _ENDPOINTS:
            return ",".join(self._endpoint(part) for part in _split(value))
        if value.startswith(("{", "json:{", "[")):
            return self._json(value)
        return ",".join(self._pair(part) for part in _split(value))

    def _endpoint(self, part: str) -> str:
        """A chardev's or a display's address, with or without a key."""
        if "=" in part.split(":", 1)[0]:
            return self._pair(part)
        scheme, colon, rest = part.partition(":")
        if not colon:
            return self.text(part)
        if scheme in ("unix", "file", "pipe", "exec", "cmd", "defer", "fd"):
            return f"{scheme}:{self.learn('command' if scheme in ('exec', 'cmd') else 'path', rest)}"
        if scheme in ("tcp", "udp", "telnet", "rdma", "websocket", "tn3270"):
            host, last, port = rest.rpartition(":")
            return f"{scheme}:{self.learn('host', host) if host else ''}{last}{port}"
        host = self.learn("host", scheme) if scheme and re.search(r"\d|\.", rest[:1]) and scheme not in (
            "mon", "chardev", "vc", "none", "stdio") else scheme
        return f"{host}:{rest}"

    def _pair(self, part: str, otherwise: str = "") -> str:
        key, equals, value = part.partition("=")
        if not equals:
            return self.learn(otherwise, part) if otherwise else self.text(part)
        if value.startswith(("{", "json:{")):
            return f"{key}={self._json(value)}"
        return f"{key}={self._keyed(key, value, otherwise)}"

    def _keyed(self, key: str, value: str, otherwise: str = "") -> str:
        last = key.lower().rsplit(".", 1)[-1].replace("_", "-")
        if last in _SECRETS or re.search(r"password$|passwd$|passphrase", last):
            return self.learn("secret", value)
        if last in _HOSTS:
            return self.learn("host", value) if "/" not in value else self.learn("path", value)
        if "://" in value or re.match(r"(?:nbd|rbd|ssh|sheepdog|iscsi|fat):", value):
            self._known.setdefault(value, f"{re.split('[:]', value, maxsplit=1)[0]}:{self.label('server', value)}")
            self._finder = None
            return self._known[value]
        if last in _PATHS:
            return self.learn("path", value)
        if last in _NAMES or last.startswith("x-guest") or otherwise:
            what = "uuid" if last == "uuid" else "MAC address" if last in ("mac", "macaddr") else otherwise or "name"
            return self.learn(what, value)
        if last in ("hostfwd", "guestfwd", "connect", "dns", "net", "dhcpstart", "ip"):
            return self.learn("host", value)
        return self.text(value)

    def _json(self, value: str) -> str:
        prefix = "json:" if value.startswith("json:") else ""
        try:
            plain = json.loads(value[len(prefix):])
        except (ValueError, RecursionError):
            return self.label("text", value)
        return prefix + json.dumps(self._plain("", plain, 0))

    def _plain(self, key: str, value: Any, depth: int) -> Any:
        if depth > 20:
            return "..."
        if isinstance(value, dict):
            return {str(k): self._plain(str(k), v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(key, v, depth + 1) for v in value]
        return self._keyed(key, value) if isinstance(value, str) else value

    def arguments(self, text: str) -> str:
        """A monitor command's arguments: JSON, or words with ``key=value`` among them."""
        stripped = text[:_LONGEST].strip()
        if stripped.startswith("{"):
            return self._json(stripped)
        pairs = re.compile(r'(?P<key>"?(?<![\w.-])[\w.-]{1,64}"?)(?P<is>\s*[:=]\s*)'
                           r'(?P<value>"(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+)')

        def keyed(found: Match[str]) -> str:
            quote = '"' if found["value"].startswith('"') else ""
            bare = found["value"].strip('"')
            return f"{found['key']}{found['is']}{quote}{self._keyed(found['key'].strip(chr(34)), bare)}{quote}"

        return self.text(pairs.sub(keyed, stripped))


def _is_telling(what: str, value: str) -> bool:
    """Whether a value may be looked for in sentences: a plain word could stand there by itself."""
    if len(value) < 4 or value.isdecimal() or value.lower() in _COMMON:
        return False
    return what == "host" or not value.isalpha() or not value.islower() or len(value) > 12


def _is_path(text: str) -> bool:
    """Whether what looks like a path in a sentence is one: ``/KVM`` and ``/s`` are none."""
    return text.count("/") > 1 or not text.startswith("/") or bool(_IMAGE.search(text))


def _words(line: str) -> List[str]:
    try:
        return shlex.split(line)
    except ValueError:  # cut, or with a lone quote
        return line.split()


def _split(value: str) -> List[str]:
    """Sub-options at their commas; ``,,`` stands for a comma in a value."""
    return [p.replace("\0", ",,") for p in value.replace(",,", "\0").split(",")]


# ---------------------------------------------------------------------------------------------------------------


def _learn(redactor: Redactor, snapshot: Snapshot) -> None:
    """Learn the private values that QEMU's structures name as such, so that they are found in every sentence."""
    facts = snapshot.facts
    redactor.command_line(snapshot.command_line)
    for node in facts.nodes:
        _endpoint(redactor, node.filename)
        _endpoint(redactor, node.peer)
    for chardev in facts.chardevs:
        _endpoint(redactor, chardev.peer)
    for migration in facts.migration:
        scheme, _, rest = migration.uri.partition(":")
        if scheme == "exec":
            redactor.learn("command", rest)
        else:
            _endpoint(redactor, migration.uri)
        if migration.command:
            redactor.learn("command", migration.command)
    for command in facts.monitor_commands:
        redactor.arguments(command.arguments)
    if facts.fault is not None and facts.fault.ram_file:
        redactor.learn("path", facts.fault.ram_file)
    if snapshot.source.file:
        redactor.learn("path", snapshot.source.file)


def _endpoint(redactor: Redactor, told: str) -> None:
    """Learn a file name, a URL or a socket's address from a field that holds nothing else."""
    if not told or told.startswith(("null-co:", "null-aio:", "blkdebug:", "json:")):
        return
    url = re.match(r"[\w+.-]+://(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^/:?#]*)(?::\d+)?(?P<path>/[^?#]*)?", told)
    if url:
        if url["host"]:
            redactor.learn("host", url["host"].strip("[]"))
        if url["path"] and len(url["path"]) > 1:
            redactor.learn("path", url["path"])
        return
    scheme, colon, rest = told.partition(":")
    if colon and re.fullmatch(r"[a-z]{2,12}", scheme):
        if scheme in ("unix", "file", "path", "pipe", "fd"):
            redactor.learn("path", rest.partition(",")[0])
        else:
            host = re.match(r"(\[[^\]]*\]|[\w.-]*[A-Za-z.][\w.-]*)(?=:|$)", rest)
            if host:
                redactor.learn("host", host.group().strip("[]"))
        return
    if told.startswith("/") or "/" in told or _IMAGE.search(told):
        redactor.learn("path", told)


# Fields whose strings are QEMU's or this program's own words, never a user's.
_OWN = frozenset("""function kind confidence rule role role_rule state_rule culprit culprit_rule subsystem driver
    direction accelerator debug_info dialect protocol instruction register access memory_kind mode exit_reason type
    entry command version package program runstate""".split())


def _explanation(redactor: Redactor, told: Explanation) -> Explanation:
    copies: Dict[int, Any] = {}
    _copy(redactor, told.findings, {})  # what is told first gets the first labels
    fresh = _copy(redactor, told, copies)
    assert isinstance(fresh, Explanation)
    snapshot = fresh.snapshot
    snapshot.command_line = redactor.command_line(told.snapshot.command_line) or None
    snapshot.unparsed = []
    if snapshot.source.file:
        snapshot.source.file = redactor.learn("path", told.snapshot.source.file)
    for thread in snapshot.threads:
        thread.registers, thread.tls, thread.heading = {}, {}, ""
    return fresh


def _copy(redactor: Redactor, value: Any, copies: Dict[int, Any], name: str = "") -> Any:
    """A deep copy with redacted strings; an object that stands in two places is copied once."""
    if isinstance(value, str):
        return value if name in _OWN else redactor.text(value)
    if isinstance(value, list):
        return [_copy(redactor, item, copies, name) for item in value]
    if isinstance(value, tuple):
        return tuple(_copy(redactor, item, copies, name) for item in value)
    if isinstance(value, dict):
        return {key: _copy(redactor, item, copies, str(key)) for key, item in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    found = copies.get(id(value))
    if found is not None:
        return found
    special = _SPECIAL.get(type(value))
    if special is not None:
        fresh = special(redactor, value)
    else:
        given = {f.name: _copy(redactor, getattr(value, f.name), copies, f.name) for f in dataclasses.fields(value)}
        fresh = type(value)(**given)
    copies[id(value)] = fresh
    return fresh


def _frame(redactor: Redactor, frame: Frame) -> Frame:
    return dataclasses.replace(
        frame,
        file=source_file(frame.file) if frame.file else frame.file,
        library=re.split(r"[/\\]", frame.library)[-1] if frame.library else frame.library,
        pc=None,
        function=redactor.text(frame.function) if frame.function and "/" in frame.function else frame.function,
        args={key: redactor.value(key, value) for key, value in frame.args.items()},
        locals={key: redactor.value(key, value) for key, value in frame.locals.items()},
    )


def _message(redactor: Redactor, message: Message) -> Message:
    return dataclasses.replace(
        message,
        text=redactor.text(message.text),
        file=source_file(message.file) if message.file else message.file,
    )


_SPECIAL: Dict[type, Callable[[Redactor, Any], Any]] = {Frame: _frame, Message: _message}
