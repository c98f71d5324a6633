"""What a run is asked to do: each option is one field of ``RunOptions``, and declared nowhere else.

The command line (``cli.settings.run_options``), the environment variables and what a saved plan
keeps (``saved_plans.document``) are made from these declarations.
"""

# Without `from __future__ import annotations`: the annotations are read when the program runs.
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Struct

ENVIRONMENT_PREFIX = "RECONCILE_"
FETCH_SECONDS = 120.0
LEASE_SECONDS = 90.0
GRACE_SECONDS = 25.0
"""Below the 30 seconds after which Kubernetes kills a pod that says nothing else."""

RUN, REPOSITORY, FLEET = "What to do", "Repository", "Fleet"
OTHER_RUNS = "Other runs, and the end of this one"
OUTPUT, OBSERVABILITY, TERMINAL = "Output", "Observability", "Terminal"

OUTAGES = ("cluster", "region", "zone", "provider")
REPORT_SUFFIXES = (".html", ".json", ".md", ".txt")

Group = Literal["", "repository", "memory", "terminal"]


class Option(Struct, frozen=True):
    """How a field of ``RunOptions`` is given. The field's type says the rest: bool is a flag, a
    tuple repeatable, float a duration in seconds, Literal a choice, Path a file.

    flags      as ``-o --output``
    heading    under which ``--help`` lists it
    minimum    of a number
    problem    what is wrong with one value, in words; empty: nothing
    group      several commands have it, together with the others of the group
    inherited  given to `reconcile` before a subcommand, it holds for the subcommand
    rest       the field that takes what is given after the first one, of what may be repeated
    parameter  the name on the command line and in the environment, where it is not the field's
    variable   whether an environment variable sets it
    kept       its place among the options that a saved plan keeps, and that a run which applies
               the plan must have as well; 0: a saved plan does not depend on it
    as_kept    the form in which equal values are equal
    """

    flags: str
    heading: str
    help: str
    metavar: str | None = None
    minimum: int | None = None
    problem: Callable[[Any], str] | None = None
    group: Group = ""
    inherited: bool = True
    rest: str = ""
    parameter: str = ""
    variable: bool = True
    show_default: bool = False
    kept: int = 0
    as_kept: Callable[[Any], Any] = lambda value: value

    @property
    def flag(self) -> str:
        """The one that messages name, such as ``--cluster``."""
        return next(flag for flag in self.flags.split() if flag.startswith("--"))


class Internal(Struct, frozen=True):
    """Marks a field that nobody gives; ``why`` there is none on the command line."""

    why: str


def _sorted(values: tuple[str, ...]) -> list[str]:
    return sorted(set(values))


def _normal_path(path: str) -> str:
    return posixpath.normpath(path or ".")


def _outage_problem(value: str) -> str:
    what, equals, name = value.partition("=")
    if what in OUTAGES and equals and name:
        return ""
    return f"{value!r} is none of " + ", ".join(f"{what}=NAME" for what in OUTAGES)


COMPLETE = "complete"
"""Of ``--rollout``: the end of the road."""


def _rollout_problem(value: str) -> str:
    return "" if value == COMPLETE else f"{value!r}: it can only be {COMPLETE}"


def _host_problem(name: str) -> str:
    if name and not set(name) & set("/: @"):
        return ""
    return f"{name!r}: expected a name alone, such as fleet.example.com, without scheme or port"


def _folder_problem(file: Path) -> str:
    return "" if file.absolute().parent.is_dir() else f"{str(file)!r}: there is no such directory"


def _report_problem(file: Path) -> str:
    if file.suffix in REPORT_SUFFIXES:
        return _folder_problem(file)
    return f"{str(file)!r}: the extension gives the format, one of {', '.join(REPORT_SUFFIXES)}"


