"""Every flag of the commands that sample from the policy, and the presets."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from omegaprm.engine import template_date
from omegaprm.engine.errors import UsageError
from omegaprm.engine.policy.endpoint_flags import PolicyEndpointFlags
from omegaprm.engine.prompts import OutsideTags, Template
from omegaprm.engine.seams import StepFormat

BeamScore = Literal["min", "last", "product", "average"]


MAX_COMMIT_WINDOW_MS = 1000
"""A drain waits for commits; they must not take much of its seconds."""


class SearchRule(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the shape of a tree (OmegaPRM, sections 3.2 and 3.3)."""

    num_rollouts: int = 16
    max_searches: int = 200
    rollout_budget: int = 1000
    alpha: float = 0.5
    beta: float = 0.9
    length_scale: float = 2000.0
    c_puct: float = 0.125
    search_extreme_roots: bool = False
    first_part: int = 0
    settle_right: int = 1
    value_rollouts: int = 0
    confirm_zero: int = 0
    reuse_rollouts: bool = False
    error_below: float = 0.0


LATER_RULES = ("first_part", "settle_right", "value_rollouts", "confirm_zero", "reuse_rollouts", "error_below")
"""Rules that stores of the first versions do not name; they stand for the defaults there."""
PART_RULE = "settle_right"
"""Named by stores with first_part alone; one with first_part that does not name it had its roots in parts, too."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How completions are drawn."""

    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 0.9
    repetition_penalty: float = 1.05
    max_new_tokens: int = 4096


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How vLLM is set up; nothing here changes a label."""

    max_model_len: int | None = None
    max_num_seqs: int = 512
    max_num_batched_tokens: int | None = None
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float = 1.0
    prefix_caching: bool = True
    chunked_prefill: bool | None = None
    dtype: str = "auto"
    trust_remote_code: bool = False


class PolicyFlags(PolicyEndpointFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flags of every command that samples from the policy and judges what it wrote."""

    seeds: tuple[str, ...]
    """Seed files, JSON list or JSONL, of {"id", "question", "correct_answer", "image_path"}."""
    model: str = ""
    """Local folder of the policy, a Hugging Face model; with --policy-url it lends its chat template and tokenizer
    alone."""
    image_root: str | None = None
    """Folder that image paths start from; absolute ones must lie inside. Default: the folder of each seeds file."""
    shard: str = "0/1"
    """Take part i of n of the problems, split by id: i/n. i = n means 0, so counting from 1 works too."""
    run_seed: int = 0
    """All sampling is drawn from this seed, the problem's id and the number of the estimate."""
    concurrency: int = 256
    """Problems worked on at once."""
    in_flight: int | Literal["auto"] | None = None
    """Requests at the engine at once, each of --num-rollouts sequences; "auto" finds the level where more buys
    nothing, from the engine's own signals. Default: as many as problems are open."""
    drain_seconds: float = 20.0
    """Time that requests under way are given to finish after a signal."""
    request_seconds: float = 3600.0
    """Time one request of the policy may take, waiting included; then it is sent again, and its problem is given
    up after three times. 0: no limit."""
    engine_restarts: int = 0
    """Times in a run that a dead inference engine is started again in place, instead of ending with 70."""
    temperature: float = 1.0
    """Sampling temperature."""
    top_k: int = 50
    """Sample among this many likeliest tokens; 0 for all."""
    top_p: float = 0.9
    """Sample among the likeliest tokens that hold this much probability."""
    repetition_penalty: float = 1.05
    """Penalty on tokens that stand in the text already; 1 for none."""
    max_new_tokens: int = 4096
    """Tokens a rollout at the most; one that runs into it counts as truncated, not as wrong."""
    prompt_template: Template = "prefill"
    """"prefill": the steps so far begin the assistant's turn; "bare": the same without the instruction on how to write
    steps, for a policy tuned to write them; "mmprm": MM-PRM's prompt."""
    step_format: StepFormat = "tags"
    """How steps stand in a completion: <step> tags, paragraphs, or lines."""
    outside_tags: OutsideTags = "unparsed"
    """What text outside of --step-format tags makes of a completion. "unparsed": the completion is not used; "steps":
    every paragraph outside of the tags is a step, too."""
    few_shot: str | None = None
    """JSON list of solved problems, {"question", "steps", "answer"}, which the policy is shown before each question, in
    the form of --step-format; for models that do not keep to a form when only told."""
    prompt_date: str | None = None
    """Date, as 2026-01-31, for chat templates that write today's. Default: the one that the store or file was begun on;
    give it to shards that start on different days."""
    max_model_len: int | None = None
    """Context length; default: the model's own."""
    max_num_seqs: int = 512
    """Sequences that vLLM decodes at once."""
    max_num_batched_tokens: int | None = None
    """Tokens of one engine step; default: vLLM's on a GPU, enough for one whole prompt on a CPU."""
    tensor_parallel_size: int = 1
    """GPUs that one copy of the model is spread over."""
    data_parallel_size: int = 1
    """Copies of the model."""
    gpu_memory_utilization: float = 0.9
    """Share of GPU memory that vLLM may take."""
    kv_cache_gib: float = 1.0
    """Memory of the KV cache on a CPU, in GiB."""
    prefix_caching: bool = True
    """Keep the KV of prompts: the estimates of a tree share their question and steps, which are read once."""
    chunked_prefill: bool | None = None
    """Read long prompts in pieces between decoding steps, which keeps those short. Default: vLLM's on a GPU; off on
    a CPU, where seeded requests do not survive it."""
    dtype: str = "auto"
    """Number format of the weights; on a CPU "auto" is float32."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in _LEAST.items():
            value = getattr(self, name, None)
            if value is not None and value < least:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {least}")
        if isinstance(self.in_flight, int) and self.in_flight < 1:
            raise UsageError(f"--in-flight {self.in_flight}: must be at least 1, or auto")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p {self.top_p}: must be above 0 and at most 1")
        if not 0 < self.repetition_penalty <= 2:
            raise UsageError(f"--repetition-penalty {self.repetition_penalty}: must be above 0 and at most 2")
        require_finite(self)
        parse_shard(self.shard)
        template_date.parse(self.prompt_date)

    def part(self, kind: type[msgspec.Struct]) -> Any:
        """The fields of this config that a smaller struct names, as that struct."""
        return kind(**{name: getattr(self, name) for name in kind.__struct_fields__})


def require_finite(config: msgspec.Struct) -> None:
    """UsageError where a flag is NaN or infinite."""
    for name, value in msgspec.structs.asdict(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be a finite number")


class AnnotateConfig(PolicyFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grow OmegaPRM trees over seed problems into a store. The same command resumes where it was stopped."""

    store: str
    """Folder of the LMDB store; made if it is not there, resumed if it is."""
    commit_window_ms: float = 0.0
    """Time a commit waits for others to share its sync: fewer and larger writes on slow disks, paid with latency."""
    speculate: int = 0
    """Estimates that searches may want next are sampled ahead while the engine has room, at most so many at once.
    Labels stay the same, byte for byte; what no search wants is dropped. 0: none."""
    num_rollouts: int = 16
    """Rollouts an estimate (k)."""
    max_searches: int = 200
    """Binary searches a problem at the most."""
    rollout_budget: int = 1000
    """Rollouts a problem at the most; never overshot."""
    alpha: float = 0.5
    """Weight of the value in the selection score: alpha^(1 - MC)."""
    beta: float = 0.9
    """Weight of the length in the selection score: beta^(words / length scale)."""
    length_scale: float = 2000.0
    """Words that count as one length (L)."""
    c_puct: float = 0.125
    """Weight of exploration in the selection score."""
    search_extreme_roots: bool = False
    """Also search problems whose first estimate found every rollout wrong."""
    first_part: int = 0
    """Draw estimates below the root in parts: this many rollouts first, then as many again as there are, up to
    --num-rollouts. MC > 0 is settled by --settle-right right ones; MC = 0 is drawn on only where a search ends. 0: all
    at once."""
    settle_right: int = 1
    """With --first-part, right rollouts that settle MC > 0; a state with fewer, but one, takes --num-rollouts."""
    value_rollouts: int = 0
    """With --first-part, rollouts that a state with MC > 0 takes at least, for a sharper value; rounded up to parts."""
    confirm_zero: int = 0
    """Rollouts drawn again where a search would end at MC = 0; only if none of them is right is it an error."""
    reuse_rollouts: bool = False
    """Count a rollout, too, for every later state that it passes through; needs --prompt-template prefill or bare."""
    error_below: float = 0.0
    """A state below the root counts as wrong, too, where its MC is at most this share of the MC of the state known
    right before it: its rollouts came right by luck. 0: MC = 0 alone is an error, as in the paper."""
    dry_run: int = 0
    """Only show what would happen: grow so many problems' trees into a scratch store, print them and what the whole
    job would cost at that rate. The store is neither made nor touched."""
    stall_seconds: float = 10.0
    """An event loop that stands still for longer is told on stderr, with the stack. 0: it is not watched."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alpha", "beta", "length_scale"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0")
        if self.commit_window_ms > MAX_COMMIT_WINDOW_MS:
            raise UsageError(f"--commit-window-ms {self.commit_window_ms:g}: must be at most {MAX_COMMIT_WINDOW_MS}")
        for name in ("first_part", "settle_right", "value_rollouts"):
            if getattr(self, name) > self.num_rollouts:
                raise UsageError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: must be at most --num-rollouts "
                    f"{self.num_rollouts}"
                )
        if self.value_rollouts and not self.first_part:
            raise UsageError(f"--value-rollouts {self.value_rollouts}: needs --first-part")
        if self.settle_right > 1 and not self.first_part:
            raise UsageError(f"--settle-right {self.settle_right}: needs --first-part")
        if not 0 <= self.error_below < 1:
            raise UsageError(f"--error-below {self.error_below}: must be at least 0 and below 1")
        if self.reuse_rollouts and self.prompt_template == "mmprm":
            raise UsageError("--reuse-rollouts: needs --prompt-template prefill or bare, not mmprm")
        if self.num_rollouts > self.rollout_budget:
            raise UsageError(
                f"--rollout-budget {self.rollout_budget}: must hold one estimate of --num-rollouts {self.num_rollouts}"
            )


class RolloutConfig(PolicyFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sample N candidate solutions a problem and judge them. The same command resumes after a stop."""

    out: str
    """The candidates file to write, in MM-PRM's rollouts format; FILE.partial holds what is done so far."""
    num_candidates: int = 16
    """Candidate solutions a problem (N)."""
    search: Literal["sample", "beam"] = "sample"
    """"sample": N independent solutions; "beam": those left of a beam search that a PRM guides step by step."""
    prm: str | None = None
    """Folder of the PRM that guides a beam search."""
    beam_width: int = 4
    """Beams kept after each step; as many candidates a problem are written, the best first."""
    beam_expand: int = 4
    """Next steps drawn for each beam; for the first step, this many times the width."""
    beam_score: BeamScore = "min"
    """What a beam is worth, of the scores of its steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search == "beam" and self.prm is None:
            raise UsageError("--search beam: needs --prm, the folder of the PRM that guides it")
        if self.search == "beam" and self.outside_tags != "unparsed":
            raise UsageError("--outside-tags steps: a beam search reads one step at a time, in tags; leave it out")


_LEAST = {
    "num_rollouts": 1,
    "num_candidates": 1,
    "beam_width": 1,
    "beam_expand": 1,
    "max_searches": 0,
    "first_part": 0,
    "settle_right": 1,
    "value_rollouts": 0,
    "confirm_zero": 0,
    "rollout_budget": 1,
    "temperature": 0,
    "top_k": 0,
    "max_new_tokens": 1,
    "concurrency": 1,
    "drain_seconds": 0,
    "request_seconds": 0,
    "engine_restarts": 0,
    "stall_seconds": 0,
    "dry_run": 0,
    "c_puct": 0,
    "max_model_len": 1,
    "max_num_seqs": 1,
    "max_num_batched_tokens": 1,
    "tensor_parallel_size": 1,
    "data_parallel_size": 1,
    "commit_window_ms": 0,
    "speculate": 0,
}


def parse_shard(text: str) -> tuple[int, int]:
    """ "i/n" as (i, n) with 0 <= i < n; i = n stands for 0. UsageError for anything else."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(count) > 0 and int(index) <= int(count)):
        raise UsageError(f"--shard {text}: must be i/n with 0 <= i <= n and n at least 1")
    return int(index) % int(count), int(count)
