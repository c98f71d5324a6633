"""All that can happen to a few proposers and seats, over the product's own functions.

A *world* is what the seats' objects hold, what each proposer knows, and what is on its way.
``Explorer.run`` visits every world that can be reached from the first one. Each read or write at a
seat is one step, and between any two anybody else may have theirs; a proposer that has no further
step has crashed, so that a crash at every step is part of every search. Requests and answers are
lost, come late, come after their proposer has gone on, and come twice, so many times as a
``Scenario`` says; objects are deleted or set back to what they once were.

The proposers run ``reconciler.seats.protocol`` and nothing else. What they do next depends on their
own state only, so that each of their steps is computed once and then looked up.

    python -m tests.unit.seats.explore --list
    python -m tests.unit.seats.explore "three proposers" --more-tries 1
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from msgspec.structs import replace as struct_replace

from reconciler.seats import protocol
from reconciler.seats.protocol import (
    Answer,
    Attempt,
    Ballot,
    Changed,
    Configuration,
    Copy,
    NoReply,
    ObservedCopy,
    Proposal,
    Seat,
    SeatRequest,
    Stage,
    Watermark,
)
from tests.unit.seats.worlds import (
    AGED,
    DELAYED,
    DOUBLED,
    KINDS,
    LATE,
    LOST,
    REMADE,
    WIPED,
    Faults,
    Interned,
    Local,
    Object,
    Scenario,
    Violation,
    Vote,
    World,
    are_linear,
    attempt_key,
    has_quorum,
)


class Stop(Exception):
    """An operation cannot go on, and says so to whoever asked for it."""


@dataclass
class Figures:
    """``worlds`` that were visited, ``steps`` between them, ``finished`` proposers' operations."""

    worlds: int = 0
    steps: int = 0
    complete: bool = True
    seconds: float = 0.0


Action = tuple[Any, ...]


