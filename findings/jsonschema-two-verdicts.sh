#!/usr/bin/env bash
# jsonschema 4.26.0 and jsonschema-rs 0.61.2, both from PyPI.
#
# A good guess: the second is the first, only faster: one schema, one instance, one verdict.
#
# Instead they part, in both directions:
# - multipleOf: jsonschema divides as floats do, so that a price of 19.99 is not in whole cents (0.01), nor
#   0.3 in tenths; jsonschema-rs reckons in decimals and takes both. 0.0075 in steps of 0.0001 passes in both,
#   so a schema can seem sound for long.
# - dependencies: gone from the vocabulary since draft 2019-09, so jsonschema ignores it there;
#   jsonschema-rs still enforces it under 2020-12.
# - contentMediaType and contentEncoding of draft 7: notes to jsonschema, constraints to jsonschema-rs. Under
#   2020-12 they are notes to both.
#
# Seen (valid? jsonschema, jsonschema-rs):
#   multipleOf 0.01      19.99                no   yes
#   multipleOf 0.1       0.3                  no   yes
#   multipleOf 0.0001    0.0075               yes  yes
#   dependencies         a without its b      yes  no
#   contentMediaType     "{:}" under draft 7  yes  no
#   contentMediaType     "{:}" under 2020-12  yes  yes
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jsonschema==4.26.0 jsonschema-rs==0.61.2

"$work/venv/bin/python" - <<'PY'
import sys

import jsonschema_rs
from jsonschema.validators import validator_for

DRAFT7 = "http://json-schema.org/draft-07/schema#"
LATEST = "https://json-schema.org/draft/2020-12/schema"

changed = False
for dialect, rule, instance, expected in (
    (LATEST, {"multipleOf": 0.01}, 19.99, (False, True)),
    (LATEST, {"multipleOf": 0.1}, 0.3, (False, True)),
    (LATEST, {"multipleOf": 0.0001}, 0.0075, (True, True)),
    (LATEST, {"dependencies": {"a": ["b"]}}, {"a": 1}, (True, False)),
    (DRAFT7, {"dependencies": {"a": ["b"]}}, {"a": 1}, (False, False)),
    (DRAFT7, {"contentMediaType": "application/json"}, "{:}", (True, False)),
    (LATEST, {"contentMediaType": "application/json"}, "{:}", (True, True)),
):
    schema = {"$schema": dialect, **rule}
    reference = validator_for(schema)
    reference.check_schema(schema)
    seen = (reference(schema).is_valid(instance), jsonschema_rs.validator_for(schema).is_valid(instance))
    if seen != expected:
        changed = True
        print(f"changed: {schema} on {instance!r}: was {expected}, is {seen}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: jsonschema and jsonschema-rs judge multipleOf, dependencies and contentMediaType differently")
PY
