"""What worker and core say to each other: msgpack values behind a four-octet length, one socket per worker.

Pure. Bounded before anything is allocated; anything that is not a frame is an error that ends its connection only.
"""

import struct
from typing import Final

import msgspec

from node.cluster.contract import Refusal
from node.intake.door import DoorState, SignIn
from node.intake.errors import ChannelBrokenError
from node.policy.envelope import NewMessage
from node.telemetry.spread import Spread

MAX_FRAME_BYTES: Final = 16 << 20
"""An inline body, its header and ten thousand recipients with ORCPT stay below."""
_HEAD: Final = struct.Struct(">I")
_LENGTH: Final = _HEAD.size
_NO_HEAD: Final = bytes(_LENGTH)


class _Frame(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Positional on the wire: both ends are always the same version."""


class Append(_Frame, tag=1, frozen=True):
    """Worker: make this message durable."""

    seq: int
    message: NewMessage
    body: bytes
    """Inline body; empty when ``path`` names a file."""
    path: str = ""
    size_bytes: int = 0


class RawAppend(_Frame, tag=1, frozen=True):
    """``Append`` as the lane reads it: the message's facts stay as they are encoded."""

    seq: int
    message: msgspec.Raw
    body: bytes
    path: str = ""
    size_bytes: int = 0


class Admit(_Frame, tag=2, frozen=True):
    """Worker: reserve for a client."""

    seq: int
    client: str
    recipients: int
    held: int


class Done(_Frame, tag=3, frozen=True):
    """Worker: end a reservation."""

    client: str
    reserved: int
    used: int


class Verify(_Frame, tag=4, frozen=True):
    """Worker: check a sign-in. Never logged, never shown."""

    seq: int
    user: str
    password: bytes
    address: str

    def __repr__(self) -> str:
        """Hide the secret."""
        return f"Verify(seq={self.seq})"


class Sighted(_Frame, tag=5, frozen=True):
    """Worker: things seen of a client since the last time."""

    client: str
    what: str
    address: str
    amount: int


class Counted(_Frame, tag=7, frozen=True):
    """Worker: what its meters gathered since the last time."""

    name: str
    labels: dict[str, str]
    amount: int
    """Added to a counter; 0 for a histogram."""
    spread: Spread | None = None
    """What a histogram had meanwhile; None for a counter."""


class Serving(_Frame, tag=8, frozen=True):
    """Worker: listening."""


class Welcome(_Frame, tag=16, frozen=True):
    """Core, once: where large bodies go and how the door stands."""

    settings: bytes
    """The settings as JSON; secrets are references in it."""
    hostname: str
    """The host's own name, for settings that name none."""
    body_directory: str
    state: DoorState
    lane: bool = False
    """Whether mail may come by the lane (lane.py)."""


class Appended(_Frame, tag=17, frozen=True):
    """Core: these messages are durable."""

    seqs: list[int]


class Failed(_Frame, tag=18, frozen=True):
    """Core: this question got no answer; nothing was promised."""

    seq: int
    full: bool = False


class Admitted(_Frame, tag=19, frozen=True):
    """Core: the answer to Admit."""

    seq: int
    refusal: Refusal | None


class Verified(_Frame, tag=20, frozen=True):
    """Core: the answer to Verify."""

    seq: int
    outcome: SignIn


class State(_Frame, tag=21, frozen=True):
    """Core: the door's new state."""

    state: DoorState


class Reload(_Frame, tag=22, frozen=True):
    """Core: read the settings again."""

    settings: bytes
    """The settings as JSON; secrets are references in it."""


class Drain(_Frame, tag=23, frozen=True):
    """Core: take in who is queued, let sessions end, then exit; said again: wait for nobody any more."""

    bound_s: float


class Hold(_Frame, tag=24, frozen=True):
    """Core: newcomers are held back; let sessions end that came by these addresses."""

    addresses: tuple[str, ...]
    bound_s: float
    settle_s: float


class SeeOut(_Frame, tag=26, frozen=True):
    """Core: let sessions end that are here by these addresses; newcomers are let in."""

    addresses: tuple[str, ...]
    bound_s: float


class Unhold(_Frame, tag=25, frozen=True):
    """Core: newcomers come again."""


class Held(_Frame, tag=9, frozen=True):
    """Worker: no session of a Hold or SeeOut is left, or the time was up."""


class Drained(_Frame, tag=6, frozen=True):
    """Worker: no session is left, or the time was up."""

    cut_off: int


FromWorker = Append | Admit | Done | Verify | Sighted | Counted | Serving | Held | Drained
Order = Reload | Hold | SeeOut | Unhold | Drain
"""What the core wants of a worker besides answering it."""
FromCore = Welcome | Appended | Failed | Admitted | Verified | State | Order
_encoder = msgspec.msgpack.Encoder()


def add_frame(buffer: bytearray, frame: FromWorker | FromCore) -> None:
    """Put one frame at the end of ``buffer``: those of a turn go out together, and their mail is copied once.

    Raises what cannot be encoded, and then leaves the others as they were.
    """
    at = len(buffer)
    buffer += _NO_HEAD
    try:
        _encoder.encode_into(frame, buffer, at + _LENGTH)
    except BaseException:
        del buffer[at:]
        raise
    _HEAD.pack_into(buffer, at, len(buffer) - at - _LENGTH)


def pack(frame: FromWorker | FromCore) -> bytes:
    """One frame as octets."""
    buffer = bytearray()
    add_frame(buffer, frame)
    return bytes(buffer)


class FrameReader:
    """Cuts a stream into frames."""

    def __init__(self, kind: object) -> None:
        """``kind``: the union of frames the other side may send."""
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._buffer = b""

    def feed(self, data: bytes | memoryview) -> list[object]:
        """Every frame completed by ``data``. Raises ChannelBrokenError."""
        data = self._buffer + data if self._buffer else data
        frames: list[object] = []
        at, size = 0, len(data)
        view = memoryview(data)
        while size - at >= _LENGTH:
            length = _HEAD.unpack_from(data, at)[0]
            if length > MAX_FRAME_BYTES:
                raise ChannelBrokenError("frame longer than allowed")
            if size - at - _LENGTH < length:
                break
            at += _LENGTH
            try:
                frames.append(self._decode(view[at : at + length]))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise ChannelBrokenError("not a frame") from None  # its text could quote what the frame held
            at += length
        self._buffer = bytes(data[at:])
        return frames