class Explorer:
    """Everything that can happen in one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.names = scenario.seats + scenario.others
        self.proposers = tuple(scenario.proposers)
        self.copies: Interned[Copy] = Interned()
        self.attempts: Interned[Attempt] = Interned()
        self.requests: Interned[SeatRequest] = Interned()
        self.answers: Interned[Answer] = Interned()
        self.votes: Interned[Vote] = Interned()
        self._sendable: dict[int, tuple[int, ...]] = {}
        self._taken: dict[tuple[int, int, int], int] = {}
        self._decided: dict[tuple[int, Local], tuple[tuple[str, Local], ...]] = {}
        self._touched: dict[tuple[int, int], frozenset[str]] = {}
        self.lost = self.answers.number(NoReply("lost"))
        apart = {*scenario.behind, *scenario.hurt}
        apart |= {
            word for told in scenario.proposers.values() for one in told for word in one.split()
        }
        self._alike = set(scenario.seats) - apart
        self._first = self.first()

    # -- the first world -------------------------------------------------------------------

    def first(self) -> World:
        """A register whose first value every seat has, and whose second one those not behind."""
        scenario = self.scenario
        seats = tuple(Seat(name, f"{name}0", 0) for name in scenario.seats)
        configuration = Configuration(seats)
        ballot = Ballot(1, "0")
        copies = {}
        for name in scenario.seats:
            known = tuple((seat, Watermark(0, ballot)) for seat in scenario.seats)
            told = known if scenario.acknowledged else ()
            copies[name] = Copy(ballot.following, ballot, configuration, b"0", 0, told)
        objects = tuple(
            Object(f"{name}0", self.copies.number(copies[name])) if name in copies else None
            for name in self.names
        )
        votes = frozenset(
            self.votes.number(Vote(ballot, configuration, b"0", seat)) for seat in seats
        )
        counts = tuple(getattr(scenario.faults, kind) for kind in KINDS)
        past = tuple(frozenset() if one is None else frozenset({one}) for one in objects)
        world = World(objects, (), counts, past=past, votes=votes, chosen=b"0")
        if scenario.behind:
            world = self._second(world)
        if scenario.begun:
            world = self._begun(world, configuration)
        locals_ = tuple(self._starting(world, number) for number in range(len(self.proposers)))
        return self._forgetting(world._replace(locals=locals_))

    def _second(self, world: World) -> World:
        """A proposer has added "1" at the seats that are not behind, and is gone."""
        attempt = Attempt("0", self.scenario.seats, known={}, seen={})
        near = [name for name in self.scenario.seats if name not in self.scenario.behind]
        for stage in ("read", "prepare", "accept"):
            if stage == "prepare":
                attempt = protocol.prepare(attempt, 2)
            elif stage == "accept":
                found = protocol.latest(attempt.seen, attempt.known)
                proposal = Proposal(found.configuration, found.value + b"1")
                attempt = protocol.propose(attempt, proposal)
            for request in protocol.requests(attempt):
                if request.seat in near:
                    world, answer = self._execute(world, self.requests.number(request))
                    attempt = protocol.answered(attempt, request, self.answers.values[answer])
        return world

    def _begun(self, world: World, before: Configuration) -> World:
        """The joint configuration is accepted at a, and d has its full copy."""
        found = world.objects[self.names.index("a")]
        assert found is not None
        copy = self.copies.values[found.copy]
        comes = Seat("d", "d1", 1)
        stay = tuple(seat for seat in before.seats if seat.name != "c")
        joint = Configuration(tuple(sorted((*stay, comes))), before.seats)
        accepted = struct_replace(
            copy,
            promised=Ballot(4, "1"),
            accepted=Ballot(3, "1"),
            configuration=joint,
            value=copy.value + b"1",
        )
        full = self.copies.number(struct_replace(copy, incarnation=1))
        world = self._put(world, self.names.index("d"), Object(comes.uid, full))
        written = Object(found.uid, self.copies.number(accepted))
        vote = Vote(accepted.accepted, joint, accepted.value, Seat("a", found.uid, 0))
        votes = world.votes | {self.votes.number(vote)}
        return self._put(world, self.names.index("a"), written)._replace(votes=votes)

    def _starting(self, world: World, number: int) -> Local:
        """A proposer that has read all seats, unless reading is what it does."""
        name = self.proposers[number]
        attempt = Attempt(name, self.names)
        local = Local(0, 0, 0, self.scenario.tries.get(name, 1))
        if self._operation(number, local) != "read" and name not in self.scenario.fresh:
            for request in protocol.requests(attempt):
                _, answer = self._execute(world, self.requests.number(request))
                attempt = protocol.answered(attempt, request, self.answers.values[answer])
        return local._replace(attempt=self._keep(attempt))

    def _operation(self, number: int, local: Local) -> str:
        operations = self.scenario.proposers[self.proposers[number]]
        return operations[local.operation] if local.operation < len(operations) else ""

    def _keep(self, attempt: Attempt) -> int:
        if not self.scenario.acknowledged:
            attempt = struct_replace(attempt, known={}, sent_watermarks=())
        return self.attempts.number(attempt, attempt_key(attempt))

    # -- what can happen -------------------------------------------------------------------

    def steps(self, world: World) -> Iterator[tuple[Action, World]]:
        """Everything that can be next. Raises Violation where it must not be."""
        for number, local in enumerate(world.locals):
            if self._operation(number, local):
                yield from self._own_steps(world, number, local)
        for flight in world.pending:
            number, request, answer = flight
            after = world._replace(pending=world.pending - {flight})
            yield ("delivered", flight), self._take(after, number, request, answer)
        for request in world.late:
            after, _ = self._execute(world._replace(late=world.late - {request}), request)
            yield ("late", request), after
        yield from self._harm(world)

    def _own_steps(self, world: World, number: int, local: Local) -> Iterator[tuple[Action, World]]:
        busy = {self.requests.values[r].seat for n, r, _ in world.pending if n == number}
        busy |= self._as_good_as_others(world)
        if local.phase in ("install", "write"):
            yield from self._install(world, number, local)
            return
        for request in self._requests_of(local.attempt):
            one = self.requests.values[request]
            if one.seat in busy:
                continue
            after, answer = self._execute(world, request)
            yield ("asked", number, request), self._take(after, number, request, answer)
            if world.faults[DELAYED]:
                waiting = after.pending | {(number, request, answer)}
                spent = _spend(after, DELAYED)._replace(pending=waiting)
                yield ("answer delayed", number, request), spent
            if one.copy is None:
                continue
            if world.faults[LOST]:
                given_up = self._take(_spend(after, LOST), number, request, self.lost)
                yield ("answer lost", number, request), given_up
            if world.faults[LATE]:
                given_up = self._take(_spend(world, LATE), number, request, self.lost)
                on_its_way = given_up._replace(late=world.late | {request})
                yield ("request late", number, request), on_its_way
            if world.faults[DOUBLED] and answer != self.lost:
                twice = self._take(_spend(after, DOUBLED), number, request, answer)
                yield ("doubled", number, request), twice._replace(late=world.late | {request})
        waits = any(flight[0] == number for flight in world.pending)
        for what, after_local in self._decisions(number, local, waits=waits):
            self._check(world, number, local, what)
            yield (what, number), self._with_local(world, number, after_local)

    def _as_good_as_others(self, world: World) -> set[str]:
        """Seats to which nothing has happened yet, but for the first: what follows from asking one
        of them follows from asking any other."""
        fresh = [
            name
            for place, name in enumerate(self.names)
            if name in self._alike and world.objects[place] == self._first.objects[place]
        ]
        for local, at_first in zip(world.locals, self._first.locals, strict=True):
            if len(fresh) < 2:
                return set()
            touched = self._touched_by(local.attempt, at_first.attempt)
            fresh = [name for name in fresh if name not in touched]
        for request in (*world.late, *(one for _, one, _ in world.pending)):
            fresh = [name for name in fresh if name != self.requests.values[request].seat]
        return set(fresh[1:])

    def _touched_by(self, attempt: int, at_first: int) -> frozenset[str]:
        """The seats of which a proposer knows other than it did at first."""
        found = self._touched.get((attempt, at_first))
        if found is None:
            now, then = self.attempts.values[attempt], self.attempts.values[at_first]
            found = self._touched[attempt, at_first] = frozenset(
                name
                for name in self.names
                if now.seen.get(name) != then.seen.get(name)
                or now.known.get(name) != then.known.get(name)
                or name in now.silent
            )
        return found

    def _requests_of(self, attempt: int) -> tuple[int, ...]:
        found = self._sendable.get(attempt)
        if found is None:
            wanted = protocol.requests(self.attempts.values[attempt])
            found = self._sendable[attempt] = tuple(map(self.requests.number, wanted))
        return found

    def _take(self, world: World, number: int, request: int, answer: int) -> World:
        local = world.locals[number]
        key = (local.attempt, request, answer)
        attempt = self._taken.get(key)
        if attempt is None:
            attempt = self._taken[key] = self._keep(
                protocol.answered(
                    self.attempts.values[local.attempt],
                    self.requests.values[request],
                    self.answers.values[answer],
                )
            )
        if self._operation(number, local) == "read" and local.note is None:
            local = local._replace(note=world.chosen)
        return self._with_local(world, number, local._replace(attempt=attempt))

    @staticmethod
    def _with_local(world: World, number: int, local: Local) -> World:
        locals_ = (*world.locals[:number], local, *world.locals[number + 1 :])
        return world._replace(locals=locals_)

    # -- at a seat -------------------------------------------------------------------------

    def _execute(self, world: World, number: int) -> tuple[World, int]:
        """One read or write at a seat, as its API server does it."""
        request = self.requests.values[number]
        place = self.names.index(request.seat)
        found = world.objects[place]
        if request.copy is None:
            if found is None:
                return world, self.answers.number(ObservedCopy(None))
            return world, self._seen(found)
        if found is None or (
            request.version and (request.uid, request.version) != (found.uid, str(found.copy))
        ):
            return world, self.answers.number(Changed())
        before = self.copies.values[found.copy]
        written = Object(found.uid, self.copies.number(request.copy))
        seat = Seat(request.seat, found.uid, before.incarnation)
        if seat in world.aged and request.known <= before.watermark:
            world = world._replace(fooled=True)
        world = self._put(world, place, written)
        if request.copy.accepted != before.accepted:
            vote = Vote(request.copy.accepted, request.copy.configuration, request.copy.value, seat)
            world = self._voted(world, vote)
        return world, self._seen(written)

    def _seen(self, found: Object) -> int:
        return self.answers.number(
            ObservedCopy(self.copies.values[found.copy], found.uid, str(found.copy))
        )

    @staticmethod
    def _put(world: World, place: int, written: Object | None) -> World:
        objects = (*world.objects[:place], written, *world.objects[place + 1 :])
        world = world._replace(objects=objects)
        if world.past and written is not None:
            seen = world.past[place] | {written}
            past = (*world.past[:place], seen, *world.past[place + 1 :])
            world = world._replace(past=past)
        return world

    def _voted(self, world: World, vote: Vote) -> World:
        """A seat has accepted: nothing that was chosen may be lost by it."""
        votes = world.votes | {self.votes.number(vote)}
        world = world._replace(votes=votes)
        cast = [self.votes.values[number] for number in votes]
        same = [one for one in cast if one.ballot == vote.ballot]
        if any((one.value, one.configuration) != (vote.value, vote.configuration) for one in same):
            raise Violation(f"the ballot {vote.ballot} has two values")
        if not has_quorum({one.seat for one in same}, vote.configuration):
            return world
        for kept in self._kept(world, cast):
            if not are_linear(kept, vote.value):
                raise Violation(
                    f"a majority of undamaged seats held {kept!r}, and {vote.value!r} was chosen"
                )
        if world.fooled:
            return world
        if not are_linear(world.chosen, vote.value):
            raise Violation(f"both {world.chosen!r} and {vote.value!r} were chosen")
        return world._replace(chosen=max(world.chosen, vote.value, key=len))

    @staticmethod
    def _kept(world: World, cast: list[Vote]) -> set[bytes]:
        """The values that quorums of seats hold of which none was ever set back."""
        if not world.aged:
            return set()
        holders: dict[tuple[Ballot, Configuration, bytes], set[Seat]] = {}
        for one in cast:
            if one.seat not in world.aged:
                key = (one.ballot, one.configuration, one.value)
                holders.setdefault(key, set()).add(one.seat)
        return {key[2] for key, seats in holders.items() if has_quorum(seats, key[1])}

    def _harm(self, world: World) -> Iterator[tuple[Action, World]]:
        """What befalls the seats' objects."""
        for place, name in enumerate(self.names):
            found = world.objects[place]
            if found is None or (self.scenario.hurt and name not in self.scenario.hurt):
                continue
            if world.faults[WIPED]:
                yield ("wiped", name), self._put(_spend(world, WIPED), place, None)
            for earlier in world.past[place] if world.past else ():
                if world.faults[REMADE]:
                    remade = Object(f"{found.uid}'", earlier.copy)
                    after = self._put(_spend(world, REMADE), place, remade)
                    yield ("remade", name, earlier.copy), self._forgetting(after)
                if world.faults[AGED] and earlier != found and earlier.uid == found.uid:
                    back = self.copies.values[earlier.copy].incarnation
                    now = self.copies.values[found.copy].incarnation
                    after = self._put(_spend(world, AGED), place, earlier)
                    aged = {Seat(name, found.uid, one) for one in range(back, now + 1)}
                    after = after._replace(aged=after.aged | aged)
                    yield ("set back", name, earlier.copy), self._forgetting(after)

    @staticmethod
    def _forgetting(world: World) -> World:
        """What objects once were makes no difference once none is set back any more."""
        if world.past and not world.faults[AGED] and not world.faults[REMADE]:
            return world._replace(past=())
        return world

    # -- what a proposer does --------------------------------------------------------------

    def _decisions(
        self, number: int, local: Local, *, waits: bool
    ) -> tuple[tuple[str, Local], ...]:
        """What it can make of what it knows; the same as ``Register`` does."""
        key = (number, local)
        found = self._decided.get(key)
        if found is None:
            found = self._decided[key] = tuple(self._decide(number, local))
        # Whoever still waits for an answer does not give up.
        return tuple(one for one in found if one[0] != "gave up") if waits else found

    def _decide(self, number: int, local: Local) -> Iterator[tuple[str, Local]]:
        attempt = self.attempts.values[local.attempt]
        operation = self._operation(number, local)
        if operation == "read":
            if protocol.is_settled(attempt.seen, attempt.known):
                yield "read", self._next(local, attempt)
            return
        if attempt.stage is Stage.READ:
            if protocol.is_readable(attempt.seen, attempt.known) and local.tries:
                prepared = protocol.prepare(attempt, local.highest)
                yield (
                    "prepared",
                    local._replace(
                        attempt=self._keep(prepared),
                        highest=prepared.ballot.counter,
                        tries=local.tries - 1,
                    ),
                )
            return
        if attempt.stage is Stage.PREPARE and protocol.is_promised(attempt):
            yield from self._propose(number, local, attempt)
            return
        if attempt.stage is Stage.ACCEPT and protocol.is_accepted(attempt):
            after = protocol.following(attempt)
            assert attempt.proposal is not None
            if local.sure_first:
                yield "made sure", local._replace(attempt=self._keep(after), sure_first=False)
            else:
                yield "done", self._finished(local, after, attempt.proposal.configuration)
            return
        may_give_up = self.scenario.impatient or protocol.is_refused(attempt)
        if local.tries and (may_give_up or not self._requests_of(local.attempt)):
            again = protocol.again(attempt)
            yield "gave up", local._replace(attempt=self._keep(again), sure_first=False)

    def _propose(self, number: int, local: Local, attempt: Attempt) -> Iterator[tuple[str, Local]]:
        found = protocol.latest(attempt.seen, attempt.known)
        before = Proposal(found.configuration, found.value)
        settled = protocol.is_settled(attempt.seen, attempt.known)
        try:
            after = self._function(number, local, before)
        except Stop:
            yield "stopped", self._next(local, attempt)
            return
        if after == before and settled:
            yield "unchanged", self._finished(local, attempt, before.configuration)
            return
        proposal = protocol.next_proposal(attempt, after)
        proposed = protocol.propose(attempt, proposal)
        yield (
            "proposed",
            local._replace(
                attempt=self._keep(proposed),
                highest=max(local.highest, proposed.ballot.following.counter),
                sure_first=proposal != after,
            ),
        )

    def _function(self, number: int, local: Local, before: Proposal) -> Proposal:
        """What the operation makes of a value. Raises Stop."""
        operation = self._operation(number, local)
        own = operation.partition(" ")[0].lstrip("+")[:1].encode()
        configuration, value = before.configuration, before.value
        if local.phase == "final" or operation == "finish":
            if not configuration.previous:
                return before
            return Proposal(Configuration(configuration.seats), value + own.upper())
        if local.phase == "joint":
            expected, joint = local.note
            if configuration == joint or own in value:
                return before
            if configuration != expected:
                raise Stop
            return Proposal(joint, value + own)
        if operation.startswith("+") and own not in value:
            return Proposal(configuration, value + own)
        return before

    def _finished(self, local: Local, attempt: Attempt, configuration: Configuration) -> Local:
        """The next phase of its operation, or its next operation."""
        changes_seats = local.phase == "" and self._changes_seats(attempt.by, local)
        if changes_seats and not configuration.previous:
            phase = "install"
        elif configuration.previous and local.phase != "final" and not changes_seats:
            phase = "final"
        else:
            return self._next(local, attempt)
        return local._replace(attempt=self._keep(attempt), phase=phase)

    def _next(self, local: Local, attempt: Attempt) -> Local:
        done = local.operation + 1
        if done == len(self.scenario.proposers[attempt.by]):
            # What it knows makes no difference any more.
            return Local(done, 0, 0, 0)
        tries = self.scenario.tries.get(attempt.by, 1)
        return Local(done, self._keep(attempt), local.highest, tries)

    def _changes_seats(self, name: str, local: Local) -> bool:
        operation = self.scenario.proposers[name][local.operation]
        return operation.startswith(("replace", "repair"))

    def _install(self, world: World, number: int, local: Local) -> Iterator[tuple[Action, World]]:
        """A full copy for a seat that is to count: its object is read, then written."""
        attempt = self.attempts.values[local.attempt]
        _, *words = self._operation(number, local).split()
        leaves, comes = words[0], words[-1]
        place = self.names.index(comes)
        if local.phase == "install":
            noted = local._replace(phase="write", note=world.objects[place])
            yield ("looked", number), self._with_local(world, number, noted)
            return
        latest = protocol.latest(attempt.seen, attempt.known)
        found = local.note
        incarnation = len(latest.value) + 1
        if world.objects[place] != found or (
            found is not None and self.copies.values[found.copy].incarnation >= incarnation
        ):
            # Somebody else was there: the operation fails, and says so.
            failed = self._next(local, attempt)
            yield ("stopped", number), self._with_local(world, number, failed)
            return
        others = tuple(sorted((n, w) for n, w in attempt.known.items() if n != comes))
        copy = struct_replace(latest, incarnation=incarnation, acknowledged=others)
        uid = f"{comes}{incarnation}" if found is None else found.uid
        written = Object(uid, self.copies.number(copy))
        before = latest.configuration
        stay = {seat for seat in before.seats if seat.name != leaves}
        joint = Configuration(tuple(sorted(stay | {Seat(comes, uid, incarnation)})), before.seats)
        request = SeatRequest(comes, Watermark())
        answer = self._seen(written)
        knows = protocol.answered(attempt, request, self.answers.values[answer])
        ready = local._replace(phase="joint", note=(before, joint), attempt=self._keep(knows))
        after = self._put(world, place, written)
        yield ("installed", number), self._with_local(after, number, ready)

    def _check(self, world: World, number: int, local: Local, what: str) -> None:
        """What a proposer believes to be chosen is so."""
        if world.fooled or what not in ("done", "made sure", "read", "unchanged"):
            return
        attempt = self.attempts.values[local.attempt]
        if attempt.proposal is not None:
            value = attempt.proposal.value
        else:
            value = protocol.latest(attempt.seen, attempt.known).value
            for seat in world.aged:
                one = attempt.seen.get(seat.name)
                if one is None or one.copy is None or not one.is_of(seat):
                    continue
                if attempt.known.get(seat.name, one.known) <= one.copy.watermark:
                    # Nobody whom it asked could tell that this seat was set back.
                    return
        if not world.chosen.startswith(value):
            raise Violation(f"{self.proposers[number]} takes {value!r} for chosen, and it is not")
        if what == "read" and not value.startswith(local.note or b""):
            raise Violation(f"{self.proposers[number]} read {value!r} after {local.note!r}")

    # -- the search ------------------------------------------------------------------------

    def run(self, most: int = 10_000_000) -> Figures:
        """Visit every world, at most so many. Raises Violation with the way there."""
        figures = Figures()
        began = time.monotonic()
        first = self._first
        visited = {hash(first)}
        path: list[tuple[Action, Iterator[tuple[Action, World]]]] = [
            (("begin",), self.steps(first))
        ]
        try:
            while path:
                step = next(path[-1][1], None)
                if step is None:
                    path.pop()
                    continue
                figures.steps += 1
                action, world = step
                mark = hash(world)
                if mark in visited:
                    continue
                if len(visited) >= most:
                    figures.complete = False
                    break
                visited.add(mark)
                path.append((action, self.steps(world)))
        except Violation as violation:
            told = tuple(self.told(action) for action, _ in path[1:])
            raise Violation(violation.what, told) from None
        figures.worlds = len(visited)
        figures.seconds = time.monotonic() - began
        return figures

    def walk(self, chance: random.Random, most: int = 500) -> int:
        """One history by chance; how many steps it had. Raises Violation with the way there."""
        world = self._first
        path: list[Action] = []
        try:
            for length in range(most):
                found = list(self.steps(world))
                if not found:
                    return length
                # Those that do harm are many more than those that go on.
                action, world = chance.choice(found)
                path.append(action)
        except Violation as violation:
            raise Violation(violation.what, tuple(map(self.told, path))) from None
        return most

    def told(self, action: Action) -> str:
        """A step in words."""
        what, *rest = action
        if what in ("late", "delivered"):
            request = rest[0][1] if what == "delivered" else rest[0]
            by = ""
        elif len(rest) == 2 and what not in ("remade", "set back"):
            by, request = self.proposers[rest[0]], rest[1]
        else:
            names = (self.proposers[one] if isinstance(one, int) else str(one) for one in rest[:1])
            return " ".join([*names, what])
        one = self.requests.values[request]
        copy = "" if one.copy is None else f": {one.copy!r} {one.copy.value!r}"
        verb = "read" if one.copy is None else "write"
        return f"{by} {what} {verb} {one.seat}{copy}".strip()


