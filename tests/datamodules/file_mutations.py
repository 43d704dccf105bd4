"""Damaged and hostile files, each drawn from a seed out of a small sound one."""

import csv
import io
import os
import pickle
import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

RATE = 20_000
TAGS = (0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x55, 0x161, 0xFFFE, 0xFFFF)
EDGES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0,
         0xFFFFFFFF)  # fmt: skip
ODD_NUMBERS = (float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 1e-45)

TEXTS = (
    "", "-", "[]", "[(0,1)]", "[(1,0)]", "[(0,1),(0,1)]", "[(-5,5)]", "[(1e9,2)]", "[(nan,inf)]", "nan", "inf", "-1",
    "1e400", "0x10", "1_0", "1,5", ".8", "1.", "1e-05", "2.000000000000001", "+1", "1.000,5", "1.5 ", "5", "8",
    "٣", "１", "=cmd|' /C calc'!A0", "../../etc/passwd", "\x00", "\u2028", "\r\n", '"', "'", "\ud7ff",
    "💥", "a" * 200_000, "(" * 5_000, "[(" * 2_000, "[" + "(1,2)," * 5_000 + "]", "[(" + "9" * 40 + ",1)]",
    " " * 20_000 + "x",
)  # fmt: skip


class Payload:
    """Would call something when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def audio(draw: random.Random, marker: Path) -> bytes:
    """A recording in any other format, damaged or with numbers in its header that are not true."""
    content = _recording(draw, draw.choice(("AIFF", "AU", "CAF", "W64", "RF64", "OGG", "WAVEX", "MP3")))
    return damaged(draw, content) if draw.random() < 0.5 else _lie_about_a_number(draw, content)


def wav(draw: random.Random, marker: Path) -> bytes:
    """A WAV or FLAC file."""
    flac = draw.random() < 0.25
    if draw.random() < 0.6:
        return damaged(draw, _recording(draw, "FLAC" if flac else "WAV"))
    if flac:
        content = bytearray(_recording(draw, "FLAC"))
        for place in draw.sample(range(8, 42), draw.randint(1, 4)):  # the block that says rate, channels and length
            content[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        return bytes(content)
    return _lying_wav(draw)


def tensor(draw: random.Random, marker: Path) -> bytes:
    """A ``.pt`` file."""
    choose = draw.random()
    if choose < 0.35:
        return damaged(draw, _saved(torch.zeros(80, 21), draw.random() < 0.8))
    if choose < 0.55:
        return _repacked(draw, _saved(torch.zeros(80, 21)))
    if choose < 0.75:
        return _odd_tensor(draw)
    return _hostile_pickle(draw, marker)


def annotations(draw: random.Random, marker: Path) -> bytes:
    """A CSV of annotations, published or plain, as programs and spreadsheets save it."""
    published = draw.random() < 0.5
    header = ["Spectrogram File Name", "Labels in Spectrogram"] if published else ["file", "start", "end", "type"]
    row = ["clip.pt", "[(40,80), (120, 160)]"] if published else ["clip.wav", "1", "2.5", "squeal"]
    table = [header, row, list(row)]
    for _ in range(draw.randint(0, 3)):
        line = draw.choice(table)
        if line:
            line[draw.randrange(len(line))] = draw.choice(TEXTS)
        draw.choice((line.pop, line.clear, lambda: table.append(list(row)), lambda: None))() if line else None
    separator = draw.choice(",,,,;\t")
    if separator != "," and draw.random() < 0.5:
        table = [[cell.replace(".5", ",5") for cell in line] for line in table]
    file = io.StringIO(draw.choice(("",) * 6 + (f"sep={separator}\n", "sep=;\n", "\n\n", f"{separator}\n")))
    file.seek(0, io.SEEK_END)
    quoting = draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    line_end = draw.choice(("\n", "\r\n", "\r"))
    # Python 3.10 takes a missing escape character for "\0", which it does not write.
    style = {"delimiter": separator, "lineterminator": line_end, "quoting": quoting, "escapechar": "\x1f"}
    csv.writer(file, **style).writerows(table)
    return _text_file(draw, file.getvalue())


def label_track(draw: random.Random, marker: Path) -> bytes:
    """A label track of Audacity."""
    kinds = (
        ("1.000000", "2.500000", "squeal"),
        ("3", "3", "click"),
        ("\\", "400", "8000"),
        ("0", "0", "[unannotated]"),
    )
    lines = [list(cells) for cells in draw.choices(kinds, weights=(4, 2, 1, 1), k=draw.randint(1, 5))]
    for _ in range(draw.randint(0, 2)):
        cells = draw.choice(lines)
        cells[draw.randrange(len(cells))] = draw.choice(TEXTS)
        del cells[draw.choice((3, 3, 2, 1)) :]
    if draw.random() < 0.3:
        lines = [[cell.replace(".5", ",5") for cell in cells] for cells in lines]
    line_end = draw.choice(("\n", "\n", "\r\n", "\r", "\n\n"))
    return _text_file(draw, "".join(draw.choice("\t\t\t\t\t\t ").join(cells) + line_end for cells in lines))


def _text_file(draw: random.Random, text: str) -> bytes:
    """Text in one of the encodings that programs use, damaged or not."""
    encoding = draw.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"))
    content = text.encode(encoding, errors="replace")
    return damaged(draw, content) if draw.random() < 0.5 else content


def cache_entry(draw: random.Random, marker: Path) -> bytes:
    """A ``.npy`` file of the cache."""
    file = io.BytesIO()
    if draw.random() < 0.1:
        np.save(file, np.array([Payload(os.mkdir, str(marker))], dtype=object), allow_pickle=True)
        return file.getvalue()
    np.save(file, np.zeros((80, 21), dtype=np.float32))
    if draw.random() < 0.5:
        return damaged(draw, file.getvalue())
    shape = draw.choice(((80, 21), (21, 80), (80, 20), (80, 0), (0, 21), (80,), (80, 21, 1), (-80, 21), (10**20, 1),
                         (80, 2**61), (2**31, 2**31), (40, 42), (1.5, 2), ("a", 1)))  # fmt: skip
    kind = draw.choice(("<f4", ">f4", "<f8", "<i4", "<U4", "|V4", "|O", "nonsense", "<f2", [("a", "<f4")], "<M8[s]"))
    header = repr({"descr": kind, "fortran_order": draw.choice((True, False, 3)), "shape": shape})
    header = draw.choice((header, header, header, header[:-3], "(" * 3_000, "{'descr': __import__('os')}", "\x00"))
    length = draw.choice((len(header), len(header), len(header), 0, 65_535))
    version = draw.choice((b"\x01\x00", b"\x01\x00", b"\x09\x09"))
    return b"\x93NUMPY" + version + struct.pack("<H", length) + header.encode() + bytes(80 * 21 * 4)


def archive(draw: random.Random, marker: Path) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", draw.choice((0, 8, 12, 14))) as packed:
        warnings.simplefilter("ignore")  # of a name that is there twice, which is meant
        for number in range(draw.randint(0, 4)):
            info = zipfile.ZipInfo(draw.choice((f"data/{number}.pt", f"data/{number}.pt", *_bad_names(marker))) or "x")
            info.external_attr = draw.choice((0, 0, 0, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)) << 16
            info.compress_type = draw.choice((0, 8))
            packed.writestr(info, draw.choice((draw.randbytes(300), b"", bytes(300_000))))
    content = bytearray(file.getvalue())
    if draw.random() < 0.3:
        for signature, first, last in ((b"PK\x01\x02", 8, 46), (b"PK\x03\x04", 4, 30), (b"PK\x05\x06", 4, 22)):
            start = content.find(signature)
            if start >= 0 and draw.random() < 0.6:
                place = start + draw.randrange(first, last - 3)
                content[place : place + 4] = struct.pack("<I", draw.choice(EDGES))
    return damaged(draw, bytes(content)) if draw.random() < 0.5 else bytes(content)


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Change bytes without knowing what they mean, once to three times."""
    for _ in range(draw.randint(1, 3)):
        content = draw.choice(_DAMAGES)(draw, content)
    return content


