#!/usr/bin/env bash
# helm.sh/helm/v4 v4.3.2 and helm.sh/helm/v3 v3.22.0, Go modules: pkg/ignore, what a chart's .helmignore is read with.
# git, as it is installed, for comparison.
#
# A good guess: .helmignore is a .gitignore without `**`: a line with "!" takes back what a line before it ignored, and
# touches nothing else.
#
# Instead "!" turns the test itself round: a line "!keep.txt" ignores everything whose name is not keep.txt,
# wherever it stands in the file, and no line takes anything back. With "*.txt" before it the chart has
# no file left, not even Chart.yaml; with "!ci/" every file goes. A chart that should keep one more file loses all.
#
# Seen (files that stay of Chart.yaml, a.txt, keep.txt, ci/values.yaml: helm 3 and 4; git):
#   *.txt               Chart.yaml ci/values.yaml    the same    (the control)
#   *.txt, !keep.txt    none                         Chart.yaml ci/values.yaml keep.txt
#   !keep.txt           keep.txt                     all
#   !ci/                none                         all
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/go" "$work/chart/ci"
for file in Chart.yaml a.txt keep.txt ci/values.yaml; do
    echo x >"$work/chart/$file"
done
git -C "$work/chart" init --quiet

cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	helm.sh/helm/v3 v3.22.0
	helm.sh/helm/v4 v4.3.2
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	three "helm.sh/helm/v3/pkg/ignore"
	four "helm.sh/helm/v4/pkg/ignore"
)

type rules interface {
	Ignore(path string, info fs.FileInfo) bool
}

// kept walks the chart as helm's loader does.
func kept(chart string, rules rules) string {
	var stay []string
	err := filepath.Walk(chart, func(path string, info fs.FileInfo, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, chart), "/")
		switch {
		case err != nil || name == "":
			return err
		case info.IsDir() && (name == ".git" || rules.Ignore(name, info)):
			return filepath.SkipDir
		case !info.IsDir() && !rules.Ignore(name, info):
			stay = append(stay, name)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return strings.Join(stay, " ")
}

func keptByGit(chart, lines string) string {
	if err := os.WriteFile(filepath.Join(chart, ".git/info/exclude"), []byte(lines), 0o644); err != nil {
		panic(err)
	}
	listed, err := exec.Command("git", "-C", chart, "ls-files", "--others", "--exclude-standard").Output()
	if err != nil {
		panic(err)
	}
	stay := strings.Fields(string(listed))
	sort.Strings(stay)
	return strings.Join(stay, " ")
}

func main() {
	chart, failed := os.Args[1], false
	for _, c := range []struct{ lines, helm, git string }{
		{"*.txt\n", "Chart.yaml ci/values.yaml", "Chart.yaml ci/values.yaml"},
		{"*.txt\n!keep.txt\n", "", "Chart.yaml ci/values.yaml keep.txt"},
		{"!keep.txt\n", "keep.txt", "Chart.yaml a.txt ci/values.yaml keep.txt"},
		{"!ci/\n", "", "Chart.yaml a.txt ci/values.yaml keep.txt"},
	} {
		old, err := three.Parse(strings.NewReader(c.lines))
		if err != nil {
			panic(err)
		}
		current, err := four.Parse(strings.NewReader(c.lines))
		if err != nil {
			panic(err)
		}
		expected := []string{c.helm, c.helm, c.git}
		seen := []string{kept(chart, old), kept(chart, current), keptByGit(chart, c.lines)}
		if fmt.Sprint(seen) != fmt.Sprint(expected) {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %q: (helm 3, helm 4, git) was %q, is %q\n", c.lines, expected, seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: a line with ! in .helmignore ignores every other file")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/kept" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/kept" "$work/chart"
