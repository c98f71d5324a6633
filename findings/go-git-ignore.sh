#!/usr/bin/env bash
# github.com/go-git/go-git/v5 v5.19.3, a Go module, beside git as it is installed.
#
# A good guess: go-git's status leaves out what git leaves out: its patterns are those of gitignore, with `**` and `!`.
#
# Instead a pattern without a slash in it is tried on every part of a path, so that "!*/", which in git opens folders
# only, takes back every file in a folder too: the usual three lines for "nothing but YAML" let all else in below the
# top. "[!a]" is read as Go reads it, the set of "!" and "a", so that it ignores the one file that it was to spare.
# And of `**`, "/**" ignores nothing, "*/**" the top as well, "docs/**/" also the files straight in docs.
#
# Seen of a.txt, a.yaml, docs/a.txt, docs/a.yaml, docs/old/a.txt (untracked: git; go-git):
#   *, !*/, !*.yaml   a.yaml docs/a.yaml            the same and docs/a.txt docs/old/a.txt
#   *.txt, !docs/     a.yaml docs/a.yaml            the same and docs/a.txt docs/old/a.txt
#   [!a].txt          all                           a.yaml docs/a.yaml
#   /**               none                          all
#   */**              a.txt a.yaml                  none
#   docs/**/          all but docs/old/a.txt        a.txt a.yaml
#   *.txt             a.yaml docs/a.yaml            the same    (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/go" "$work/tree/docs/old"
for file in a.txt a.yaml docs/a.txt docs/a.yaml docs/old/a.txt; do
    echo x >"$work/tree/$file"
done
git -C "$work/tree" init --quiet

cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require github.com/go-git/go-git/v5 v5.19.3
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5"
)

func must[T any](result T, err error) T {
	if err != nil {
		panic(err)
	}
	return result
}

func sorted(paths []string) string {
	var files []string
	for _, path := range paths {
		if path != ".gitignore" {
			files = append(files, path)
		}
	}
	sort.Strings(files)
	return strings.Join(files, " ")
}

func byGit(tree string) string {
	command := exec.Command("git", "-C", tree, "ls-files", "--others", "--exclude-per-directory=.gitignore")
	return sorted(strings.Fields(string(must(command.Output()))))
}

func byGoGit(tree string) string {
	var paths []string
	for path := range must(must(must(git.PlainOpen(tree)).Worktree()).Status()) {
		paths = append(paths, path)
	}
	return sorted(paths)
}

const (
	all  = "a.txt a.yaml docs/a.txt docs/a.yaml docs/old/a.txt"
	yaml = "a.yaml docs/a.yaml"
	more = "a.yaml docs/a.txt docs/a.yaml docs/old/a.txt"
)

func main() {
	tree, failed := os.Args[1], false
	for _, c := range []struct{ lines, git, goGit string }{
		{"*\n!*/\n!*.yaml\n", yaml, more},
		{"*.txt\n!docs/\n", yaml, more},
		{"[!a].txt\n", all, yaml},
		{"/**\n", "", all},
		{"*/**\n", "a.txt a.yaml", ""},
		{"docs/**/\n", "a.txt a.yaml docs/a.txt docs/a.yaml", "a.txt a.yaml"},
		{"*.txt\n", yaml, yaml},
	} {
		if err := os.WriteFile(filepath.Join(tree, ".gitignore"), []byte(c.lines), 0o644); err != nil {
			panic(err)
		}
		if one, other := byGit(tree), byGoGit(tree); one != c.git || other != c.goGit {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %q: (git, go-git) was %q, %q, is %q, %q\n",
				c.lines, c.git, c.goGit, one, other)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: go-git and git leave out other files by one .gitignore")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/untracked" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/untracked" "$work/tree"
