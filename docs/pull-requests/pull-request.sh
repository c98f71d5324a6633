#!/bin/sh
# Validates the manifests of a pull request, plans it against the fleet, and tells it in one comment.
#
# It needs reconcile, git, curl and jq, and is started in a checkout of the pull request. README.md,
# beside it, tells how, and what the credentials may do.
#
# Where and what (set by GitHub Actions and GitLab CI; elsewhere set them):
#   PLATFORM           github, gitlab, or none: no comment                    [found out]
#   BASE               the commit to compare with                             [found out]
#   PULL_REQUEST       its number
#   GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN        or
#   CI_API_V4_URL, CI_PROJECT_ID, GITLAB_TOKEN
# What is yours to choose:
#   RECONCILE_...      every option of reconcile: RECONCILE_PATH, RECONCILE_KUBECONFIG, ...; what is
#                      read is the commit that is checked out, whatever lies beside it
#   SURVIVABILITY      never, degraded or down: fail when a workload outlives an outage worse than
#                      at BASE, and loses replicas or all of them             [never]
#   REPORT_DIR         where plan.html, plan.json and the rest are written    [reconcile-report]
#   REPORT_URL         where they can be looked at afterwards; linked in the comment
#   COMMENT_NAME       tells the comments of several jobs apart               [RECONCILE_PATH]
#   COMMENT_AUTHOR     whose comment is updated   [github-actions[bot]; GitLab: the token's owner]
#
# Exit code: 0 all is well; 1 not valid, a limit is passed, something failed, survivability is lost,
# or the comment could not be written.
set -eu

SURVIVABILITY=${SURVIVABILITY:-never}
REPORT_DIR=${REPORT_DIR:-reconcile-report}
COMMENT_NAME=${COMMENT_NAME:-${RECONCILE_PATH:-.}}
CHECKS=''
FAILED=0
export RECONCILE_REF="${RECONCILE_REF:-HEAD}"

say() { printf '%s\n' "$*" >&2; }

# One line of the comment's list of checks.
check() { # sign, text
    CHECKS="$CHECKS
- $1 $2"
}

# -- the pull request ----------------------------------------------------------------------------

find_platform() {
    if [ -n "${PLATFORM:-}" ]; then
        return
    elif [ "${GITHUB_ACTIONS:-}" = true ]; then
        PLATFORM=github
    elif [ -n "${GITLAB_CI:-}" ]; then
        PLATFORM=gitlab
    else
        PLATFORM=none
    fi
}

