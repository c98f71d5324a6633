#!/usr/bin/env bash
# github.com/Masterminds/semver/v3 v3.5.0 (Helm's versions of dependencies and semverCompare), a Go
# module; semver 7.8.6 from npm.
#
# A good guess: `*` is any version, also next to an operator: "1 - *" is from 1.0.0 upwards, "<=*" and "^*" are
# everything. And a prerelease is let in by a range that names a prerelease of that same version, which is what the
# two libraries share the syntax for.
#
# Instead, in Go, a star with an operator is 0.0.0 or 0.0: "1 - *" has no version at all, "<=*" only 0.0.x, "^*" only
# 0.0.0; and ">*", which cannot be met, is met by all from 0.0.1. None of them is an error; only the star alone is
# everything. And a range that names one prerelease lets in those of all other versions: "^1.2.0-0", for one that is
# wanted from 1.2.0, takes 1.9.0-alpha too.
#
# Seen of 0.0.0, 0.0.1, 0.2.0, 1.2.0-rc.1, 1.4.0, 1.9.0-alpha, 3.0.0 (Go; npm):
#   *          0.0.0 0.0.1 0.2.0 1.4.0 3.0.0    the same    (the control)
#   1 - *      none                             1.4.0 3.0.0
#   <=*        0.0.0 0.0.1                      as *
#   ^*         0.0.0                            as *
#   >*         0.0.1 0.2.0 1.4.0 3.0.0          none
#   ^1.2.0-0   1.2.0-rc.1 1.4.0 1.9.0-alpha     1.2.0-rc.1 1.4.0
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/npm"
npm --prefix "$work/npm" --silent --no-audit --no-fund --ignore-scripts install semver@7.8.6

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require github.com/Masterminds/semver/v3 v3.5.0
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/Masterminds/semver/v3"
)

func main() {
	constraint, err := semver.NewConstraint(os.Args[1])
	if err != nil {
		panic(err)
	}
	var met []string
	for _, version := range os.Args[2:] {
		if constraint.Check(semver.MustParse(version)) {
			met = append(met, version)
		}
	}
	fmt.Println(strings.Join(met, " "))
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/met" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
cat >"$work/npm/met.cjs" <<'JS'
const semver = require("semver");
const [range, ...versions] = process.argv.slice(2);
if (semver.validRange(range) === null) throw new Error(`not a range: ${range}`);
console.log(versions.filter((version) => semver.satisfies(version, range)).join(" "));
JS

failed=0
check() { # range, met in Go, met in npm
    local versions=(0.0.0 0.0.1 0.2.0 1.2.0-rc.1 1.4.0 1.9.0-alpha 3.0.0) go npm
    go="$("$work/met" "$1" "${versions[@]}")"
    npm="$(node "$work/npm/met.cjs" "$1" "${versions[@]}")"
    if [ "$go" != "$2" ] || [ "$npm" != "$3" ]; then
        failed=1
        echo "changed: $1: (Go; npm) was ($2; $3), is ($go; $npm)" >&2
    fi
}
every="0.0.0 0.0.1 0.2.0 1.4.0 3.0.0"
check '*' "$every" "$every"
check '1 - *' "" "1.4.0 3.0.0"
check '<=*' "0.0.0 0.0.1" "$every"
check '^*' "0.0.0" "$every"
check '>*' "0.0.1 0.2.0 1.4.0 3.0.0" ""
check '^1.2.0-0' "1.2.0-rc.1 1.4.0 1.9.0-alpha" "1.2.0-rc.1 1.4.0"
[ "$failed" = 0 ] || exit 1
echo "holds: in Go a star beside an operator is 0.0, and one prerelease lets in those of other versions"
