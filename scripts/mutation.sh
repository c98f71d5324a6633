#!/bin/sh
# Mutation tests of the code where a defect deletes or overwrites: cosmic-ray changes one thing at a
# time in a copy of the tree, and some test of those named here must fail. `make mutation` calls it.
#
#   scripts/mutation.sh COSMIC_RAY_BIN [MODULE...]     e.g. plan/guards
#
# Lists what survived, and ends with 0 all the same: some mutants mean the same as the original.
set -eu

bin=$(cd "$1" && pwd)
shift
python=$PWD/.venv/bin/python
[ $# -gt 0 ] || set -- plan/guards failover/cluster_health plan/prune \
    apply/verbs apply/common apply/create apply/update apply/recreate apply/prune apply/orphan

tests_of() {
    case $1 in
    plan/guards) echo tests/unit/plan/test_guards.py tests/unit/plan/test_violations.py ;;
    plan/prune) echo tests/unit/plan/test_prune.py tests/unit/plan/test_taken_along.py ;;
    apply/common) echo tests/unit/apply/test_common.py tests/unit/apply/test_update.py ;;
    # What a verb gives back is looked at where the verb is.
    apply/verbs) echo tests/unit/apply/test_verbs.py tests/unit/apply/test_create.py ;;
    apply/*) echo "tests/unit/apply/test_${1#apply/}.py" ;;
    failover/cluster_health)
        echo tests/unit/failover/test_cluster_health.py tests/unit/failover/test_decision.py \
            tests/unit/failover/test_health_votes.py tests/unit/report/test_absences.py ;;
    *) echo "no tests are named for $1 in scripts/mutation.sh" >&2; exit 64 ;;
    esac
}

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM
tar -cf - --exclude=__pycache__ kubesim reconciler schemas tests pyproject.toml | tar -xf - -C "$copy"
cd "$copy"

for module in "$@"; do
    tests=$(tests_of "$module")
    # Of the many operators that could stand for one, its opposite and its neighbour are tried.
    # "Pow" takes ** of keyword arguments for a power.
    cat >mutation.toml <<END
[cosmic-ray]
module-path = ["reconciler/$module.py"]
timeout = 60.0
excluded-modules = []
test-command = "$python -m pytest -x -q -n 0 -p no:cacheprovider -m 'not integration' $(echo $tests)"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [
    "core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul|BitOr_BitAnd|BitAnd_BitOr)",
    "core/ReplaceComparisonOperator_(?!Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt|Is_IsNot|IsNot_Is)",
    "core/ReplaceUnaryOperator_(?!Delete_)",
]
END
    rm -f mutation.sqlite
    "$bin/cosmic-ray" baseline mutation.toml
    "$bin/cosmic-ray" init mutation.toml mutation.sqlite
    "$bin/cr-filter-operators" mutation.sqlite mutation.toml
    "$bin/cosmic-ray" exec mutation.toml mutation.sqlite
    echo "== $module"
    "$bin/cr-report" --surviving-only --show-diff mutation.sqlite
done