class RunOptions(Struct, frozen=True):
    """What one run, or a subcommand, is asked to do. Times are in seconds.

    The fields are in the order of ``--help``.
    """

    # -- what to do --------------------------------------------------------------------------------

    plan_only: Annotated[
        bool,
        Option("--plan", RUN, "Only show what would change.", parameter="plan", inherited=False),
    ] = True
    yes: Annotated[
        bool,
        Option("-y --yes", RUN, "Do not ask before changing anything.", inherited=False),
    ] = False
    base: Annotated[
        str | None,
        Option(
            "--base",
            RUN,
            "With --plan: show only what differs from the plan of this branch, tag or commit.",
            metavar="REF",
            inherited=False,
        ),
    ] = None
    rollout: Annotated[
        str | None,
        Option(
            "--rollout",
            RUN,
            "With --plan: complete plans the whole fleet on the newest commit, not the next step.",
            metavar="complete",
            problem=_rollout_problem,
            inherited=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        Option(
            "--out",
            RUN,
            "With --plan: save the plan, to be applied later by --apply-plan.",
            metavar="FILE",
            problem=_folder_problem,
            inherited=False,
        ),
    ] = None
    apply_plan: Annotated[
        Path | None,
        Option(
            "--apply-plan",
            RUN,
            "Do exactly what a saved plan says, if everything is still as it was.",
            metavar="FILE",
            inherited=False,
        ),
    ] = None
    sandbox: Annotated[
        bool,
        Option(
            "--sandbox",
            RUN,
            "Use simulated clusters of the same names.",
            inherited=False,
            kept=6,
        ),
    ] = False
    """Members are contexts of ``kubeconfig`` by their own names, whatever the repository says
    about access: no credential of a real cluster is ever looked up."""
    sandbox_reset: Annotated[
        bool,
        Option("--sandbox-reset", RUN, "The same, with new and empty clusters.", inherited=False),
    ] = False
    simulate_outages: Annotated[
        tuple[str, ...],
        Option(
            "--simulate-outage",
            RUN,
            "Plan as if a cluster, region, zone or provider were down. Repeatable.",
            metavar="WHAT=NAME",
            problem=_outage_problem,
        ),
    ] = ()
    every: Annotated[
        float | None,
        Option(
            "--every",
            RUN,
            "Do not end: run again and again, such as every 60s.",
            metavar="DURATION",
            inherited=False,
        ),
    ] = None
    resync: Annotated[
        float,
        Option(
            "--resync",
            RUN,
            "With --every: list what is watched again after this time, whatever the watches said, "
            "and make a whole run. [default: 10m]",
            metavar="DURATION",
            inherited=False,
        ),
    ] = 600.0
    no_watch: Annotated[
        bool,
        Option(
            "--no-watch",
            RUN,
            "With --every: keep no watches on the members, and list them in each round.",
            inherited=False,
        ),
    ] = False
    listen: Annotated[
        str,
        Option(
            "--listen",
            RUN,
            "With --every: serve /healthz, /readyz and /metrics.",
            metavar="[HOST]:PORT",
            inherited=False,
        ),
    ] = ""
    webhook_secret: Annotated[
        Path | None,
        Option(
            "--webhook-secret",
            RUN,
            "With --listen: take webhooks of Git servers at /webhook, signed with a secret of this "
            "file, and look at once.",
            metavar="FILE",
            inherited=False,
        ),
    ] = None
    page: Annotated[
        str,
        Option(
            "--page",
            RUN,
            "With --every: serve a page to watch the fleet, which shows plans and asks nobody who "
            "they are. Without HOST on loopback only.",
            metavar="[HOST:]PORT",
            inherited=False,
        ),
    ] = ""
    page_hosts: Annotated[
        tuple[str, ...],
        Option(
            "--page-host",
            RUN,
            "With --page: a name by which browsers reach it through a proxy, besides localhost and "
            "addresses. Repeatable.",
            metavar="NAME",
            problem=_host_problem,
            inherited=False,
        ),
    ] = ()

    # -- the repository ----------------------------------------------------------------------------

    repo: Annotated[
        str,
        Option(
            "--repo",
            REPOSITORY,
            "A directory, read as it is; or a Git URL. Repeatable: its mirrors. [default: .]",
            metavar="PATH|URL",
            group="repository",
            rest="mirrors",
        ),
    ] = "."
    mirrors: Annotated[tuple[str, ...], Internal("they are what --repo gives after the first")] = ()
    """Git URLs of the same repository. What is remembered of it goes by ``repo`` alone."""
    ref: Annotated[
        str | None,
        Option("--ref", REPOSITORY, "Branch, tag or commit.", metavar="REF", group="repository"),
    ] = None
    path: Annotated[
        str,
        Option(
            "--path",
            REPOSITORY,
            "The directory in it that holds the manifests. [default: all of it]",
            metavar="DIR",
            group="repository",
            kept=1,
            as_kept=_normal_path,
        ),
    ] = "."
    git_credentials: Annotated[
        str,
        Option(
            "--git-credentials",
            REPOSITORY,
            "A mounted Secret: username and password, or token; identity and known_hosts. With "
            "mirrors one for each --repo, in the same order; - for none.",
            metavar="DIR",
            group="repository",
            rest="mirror_credentials",
        ),
    ] = ""
    mirror_credentials: Annotated[
        tuple[str, ...], Internal("they are what --git-credentials gives after the first")
    ] = ()
    git_timeout: Annotated[
        float,
        Option(
            "--git-timeout",
            REPOSITORY,
            "Give up fetching after this time. [default: 2m]",
            group="repository",
        ),
    ] = FETCH_SECONDS
    require_signature: Annotated[
        Literal["gpg", "ssh"] | None,
        Option(
            "--require-signature",
            REPOSITORY,
            "Read nothing that is not so signed, whatever the repository's own rules say.",
            group="repository",
        ),
    ] = None
    signature_on: Annotated[
        Literal["commit", "tag"],
        Option(
            "--signature-on",
            REPOSITORY,
            "What must carry it. [default: commit]",
            group="repository",
        ),
    ] = "commit"
    trusted_keys: Annotated[
        str,
        Option(
            "--trusted-keys",
            REPOSITORY,
            "Public keys, or allowed signers, that signatures are checked with.",
            metavar="PATH",
            group="repository",
        ),
    ] = ""
    chart_credentials: Annotated[
        Path | None,
        Option(
            "--chart-credentials",
            REPOSITORY,
            "Logins of the registries and repositories that charts come from: a docker "
            "config.json. Without it they are asked without one.",
            metavar="FILE",
            group="repository",
        ),
    ] = None
    allow_rollback: Annotated[
        bool,
        Option(
            "--allow-rollback",
            REPOSITORY,
            "Accept a commit that does not come after the last applied one.",
            group="repository",
        ),
    ] = False

    # -- the fleet ---------------------------------------------------------------------------------

    allow_access: Annotated[
        tuple[Literal["insecure-tls", "other-namespaces", "plain-http", "proxy"], ...],
        Option(
            "--allow-access",
            FLEET,
            "Use credentials of the host for servers that are not verified, out of other "
            "namespaces, in the clear, or through proxies that Git or they name. Repeatable.",
            group="repository",
        ),
    ] = ()
    access_providers: Annotated[
        Path | None,
        Option(
            "--access-providers",
            FLEET,
            "The programs that give credentials for the clusters of ClusterProfiles: a file of "
            "providers as in KEP-4322.",
            metavar="FILE",
            group="repository",
        ),
    ] = None
    clusters: Annotated[
        tuple[str, ...],
        Option(
            "--cluster",
            FLEET,
            "Only this cluster. Repeatable.",
            metavar="NAME",
            kept=2,
            as_kept=_sorted,
        ),
    ] = ()
    kubeconfig: Annotated[
        str | None,
        Option(
            "--kubeconfig",
            FLEET,
            "[default: as kubectl finds it]",
            metavar="FILE",
            group="memory",
        ),
    ] = None
    host_context: Annotated[
        str,
        Option(
            "--host-context",
            FLEET,
            "The cluster that keeps credentials and what is remembered. [default: this pod's, "
            "or the current context]",
            metavar="CONTEXT",
            group="memory",
        ),
    ] = ""
    state: Annotated[
        str,
        Option(
            "--state",
            FLEET,
            "Where it is remembered who is down, and since when. [default: a ConfigMap of the "
            "host cluster in a pod or with --host-context, else a file of yours]",
            metavar="configmap|FILE",
            group="memory",
        ),
    ] = ""
    """Empty, or ``auto``: see ``state.recollect``."""
    seat: Annotated[
        str,
        Option(
            "--seat",
            FLEET,
            "At which of the Federation's seats this run is: its host cluster is that seat.",
            metavar="NAME",
            group="memory",
        ),
    ] = ""
    max_deletions: Annotated[
        int | None,
        Option(
            "--max-deletions",
            FLEET,
            "Allow so many deletions in a cluster, whatever the Federation's guards say.",
            metavar="N",
            minimum=0,
            kept=4,
        ),
    ] = None
    force_conflicts: Annotated[
        bool,
        Option("--force-conflicts", FLEET, "Take over fields that somebody else owns.", kept=3),
    ] = False
    take_over: Annotated[
        bool,
        Option(
            "--take-over",
            FLEET,
            "Take over, once, what an inventory says another repository, path or cluster name "
            "has, and a cluster that was rebuilt; only --cluster NAME, where given.",
            # Once means now: a line that stays in the environment would take over every time.
            variable=False,
            kept=5,
        ),
    ] = False
    deadline: Annotated[
        float | None,
        Option(
            "--deadline --timeout",
            FLEET,
            "Give up after this time. [default: 10m, with --plan and what only reads 5m]",
        ),
    ] = None

    # -- other runs, and the end of this one -------------------------------------------------------

    lock: Annotated[
        Literal["auto", "lease", "file", "none"],
        Option(
            "--lock",
            OTHER_RUNS,
            "A Lease in the host cluster, or a file. [default: lease in a pod or with "
            "--host-context, else file]",
        ),
    ] = "auto"
    """``auto``: see ``lock.run_lock``."""
    shard: Annotated[
        str,
        Option(
            "--shard",
            OTHER_RUNS,
            "Only this pod's share of the clusters, such as 0/4: the pods of one Job share "
            "a run. [default: $JOB_COMPLETION_INDEX/$JOB_COMPLETIONS, if both are set]",
            metavar="INDEX/COUNT",
        ),
    ] = ""
    """Empty: all of it. See ``shard.split.shard_of``."""
    round: Annotated[
        str,
        Option(
            "--round",
            OTHER_RUNS,
            "What the pods of one run have in common and no other run has, such as their "
            "Job's UID.",
            metavar="ID",
        ),
    ] = ""
    lock_timeout: Annotated[
        float,
        Option(
            "--lock-timeout",
            OTHER_RUNS,
            "Wait so long for another run to end. [default: fail when it is seen alive]",
        ),
    ] = 0.0
    lease_duration: Annotated[
        float,
        Option(
            "--lease-duration",
            OTHER_RUNS,
            "Others take over from a run that has not renewed its lock for so long. [default: 90s]",
        ),
    ] = LEASE_SECONDS
    grace: Annotated[
        float,
        Option("--grace", OTHER_RUNS, "After SIGTERM, end within this time. [default: 25s]"),
    ] = GRACE_SECONDS

    # -- output ------------------------------------------------------------------------------------

    output: Annotated[
        Literal["text", "json", "markdown", "html", "none"],
        Option("-o --output", OUTPUT, "What to print.", show_default=True, inherited=False),
    ] = "text"
    reports: Annotated[
        tuple[Path, ...],
        Option(
            "--report",
            OUTPUT,
            "Also write it to FILE: .html, .json, .md or .txt. Repeatable.",
            metavar="FILE",
            problem=_report_problem,
            inherited=False,
        ),
    ] = ()
    markdown_limit: Annotated[
        int,
        Option(
            "--markdown-limit",
            OUTPUT,
            "Cut Markdown to so many characters. [default: 65536, what GitHub takes]",
            metavar="N",
            minimum=2_000,
            inherited=False,
        ),
    ] = 65_536
    detailed_exitcode: Annotated[
        bool,
        Option(
            "--detailed-exitcode",
            OUTPUT,
            "With --plan: exit with 2 when there are changes.",
            inherited=False,
        ),
    ] = False

    # -- observability -----------------------------------------------------------------------------

    log_format: Annotated[
        Literal["text", "json"],
        Option(
            "--log-format",
            OBSERVABILITY,
            "json: one object for each line on stderr, and nothing on stdout unless --output "
            "says what. [default: text]",
        ),
    ] = "text"
    metrics_file: Annotated[
        Path | None,
        Option(
            "--metrics-file",
            OBSERVABILITY,
            "Write metrics of the run here, for the node exporter: a name that ends in .prom.",
            metavar="FILE",
        ),
    ] = None
    metrics_push: Annotated[
        str,
        Option(
            "--metrics-push",
            OBSERVABILITY,
            "Push metrics of the run to this Pushgateway.",
            metavar="URL",
        ),
    ] = ""
    events: Annotated[
        Literal["auto", "none", "host", "members"],
        Option(
            "--events",
            OBSERVABILITY,
            "Kubernetes Events of failures, outages and prunes: on the host cluster, or also "
            "on the changed objects in the members. [default: auto: on the host in a pod or with "
            "--host-context]",
        ),
    ] = "auto"

    # -- the terminal ------------------------------------------------------------------------------

    verbose: Annotated[bool, Option("-v --verbose", TERMINAL, "Tell more.", group="terminal")] = (
        False
    )
    no_color: Annotated[
        bool, Option("--no-color", TERMINAL, "As the variable NO_COLOR.", group="terminal")
    ] = False
    debug: Annotated[
        bool,
        Option(
            "--debug",
            TERMINAL,
            "Show Python's traceback when the tool itself fails.",
            group="terminal",
        ),
    ] = False

    # -- what nobody gives -------------------------------------------------------------------------

    clock: Annotated[Callable[[], float], Internal("the time is what it is")] = time.time
    """Unix time in seconds."""
    kept: Annotated[Any, Internal("a process that stays has it")] = None
    """What outlives a run, as ``cluster.connect.Kept`` says; None: nothing."""
    ahead: Annotated[Any, Internal("it is begun while the program is still loaded")] = None
    """What Git was asked of a work tree before its answers are needed: ``git.local.AskedAhead``;
    None: nothing."""
    fights: Annotated[Mapping[Any, Any], Internal("a process that stays counts them")] = {}
    """Which objects others change again and again: ``plan.fights.Fights``."""
    sample_at: Annotated[float | None, Internal("a saved plan says when it was made")] = None
    """The time (Unix seconds) that tells which unchanged objects are verified all the same; without
    it, the clock's."""
    time_left: Annotated[
        Callable[[], float], Internal("it follows from --deadline, --grace and the signals")
    ] = lambda: inf
    """Seconds for which requests may still go on; asked before each of them."""

    @property
    def asks(self) -> bool:
        """Whether to confirm first, where somebody can answer; a saved plan was agreed to."""
        return not (self.yes or self.every or self.apply_plan)


def usual_seconds(*, plan_only: bool) -> float:
    """How long a run, or what only reads, may take where --deadline does not say."""
    return 300.0 if plan_only else 600.0


# -- reading the declarations ----------------------------------------------------------------------


class Declaration(Struct, frozen=True):
    """A field of ``RunOptions``: its ``type``, and the option by which it is given."""

    name: str
    type: Any
    option: Option

    @property
    def parameter(self) -> str:
        """What click calls it."""
        return self.option.parameter or self.name

    @property
    def variable(self) -> str:
        """The environment variable that sets it; empty: none does."""
        return f"{ENVIRONMENT_PREFIX}{self.parameter}".upper() if self.option.variable else ""


@cache
def declarations() -> dict[str, Declaration]:
    """Name -> declaration, of every field that is an option."""
    found = {name: get_args(hint) for name, hint in RunOptions.__annotations__.items()}
    return {
        name: Declaration(name, type_, how)
        for name, (type_, how) in found.items()
        if isinstance(how, Option)
    }


def kept_options() -> Iterator[Declaration]:
    """Those that decide what a plan says, in the order in which a saved plan has them."""
    kept = [one for one in declarations().values() if one.option.kept]
    yield from sorted(kept, key=lambda one: one.option.kept)