find_pull_request() {
    case $PLATFORM in
    github)
        # refs/pull/7/merge
        number=${GITHUB_REF:-}
        number=${number#refs/pull/}
        PULL_REQUEST=${PULL_REQUEST:-${number%%/*}}
        COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]}
        LIMIT=65536
        : "${GITHUB_API_URL:=https://api.github.com}" "${GITHUB_REPOSITORY:?}" "${GITHUB_TOKEN:?}"
        # What is checked out is the merge of both; its first parent is the base as it is now.
        name_base "${GITHUB_BASE_REF:-}" 'HEAD^1'
        ;;
    gitlab)
        PULL_REQUEST=${PULL_REQUEST:-${CI_MERGE_REQUEST_IID:-}}
        LIMIT=1000000
        : "${CI_API_V4_URL:?}" "${CI_PROJECT_ID:?}" "${GITLAB_TOKEN:?}"
        name_base "${CI_MERGE_REQUEST_TARGET_BRANCH_NAME:-}" "${CI_MERGE_REQUEST_DIFF_BASE_SHA:-}"
        ;;
    none)
        LIMIT=65536
        ;;
    *)
        say "PLATFORM is $PLATFORM: it is github, gitlab or none."
        exit 1
        ;;
    esac
    : "${BASE:?is not set: the commit to compare with}"
    [ "$PLATFORM" = none ] || case $PULL_REQUEST in
    '' | *[!0-9]*)
        say "PULL_REQUEST is '$PULL_REQUEST', which is no number: is this a pull request?"
        exit 1
        ;;
    esac
}

# In the checkout of a job, which nobody keeps, the base gets the name by which people know it.
name_base() { # branch, commit
    if [ -n "${BASE:-}" ]; then
        return
    fi
    BASE=$2
    if [ -n "$1" ] && [ -n "$2" ] && git branch --quiet --force "$1" "$2"; then
        BASE=$1
    fi
}

# -- validate, plan, survivability -----------------------------------------------------------------

validate() {
    reconcile validate --output json >"$REPORT_DIR/validate.json" 2>"$REPORT_DIR/validate.txt" ||
        VALID=no
    if [ -s "$REPORT_DIR/validate.json" ]; then
        jq -r '.problems[] | "\(.file):\(.line):\(.column): \(.message)",
            (select(.expected != "") | "    expected  \(.expected)"),
            (select(.hint != "") | "    hint      \(.hint)")' \
            "$REPORT_DIR/validate.json" >>"$REPORT_DIR/validate.txt"
        # What GitLab shows beside the lines.
        jq --arg folder "${RECONCILE_PATH:-.}" '[.problems[] | {
            check_name: "reconcile validate",
            severity: "blocker",
            description: ([.message, .expected, .hint] | map(select(. != "")) | join("; ")),
            fingerprint: ("\(.file) \(.path) \(.message)" | @base64),
            location: {
                path: (if $folder == "." then .file else "\($folder)/\(.file)" end),
                lines: {begin: .line}
            }
        }]' "$REPORT_DIR/validate.json" >"$REPORT_DIR/code-quality.json"
    fi
    cat "$REPORT_DIR/validate.txt" >&2
    if [ "$VALID" = no ] && [ "${GITHUB_ACTIONS:-}" = true ]; then
        # Annotations, which GitHub takes from the log and shows beside the lines.
        reconcile validate --output github || true
    fi
}

plan() {
    rm -f "$REPORT_DIR/plan.md"
    code=0
    # Room for the rest of the comment.
    reconcile --plan --base "$BASE" --no-color --markdown-limit $((LIMIT - 16000)) \
        --report "$REPORT_DIR/plan.md" --report "$REPORT_DIR/plan.html" \
        --report "$REPORT_DIR/plan.json" >"$REPORT_DIR/plan.txt" 2>&1 || code=$?
    cat "$REPORT_DIR/plan.txt" >&2
    if [ ! -s "$REPORT_DIR/plan.md" ]; then
        check '❌' 'There is no plan, see below.'
        FAILED=1
    elif [ "$code" -ne 0 ]; then
        if [ "$(jq '.violations | length' "$REPORT_DIR/plan.json")" -gt 0 ]; then
            check '❌' 'The plan passes a limit: once merged, nothing is written.'
        else
            check '❌' 'The plan has failures.'
        fi
        FAILED=1
    else
        check '✅' 'It can be planned against the fleet.'
    fi
}

survivability() {
    file=$REPORT_DIR/survivability.md
    code=0
    reconcile survivability --base "$BASE" --fail-on "$SURVIVABILITY" --output markdown \
        >"$file" 2>"$REPORT_DIR/survivability.txt" || code=$?
    cat "$REPORT_DIR/survivability.txt" >&2
    if [ ! -s "$file" ]; then
        # The base may be broken, or have none of this yet.
        check '❔' 'Survivability cannot be compared with the base.'
    elif ! grep -q '^| ' "$file"; then
        rm -f "$file"
        check '✅' 'No workload outlives an outage worse than before.'
    elif [ "$code" -ne 0 ]; then
        check '❌' 'Workloads outlive an outage worse than before, see below.'
        FAILED=1
    else
        check '⚠️' 'Workloads outlive an outage worse than before, see below.'
    fi
}

# -- the comment -------------------------------------------------------------------------------

marker() {
    name=$(printf '%s' "$COMMENT_NAME" | tr -c 'A-Za-z0-9._/\n-' '_' | sed 's/--*/-/g')
    printf '<!-- reconcile-pull-request:%s -->' "$name"
}

# The lines of a file up to so many characters, and a note when some are missing. awk counts bytes in
# some places and characters in others: never more than asked for.
beginning() { # file, characters
    awk -v room="$2" '
        { size += length($0) + 1 }
        size > room { print ""; print "*Cut: the rest is in the reports.*"; exit }
        { print }
    ' "$1"
}

body() {
    marker
    printf '%s\n\n' "$CHECKS"
    if [ -s "$REPORT_DIR/plan.md" ]; then
        cat "$REPORT_DIR/plan.md"
    elif [ "$VALID" = no ]; then
        printf '### The manifests are not valid\n'
        verbatim "$REPORT_DIR/validate.txt"
    else
        printf '### There is no plan\n'
        verbatim "$REPORT_DIR/plan.txt"
    fi
    if [ "$VALID" = yes ] && [ -s "$REPORT_DIR/survivability.md" ]; then
        printf '\n<details><summary>Survivability</summary>\n\n'
        beginning "$REPORT_DIR/survivability.md" 8000
        printf '\n</details>\n'
    fi
    [ -z "${REPORT_URL:-}" ] || printf '\n[The whole plan as a page, as JSON and as text](%s)\n' "$REPORT_URL"
}

# A file as it is, whatever is in it.
verbatim() {
    printf '\n'
    beginning "$1" 6000 | sed 's/^/    /'
}

# Calls the API; the answer's body is in $ANSWER. The token goes through a pipe, as arguments can be
# seen by every process.
call() { # method, path, [file with the JSON to send]
    case $PLATFORM in
    github)
        url=$GITHUB_API_URL$2
        header="Authorization: Bearer $GITHUB_TOKEN"
        ;;
    *)
        url=$CI_API_V4_URL$2
        header="PRIVATE-TOKEN: $GITLAB_TOKEN"
        ;;
    esac
    # Asking can be repeated; a comment that was written twice cannot be taken back.
    again=0
    [ "$1" != GET ] || again=3
    set -- "$1" "$url" ${3:+--data-binary "@$3"}
    method=$1
    shift
    status=$(
        printf 'header = "%s"\n' "$header" |
            curl --config - --silent --show-error --max-time 30 --retry "$again" \
                --request "$method" --header 'Content-Type: application/json' \
                --output "$ANSWER" --write-out '%{http_code}' "$@"
    ) || {
        say "$method $url: no answer."
        return 1
    }
    case $status in
    2*) ;;
    *)
        said=$(jq -r '.message // .error // empty | tostring' "$ANSWER" 2>/dev/null || true)
        say "$method $url: HTTP $status${said:+: $said}"
        return 1
        ;;
    esac
}