def _spend(world: World, kind: int) -> World:
    counts = list(world.faults)
    counts[kind] -= 1
    return world._replace(faults=tuple(counts))


TWO = {"p": ("+x",), "q": ("+y",)}
THREE = {**TWO, "r": ("+z",)}
SCENARIOS = (
    Scenario("two proposers", TWO),
    Scenario("one tries again", TWO, tries={"q": 2}, acknowledged=False),
    Scenario("lost and late", TWO, faults=Faults(lost=1, late=1), acknowledged=False),
    Scenario("late answers", TWO, faults=Faults(delayed=1), acknowledged=False),
    Scenario("two changes", {"p": ("+x", "+v"), "q": ("+y",)}, acknowledged=False),
    Scenario("a reader", {"p": ("+x",), "r": ("read",)}, faults=Faults(lost=1)),
    Scenario("a seat wiped", TWO, faults=Faults(wiped=1), behind=("b",), acknowledged=False),
    Scenario("a seat remade", TWO, faults=Faults(remade=1), behind=("b",), acknowledged=False),
    Scenario("a seat set back", TWO, faults=Faults(aged=1), behind=("b",), hurt=("c",)),
    Scenario(
        "a seat replaced", {"p": ("+x",), "q": ("replace c d",)}, others=("d",), acknowledged=False
    ),
    Scenario(
        "a seat repaired",
        {"p": ("+x",), "q": ("repair c",)},
        faults=Faults(wiped=1),
        hurt=("c",),
        acknowledged=False,
    ),
)
"""What every test run searches, all of it."""
LARGER = (
    Scenario(
        "a change of seats that somebody does not know of",
        {"q": ("finish",), "r": ("+x",)},
        others=("d",),
        fresh=("r",),
        begun=True,
        acknowledged=False,
    ),
    Scenario("two proposers who know of others", TWO, tries={"p": 2, "q": 2}),
    Scenario("both try again", TWO, tries={"p": 2, "q": 2}, acknowledged=False),
    Scenario("late answers and watermarks", TWO, faults=Faults(delayed=1)),
    Scenario("three proposers", THREE, acknowledged=False),
    Scenario("three proposers, lost and late", THREE, faults=Faults(1, 1), acknowledged=False),
    Scenario(
        "set back and late",
        TWO,
        faults=Faults(aged=1, late=1, doubled=1),
        behind=("b",),
        hurt=("c",),
    ),
    Scenario(
        "two who change seats",
        {"p": ("replace c d",), "q": ("replace c e",)},
        others=("d", "e"),
        acknowledged=False,
    ),
    Scenario(
        "a seat repaired while others write",
        {"p": ("+x", "+v"), "q": ("repair c",), "r": ("+y",)},
        faults=Faults(wiped=1, late=1),
        hurt=("c",),
        tries={"q": 2},
    ),
)
"""For longer searches, and for histories by chance."""


