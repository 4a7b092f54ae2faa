"""Damage that keeps checksums and syntax, so that it reaches what comes after them: JSON, PNG and .zip.

Each mutator takes bytes and a function that changes bytes, and gives bytes.
"""

import io
import json
import random
import struct
import zipfile
import zlib

# What stands in for a value of JSON.
ODD = (None, True, -1, 0, 10**400, 1e308, float("nan"), "", "\ud800", "a\nb", [], {}, [[]], [None], {"a": None}, "1")


def mutate_json(data, change, seed):
    """Replaces, removes or doubles one value somewhere in the JSON."""
    generator = random.Random(seed)
    try:
        root = [json.loads(data)]
    except (ValueError, RecursionError):
        return change(data)
    places = [(root, 0)]
    for holder, key in places:
        value = holder[key]
        if isinstance(value, dict | list):
            keys = value if isinstance(value, dict) else range(len(value))
            places += [(value, each) for each in keys]
    holder, key = generator.choice(places)
    how = generator.randrange(4)
    if how == 0 and holder is not root:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[generator.choice(list(holder))] = holder[key]
    elif how == 2:
        text = change(json.dumps(holder[key]).encode())
        try:
            holder[key] = json.loads(text)
        except (ValueError, RecursionError):
            holder[key] = text.decode("latin-1")
    else:
        holder[key] = generator.choice(ODD)
    return json.dumps(root[0]).encode()


def mutate_png(data, change, seed):
    """Changes the content of one chunk, or doubles or drops the chunk; lengths and sums are right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    if not chunks:
        return change(data)
    generator = random.Random(seed)
    place, how = generator.randrange(len(chunks)), generator.randrange(6)
    if how == 0:
        chunks.insert(generator.randrange(len(chunks)), chunks[place])
    elif how == 1:
        del chunks[place]
    elif chunks[place][0] == b"IDAT" and how < 4:
        try:
            chunks[place] = [b"IDAT", zlib.compress(change(zlib.decompress(chunks[place][1])))]
        except zlib.error:
            chunks[place] = [b"IDAT", change(chunks[place][1])]
    else:
        chunks[place] = [chunks[place][0], change(chunks[place][1])]
    framed = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return data[:8] + b"".join(framed)


def mutate_zip(data, change, seed):
    """Changes the content or the name of one member; the sums are right."""
    generator, out = random.Random(seed), io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [[name, archive.read(name)] for name in archive.namelist()]
    except Exception:  # What is damaged already is damaged further as bytes.
        return change(data)
    if not members:
        return change(data)
    member = generator.choice(members)
    how = generator.randrange(8)
    if how == 0:
        member[0] = change(member[0].encode("utf-8", "replace")).decode("latin-1").replace("\0", "") or "a"
    elif member[0].endswith(".png") and how < 6:
        member[1] = mutate_png(member[1], change, seed)
    else:
        member[1] = change(member[1])
    try:
        with zipfile.ZipFile(out, "w", generator.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content)
    except Exception:  # Not every name can be written.
        return change(data)
    return out.getvalue()


MUTATORS = {
    **dict.fromkeys(("manifest", "config", "journal", "export"), mutate_json),
    "png": mutate_png,
    "ecotaxa_zip": mutate_zip,
}
