"""bin/annotate with a scripted policy, for tests that kill it: python -m tests.fakes.annotate FLAGS

SCRIPTED_PAUSE in the environment is the seconds that each request of the policy takes.
"""

from __future__ import annotations

import asyncio
import os
import sys

from engine import commands
from engine.annotate import annotate
from engine.config import PRESETS, AnnotateConfig
from tests.fakes.policy import ScriptedPolicy

PAUSE = "SCRIPTED_PAUSE"


async def scripted_policy(config: AnnotateConfig) -> ScriptedPolicy:
    seconds = float(os.environ.get(PAUSE, "0"))
    return ScriptedPolicy(pause=lambda: asyncio.sleep(seconds))


if __name__ == "__main__":
    config = commands.parse(AnnotateConfig, sys.argv[1:], "annotate", PRESETS)
    commands.run(lambda given: annotate(given, scripted_policy), config)
