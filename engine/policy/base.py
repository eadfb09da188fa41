"""The policy protocol: a prompt in, completions out."""

from __future__ import annotations

from typing import Protocol

import msgspec

from omegaprm.engine.records import Problem
from omegaprm.engine.seams import Begun, Seams


class Prompt(msgspec.Struct, frozen=True):
    """A state to complete: a problem and the steps so far, which the policy continues from.

    image_digests, where known, are the images' SHA-256 in hex; they let an engine reuse what it has encoded. seams are
    what the policy wrote around the steps so far, () where that is what the step format asks for.
    """

    problem: Problem
    prefix: tuple[str, ...] = ()
    image_digests: tuple[str, ...] = ()
    seams: Seams = ()

    @property
    def begun(self) -> Begun:
        return Begun(self.prefix, self.seams)


class Completion(msgspec.Struct, frozen=True):
    """One sampled text after the prefix; truncated where it ran into the token limit.

    strayed: the policy did not end the last step of the prefix where that ends, so that this is no rollout from it.
    """

    text: str
    num_tokens: int
    truncated: bool = False
    strayed: bool = False


class Policy(Protocol):
    """Anything that can complete a state.

    The same (prompt, num, seed) gives the same completions as far as the engine allows. Errors: EngineDied
    where no further request can succeed; ProblemFailed where this problem alone cannot be served (too long,
    an image that cannot be read). Cancelling a call aborts its request.
    """

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]: ...

    async def close(self) -> None: ...


class StepPolicy(Policy, Protocol):
    """A policy that can also stop behind the next step; the same holds as for sample()."""

    async def sample_step(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        """num continuations of a state by one step, or by the answer."""
        ...


class ProblemFailed(Exception):
    """This problem cannot be served; it is quarantined with the message, and the others go on."""