# The id of our own comment that begins with the marker, if there is one; of several, the first.
find_comment() {
    case $PLATFORM in
    github) list=/repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments ;;
    *)
        list=/projects/$CI_PROJECT_ID/merge_requests/$PULL_REQUEST/notes
        if [ -z "${COMMENT_AUTHOR:-}" ]; then
            call GET /user || return 1
            COMMENT_AUTHOR=$(jq -r .username "$ANSWER")
        fi
        ;;
    esac
    page=1
    while :; do
        call GET "$list?per_page=100&page=$page&sort=asc&order_by=created_at" || return 1
        COMMENT=$(jq -r --arg marker "$(marker)" --arg author "$COMMENT_AUTHOR" '[
            .[] | select((.user.login // .author.username) == $author)
                | select(.body // "" | startswith($marker)) | .id
        ] | first // empty' "$ANSWER") || return 1
        if [ -n "$COMMENT" ] || [ "$(jq length "$ANSWER")" -lt 100 ]; then
            return 0
        fi
        page=$((page + 1))
    done
}

comment() {
    body >"$WORK/body.md"
    jq -Rs --argjson limit "$LIMIT" '
        {body: (if length <= $limit then . else .[:$limit - 60] + "\n\n*Cut: the rest is in the reports.*\n" end)}
    ' "$WORK/body.md" >"$WORK/body.json"
    find_comment || return 1
    case $PLATFORM:$COMMENT in
    github:) call POST "/repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments" "$WORK/body.json" ;;
    github:*) call PATCH "/repos/$GITHUB_REPOSITORY/issues/comments/$COMMENT" "$WORK/body.json" ;;
    gitlab:) call POST "/projects/$CI_PROJECT_ID/merge_requests/$PULL_REQUEST/notes" "$WORK/body.json" ;;
    gitlab:*) call PUT "/projects/$CI_PROJECT_ID/merge_requests/$PULL_REQUEST/notes/$COMMENT" "$WORK/body.json" ;;
    esac
}

# -- all of it -----------------------------------------------------------------------------------

find_platform
find_pull_request
mkdir -p "$REPORT_DIR"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ANSWER=$WORK/answer.json
COMMENT=''
VALID=yes

validate
if [ "$VALID" = yes ]; then
    check '✅' 'The manifests are valid.'
    plan
    survivability
else
    check '❌' 'The manifests are not valid.'
    rm -f "$REPORT_DIR/plan.md"
    FAILED=1
fi
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || body >>"$GITHUB_STEP_SUMMARY"
if [ "$PLATFORM" != none ]; then
    comment || {
        say 'The comment could not be written.'
        FAILED=1
    }
fi
exit "$FAILED"