def _flip_bits(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    reach = draw.choice((64, 512, len(changed)))
    for _ in range(draw.randint(1, 8) if changed else 0):
        changed[draw.randrange(min(reach, len(changed)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _truncate(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randint(0, len(content))]


def _insert(draw: random.Random, content: bytes) -> bytes:
    place = draw.randint(0, len(content))
    return content[:place] + draw.randbytes(draw.choice((1, 2, 4, 100, 5_000))) + content[place:]


def _remove(draw: random.Random, content: bytes) -> bytes:
    place = draw.randint(0, len(content))
    return content[:place] + content[place + draw.choice((1, 2, 4, 100)) :]


def _repeat(draw: random.Random, content: bytes) -> bytes:
    start, end = sorted((draw.randint(0, len(content)), draw.randint(0, len(content))))
    return content[:end] + content[start:end] + content[end:]


def _blank(draw: random.Random, content: bytes) -> bytes:
    place, length = draw.randint(0, len(content)), draw.choice((4, 16, 256))
    return content[:place] + bytes([draw.choice((0, 0xFF))]) * length + content[place + length :]


def _lie_about_a_number(draw: random.Random, content: bytes) -> bytes:
    place = draw.randint(0, min(len(content), draw.choice((64, len(content)))))
    width, order = draw.choice("BHIQ"), draw.choice("<>")
    number = draw.choice(EDGES) % 256 ** struct.calcsize(width)
    packed = struct.pack(order + width, number)
    return content[:place] + packed + content[place + len(packed) :]


def _replace_by_something_else(draw: random.Random, content: bytes) -> bytes:
    return draw.choice((b"", draw.randbytes(1_000), b"\n" * 500, b"PK\x05\x06" + bytes(18), b"\x80\x02.", b"RIFF",
                        b"fLaC", b"OggS" + bytes(50), b"FORM\0\0\0\0AIFF", b"ID3\x03" + bytes(200)))  # fmt: skip


_DAMAGES = (_flip_bits, _flip_bits, _truncate, _insert, _remove, _repeat, _blank, _lie_about_a_number,
            _lie_about_a_number, _replace_by_something_else)  # fmt: skip


def _recording(draw: random.Random, container: str) -> bytes:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2_000, draw.choice((1, 2)))).astype(np.float32)
    chosen = draw.choice(("PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM", "PCM_U8"))
    subtype = chosen if container == "WAV" else soundfile.default_subtype(container)
    if subtype == "FLOAT" and draw.random() < 0.7:
        samples[draw.randrange(2_000)] = draw.choice(ODD_NUMBERS)
    file = io.BytesIO()
    rate = 24_000 if container == "MP3" else RATE
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def _lying_wav(draw: random.Random) -> bytes:
    """A header whose fields are drawn one by one."""
    data = draw.randbytes(4_000)
    channels, bits = draw.choice((0, 1, 2, 3, 255, 1_024, 65_535)), draw.choice((0, 1, 7, 8, 16, 24, 32, 64, 65_535))
    rate = draw.choice((0, 1, 999, 8_000, 19_997, RATE, 44_100, 999_999, 2**31, 2**32 - 1))
    align = draw.choice((0, 1, channels * bits // 8 % 65_536, 65_535))
    fields = struct.pack("<HHIIHH", draw.choice(TAGS), channels, rate, rate * 2 % 2**32, align, bits)
    length = draw.choice((len(data), len(data), len(data) - 1, *EDGES))
    extra = draw.choice((b"", b"LIST" + struct.pack("<I", draw.choice(EDGES)) + b"INFO", b"fact\4\0\0\0" + b"\xff" * 4))
    parts = [b"fmt " + struct.pack("<I", draw.choice((16, 16, 16, 18, 40, *EDGES))) + fields, extra]
    draw.shuffle(parts)
    body = b"".join(parts) + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", draw.choice((len(body) + 4, *EDGES))) + b"WAVE" + body


def _saved(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _repacked(draw: random.Random, content: bytes) -> bytes:
    """One member of the archive damaged, with checksums that fit."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(file, "w") as target:
        chosen = draw.choice(source.namelist() + [name for name in source.namelist() if name.endswith("data.pkl")] * 4)
        for name in source.namelist():
            member = source.read(name)
            target.writestr(name, damaged(draw, member) if name == chosen else member)
    return file.getvalue()


def _odd_tensor(draw: random.Random) -> bytes:
    """Something that torch saves and loads but that is not a spectrogram, or one with odd numbers or claims."""
    values = torch.zeros(80, 21)
    values[draw.randrange(80), draw.randrange(21)] = draw.choice(ODD_NUMBERS)
    huge = draw.choice((10**6, 10**9, 2**40, 2**55))
    odd: tuple[Callable[[], object], ...] = (
        lambda: values,
        lambda: values.double() * 1e300,
        lambda: torch.zeros(1, 1).expand(80, huge),  # one number on disk
        lambda: torch.zeros(80, 1).expand(80, huge),
        lambda: torch.zeros(80, 0),
        lambda: torch.zeros(0, huge),
        torch.zeros(21, 80).t,
        lambda: torch.as_strided(torch.zeros(100), (80, 21), (1, 0)),
        lambda: torch.zeros(80, 21, device="meta"),
        lambda: torch.zeros(80, 21).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.zeros(80, 21), 1.0, 0, torch.qint8),
        lambda: torch.zeros(80, 21, dtype=draw.choice((torch.int64, torch.bool, torch.complex64, torch.bfloat16))),
        lambda: torch.zeros(80, 21).to(draw.choice((torch.float8_e4m3fn, torch.float8_e5m2))),
        lambda: torch.nn.Parameter(torch.zeros(80, 21)),
        lambda: draw.choice((None, 1, "text", [torch.zeros(80, 21)], {"a": torch.zeros(80, 21)})),
        lambda: torch.zeros(80, 21, requires_grad=True),
        lambda: torch.zeros(80, 21, dtype=torch.complex64).imag,
        lambda: torch._neg_view(torch.ones(80, 21)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of tensors that torch is about to give up
        return _saved(draw.choice(odd)())


def _hostile_pickle(draw: random.Random, marker: Path) -> bytes:
    """Would make the marker when it is unpickled, in one of many ways and wrappings."""
    name = str(marker)
    code = f"__import__('os').mkdir({name!r})"
    payload = draw.choice((
        Payload(os.mkdir, name), Payload(os.system, f"mkdir {name}"), Payload(eval, code), Payload(exec, code),
        Payload(open, name, "w"), Payload(Path.mkdir, marker), Payload(os.execl, "/bin/mkdir", "mkdir", name),
        Payload(torch.load, io.BytesIO(pickle.dumps(Payload(os.mkdir, name)))), Payload(getattr, os, "mkdir"),
        Payload(pickle.loads, pickle.dumps(Payload(os.mkdir, name))), Payload(np.load, name),
        Payload(torch._utils._rebuild_tensor_v2, Payload(os.mkdir, name), 0, (80, 21), (21, 1), False, None),
        Payload(torch.Tensor._make_subclass, torch.Tensor, torch.zeros(1), Payload(eval, code)),
    ))  # fmt: skip
    wrapped = draw.choice((payload, [payload], {"spectrogram": torch.zeros(80, 21), "x": payload}, (payload, payload)))
    try:
        if draw.random() < 0.6:
            return _saved(wrapped, draw.random() < 0.6)
        content = pickle.dumps(wrapped, protocol=draw.randint(0, 5))
    except (pickle.PicklingError, TypeError):  # some cannot be written as a torch file or by an old protocol
        content = pickle.dumps(Payload(os.mkdir, name))
    return damaged(draw, content) if draw.random() < 0.3 else content


def _bad_names(marker: Path) -> tuple[str, ...]:
    up = "../" * 8
    return (
        f"../{marker.name}", str(marker), f"{up}tmp/{marker.name}", f"data/../../{marker.name}", f"..\\{marker.name}",
        "C:\\x", "//server/x", ".", "..", "/", "a/", "data", "data/0.pt", "DATA/0.PT", "a\nb", "x" * 300,
        "d/" * 200 + "x", "con", "\u202e.pt", "é", "a:b", " ", "~/x", "data/0.pt/inside",
    )  # fmt: skip


MUTATIONS: dict[str, Callable[[random.Random, Path], bytes]] = {
    "wav": wav,
    "audio": audio,
    "pt": tensor,
    "csv": annotations,
    "txt": label_track,
    "npy": cache_entry,
    "zip": archive,
}


def mutation(kind: str, number: int, marker: Path) -> bytes:
    """The file of that number, the same in every run; one that means harm would make the marker, or a file so named."""
    return MUTATIONS[kind](random.Random(f"{kind} {number}"), marker)
