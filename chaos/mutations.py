"""Damage with a structure: bytes, JSON trees, safetensors and texts, each from a seeded generator."""

import copy
import json
import struct
from random import Random
from typing import Any

EVIL: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    2**31,
    2**32,
    2**63,
    2**64,
    -(2**63),
    10**30,
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "a",
    "input",
    "../../canary",
    "/canary",
    "C:\\canary",
    "\0",
    "\x1b[2J",
    "=1+1",
    "<script>alert(1)</script>",
    "é" * 300,
    "x" * 5000,
    "uniform",
    "lqnet",
    "lif",
    "conv2d",
    "U8",
    "F64",
    [],
    {},
    [[]],
    [0],
    [-1],
    [2**40],
    [2**31, 2**31],
    ["a"],
    {"a": 1},
    {"kind": "uniform"},
    "os:abort",
    "os:getpid",
]
NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)


def damaged_bytes(random: Random, content: bytes) -> bytes:
    """The content with one to eight bytes flipped, replaced, removed, repeated, or cut short."""
    made = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        at = random.randrange(len(made) + 1)
        kind = random.randrange(7)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(made):
            made[at] = random.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            number = struct.pack(random.choice("<>") + "Q", random.choice((*NUMBERS, len(made), at)))[: random.choice((2, 4, 8))]
            made[at : at + len(number)] = number
        elif kind == 3:
            del made[at:]
        elif kind == 4:
            del made[at : at + random.choice((1, 2, 8, 64))]
        elif kind == 5:
            made[at:at] = made[max(0, at - random.choice((1, 8, 64))) : at]
        else:
            made[at:at] = random.randbytes(random.choice((1, 4, 16)))
    return bytes(made)


def damaged_tree(random: Random, document: Any) -> Any:
    """The JSON-able document with one to three values replaced, removed, renamed, doubled, swapped or nested."""
    made = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        made = _damaged_once(random, made)
    return made


def _damaged_once(random: Random, document: Any) -> Any:
    holders = [holder for holder in _holders(document) if holder]
    if not holders or random.random() < 0.01:
        return random.choice(EVIL)
    holder = random.choice(holders)
    key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    kind = random.randrange(8)
    if kind <= 2:
        holder[key] = copy.deepcopy(random.choice(EVIL))
    elif kind == 3:
        del holder[key]
    elif kind == 4 and isinstance(holder, dict):
        holder[str(random.choice(EVIL))[:300]] = holder.pop(key)
    elif kind == 4:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 5:
        other = random.choice(holders)
        source = random.choice(list(other)) if isinstance(other, dict) else random.randrange(len(other))
        holder[key] = copy.deepcopy(other[source])
    elif kind == 6 and isinstance(holder[key], int | float):
        holder[key] = random.choice((-1, 2, 0.5, 1000, 10**9)) * holder[key]
    else:
        holder[key] = nested(holder[key], random.choice((1, 3, 60)))
    return document


def nested(value: Any, depth: int) -> Any:
    """A value within lists within lists."""
    for _ in range(depth):
        value = [value]
    return value


def _holders(document: Any) -> list[Any]:
    found, waiting = [], [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            found.append(value)
            waiting += value.values() if isinstance(value, dict) else value
    return found


def json_text(random: Random, document: Any) -> bytes:
    """A document as JSON, at times with a name twice or with characters that do not belong."""
    if random.random() < 0.002:
        return b'{"a": ' + random.choice((b"[", b'{"a":')) * random.choice((900, 100_000))
    text = json.dumps(document)
    if random.random() < 0.1 and isinstance(document, dict) and document:
        name = random.choice(list(document))
        text = f"{{{json.dumps(name)}: {json.dumps(random.choice(EVIL))}, {text[1:]}"
    content = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(random, content) if random.random() < 0.1 else content


def damaged_safetensors(random: Random, content: bytes) -> bytes:
    """A safetensors file damaged in its bytes, in its header as a tree, in its header's length, or in its data."""
    kind = random.randrange(8)
    if kind == 0:
        return damaged_bytes(random, content)
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size], content[8 + size :]
    if kind == 1:
        size = random.choice((*NUMBERS, size - 1, size + 1, len(content), len(content) - 8))
        return (size % 2**64).to_bytes(8, "little") + header + data
    if kind == 2:
        return content[: 8 + size] + damaged_bytes(random, data or b"\0")
    header = json_text(random, damaged_tree(random, json.loads(header)))
    return len(header).to_bytes(8, "little") + header + data


def damaged_text(random: Random, text: str) -> str:
    """A text with lines doubled, moved, cut, or with words of its own and evil ones in the place of others."""
    lines = text.splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines)) if lines else 0
        kind = random.randrange(6)
        if not lines:
            lines = [str(random.choice(EVIL))]
        elif kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(random.randrange(len(lines) + 1), lines[at])
        elif kind == 2:
            lines[at] = damaged_bytes(random, lines[at].encode()).decode("utf-8", "replace")
        elif kind == 3 and "=" in lines[at]:
            lines[at] = lines[at].split("=")[0] + "= " + str(json.dumps(random.choice(EVIL)))
        elif kind == 4:
            words = lines[at].split(" ")
            words[random.randrange(len(words))] = random.choice(random.choice(lines).split(" "))
            lines[at] = " ".join(words)
        else:
            lines[at] = lines[at].replace("[", "[[") if "[" in lines[at] else f"[{lines[at]}]"
    return "\n".join(lines) + "\n"
