"""Headers as programs write them that do not know how long a recording will be."""


def with_sizes(wav, riff, data):
    """A WAV file with other sizes in its header; None keeps the size of the whole."""
    place = wav.index(b"data") + 4
    riff = wav[4:8] if riff is None else riff.to_bytes(4, "little")
    return wav[:4] + riff + wav[8:place] + data.to_bytes(4, "little") + wav[place + 4 :]


def lose_length(flac):
    """Set the number of samples of a FLAC file to 0, which stands for not known."""
    content = bytearray(flac.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
    content[22:26] = bytes(4)
    flac.write_bytes(content)
