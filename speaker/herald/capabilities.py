"""Which privileges this process lacks for its work."""

from pathlib import Path

STATUS = Path("/proc/self/status")
# linux/capability.h. BPF with NET_ADMIN alone is refused by the verifier: it wants PERFMON too.
NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_PERFMON": 38, "CAP_BPF": 39}
SYS_ADMIN = 21  # includes BPF and PERFMON


def missing(status: str | None = None) -> tuple[str, ...]:
    """Names of capabilities that `status`, the text of /proc/self/status, does not show."""
    text = STATUS.read_text() if status is None else status
    [effective] = [
        int(line.split()[1], 16) for line in text.splitlines() if line.startswith("CapEff:")
    ]
    if effective >> SYS_ADMIN & 1:
        effective |= 1 << NEEDED["CAP_BPF"] | 1 << NEEDED["CAP_PERFMON"]
    return tuple(name for name, bit in NEEDED.items() if not effective >> bit & 1)
