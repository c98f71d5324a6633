#!/usr/bin/env bash
# git as it is installed (seen with 2.39.5), without any package.
#
# A good guess: git status fails in a repository whose current branch cannot be read, as rev-parse, log and ls-tree do.
#
# Instead it exits with 0, says nothing on standard error, and takes the branch for one without a commit: porcelain v2
# has "# branch.oid (initial)", and every file that was committed is one that was added ("1 A."). That is what it says
# of a new repository too, so that the two cannot be told apart by it. Of a branch that names a commit which is gone it
# does fail.
#
# Seen (exit code, branch.oid; exit code of rev-parse --verify HEAD):
#   a whole branch              0, its commit; 0     (the control)
#   its file is empty           0, (initial); 128
#   its file holds words        0, (initial); 128
#   no commit yet               0, (initial); 128
#   a commit that is gone       128; 128 with ^{commit}
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

git init --quiet --initial-branch=main "$work/tree"
cd "$work/tree"
echo "a: 1" >a.yaml
git add a.yaml
unborn="$(git status --porcelain=v2 --branch)"
git commit --quiet --message=first
commit="$(git rev-parse HEAD)"
failed=0

seen() { # name, expected exit code and first line of status, 1 where rev-parse is to fail
    local status=0 parsed=0 said
    said="$(git status --porcelain=v2 --branch 2>"$work/errors")" || status=$?
    git rev-parse --quiet --verify 'HEAD^{commit}' >/dev/null 2>&1 || parsed=1
    said="$status ${said%%$'\n'*}"
    if [[ "$said" != "$2" || "$parsed" != "$3" || ("$status" == 0 && -s "$work/errors") ]]; then
        echo "changed: $1: was $2, $3, is $said, $parsed: $(cat "$work/errors")" >&2
        failed=1
    fi
}

seen "a whole branch" "0 # branch.oid $commit" 0
: >.git/refs/heads/main
seen "an empty file" "0 # branch.oid (initial)" 1
echo "no commit at all" >.git/refs/heads/main
seen "words" "0 # branch.oid (initial)" 1
damaged="$(git status --porcelain=v2 --branch)"
if [[ "${unborn#*$'\n'*$'\n'}" != "${damaged#*$'\n'*$'\n'}" ]]; then
    echo "changed: a damaged branch and one without a commit differ: $unborn / $damaged" >&2
    failed=1
fi
echo 1111111111111111111111111111111111111111 >.git/refs/heads/main
seen "a commit that is gone" "128 " 1

((failed == 0))
echo "holds: git status takes a damaged branch for one without a commit, and exits with 0"
