"""Every error that ends a command, with the exit code it ends with.

OmegaprmError
    UsageError              64  the command line or a value on it
    BadInput                65  no usable row in the seeds, rows or candidates
    JudgeUnreachable        69  the judge did not answer within its patience
    PolicyUnreachable       69  the policy's endpoint did not answer within its patience
    EngineDied              70  the inference engine is gone
    StoreHeld               73  another process has the store open
    StoreFailed             74  store I/O failed or the disk is full
    Drained                 75  stopped on a signal with everything saved: run the same command again
    ConfigurationError      78  a configuration that cannot be, or a store made under another one

The message names the field, the value and the rule; commands print it without a traceback.
"""

from __future__ import annotations


class OmegaprmError(Exception):
    """Base of the errors a person can act on."""

    exit_code = 1


class UsageError(OmegaprmError):
    exit_code = 64


class BadInput(OmegaprmError):
    exit_code = 65


class JudgeUnreachable(OmegaprmError):
    exit_code = 69


class PolicyUnreachable(OmegaprmError):
    exit_code = 69


class EngineDied(OmegaprmError):
    exit_code = 70


class StoreHeld(OmegaprmError):
    exit_code = 73


class StoreFailed(OmegaprmError):
    exit_code = 74


class Drained(OmegaprmError):
    exit_code = 75


class ConfigurationError(OmegaprmError):
    exit_code = 78