def main() -> int:
    """Searches the scenarios whose names hold the words given. 1: something does not hold."""
    parser = argparse.ArgumentParser(description="Search what can happen to the register.")
    parser.add_argument("words", nargs="*", help="only scenarios with these in their names")
    parser.add_argument("--list", action="store_true", help="only their names")
    parser.add_argument("--most", type=int, default=20_000_000, help="worlds to visit at most")
    parser.add_argument("--more-tries", type=int, default=0, help="ballots more for each proposer")
    parser.add_argument("--walks", type=int, default=0, help="so many histories by chance instead")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    words = " ".join(arguments.words)
    for scenario in (*SCENARIOS, *LARGER):
        if words not in scenario.name:
            continue
        if arguments.list:
            print(scenario.name)
            continue
        more = {
            name: scenario.tries.get(name, 1) + arguments.more_tries for name in scenario.proposers
        }
        explorer = Explorer(replace(scenario, tries=more))
        try:
            if arguments.walks:
                chance = random.Random(arguments.seed)
                steps = sum(explorer.walk(chance) for _ in range(arguments.walks))
                told = f"{arguments.walks:,} histories of {steps:,} steps"
            else:
                figures = explorer.run(arguments.most)
                rest = "" if figures.complete else ", not all of them"
                told = f"{figures.worlds:,} worlds{rest}, {figures.steps:,} steps"
                told += f", {figures.seconds:.0f} s"
        except Violation as violation:
            print(f"{scenario.name}: {violation}")
            return 1
        print(f"{scenario.name}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
