"""What a chart makes up at each rendering, of which a plan makes some and leaves the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey, first_few
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action
from reconciler.render.render import DesiredObject

_MADE = (Action.CREATE, Action.RECREATE)
_STAY = (Action.UNCHANGED, Action.UPDATE, Action.ADOPT)


def of_two_renderings(work: MemberWork, desired: Sequence[DesiredObject]) -> Iterator[Notice]:
    """Of releases whose random objects will be of different renderings, such as a certificate
    that another authority has signed than the one beside it."""
    changes = {change.key: change.action for change in work.plan.changes}
    releases: dict[str, list[ObjectKey]] = defaultdict(list)
    for one in desired:
        if one.rules.random:
            releases[one.rules.chart].append(one.key)
    for release, keys in sorted(releases.items()):
        made = [str(key) for key in keys if changes.get(key) in _MADE]
        stay = [str(key) for key in keys if changes.get(key, Action.UNCHANGED) in _STAY]
        if made and stay:
            yield notice(
                NoticeCause.CHART_OF_TWO_RENDERINGS,
                work.cluster.name,
                release,
                objects=first_few(made),
                others=first_few(stay),
            )
