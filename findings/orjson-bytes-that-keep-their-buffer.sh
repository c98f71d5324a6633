#!/usr/bin/env bash
# orjson 3.13.0 and msgspec 0.22.0, both from PyPI; Linux, CPython.
#
# A good guess: the bytes that orjson.dumps gives take as much memory as they are long, and who keeps ten
# thousand of them (in a cache, say) needs their lengths in sum.
#
# Instead: each keeps the buffer in which it was written for as long as it lives, and that is several times as
# large, as there has to be room for escapes that were not needed. sys.getsizeof does not tell: it counts the
# length. A copy takes what it should.
#
# Seen, as bytes of memory that the allocator was asked for by each, beside its length:
#   orjson    9: 4,097   100: 4,097   898: 16,265   10,008: 129,833   49,999: 1,038,377
#   copied    9: 50   100: 141   898: 939   10,008: 10,049   49,999: 50,040
#   msgspec   never more than twice the length and 50 (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check orjson==3.13.0 msgspec==0.22.0

"$work/venv/bin/python" - <<'PY'
import sys
import tracemalloc

import msgspec
import orjson

MANY = 200


def each(make):
    """Bytes that one result takes, and its length."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [make() for _ in range(MANY)]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sys.getsizeof(kept[0]) - len(kept[0]) < 50
    return (after - before) // MANY, len(kept[0])


changed = False
for value, least in (
    ({"a": "x"}, 100),
    ({"a": "x" * 92}, 30),
    (["x" * 10] * 69, 15),
    ({"a": "x" * 10_000}, 10),
    (["x" * 10] * 3_846, 15),
):
    size, length = each(lambda: orjson.dumps(value))
    copied, _ = each(lambda: bytes(memoryview(orjson.dumps(value))))
    other, _ = each(lambda: msgspec.json.encode(value))
    print(f"{length} bytes take: orjson {size}, copied {copied}, msgspec {other}")
    if size < least * length or copied > length + 60 or other > 2 * length + 60:
        changed = True
if changed:
    sys.exit("changed: the sizes are not those that were seen")
print("holds: bytes of orjson.dumps keep the buffer in which they were written, and getsizeof does not say so")
PY
