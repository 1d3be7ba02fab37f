"""Imports point downwards only (design §3); pure files do no I/O; one file per foreign I/O library and room."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("node/**/*.py"), *ROOT.glob("coordinator/**/*.py")])

LEVELS = {
    "node.__main__": 5,
    "node.app": 4,
    **dict.fromkeys(
        (
            "node.intake",
            "node.delivery",
            "node.shadow",
            "node.truth",
            "node.admin",
            "node.console",
            "node.cli",
            "node.rehearsal",
        ),
        3,
    ),
    **dict.fromkeys(("node.spool", "node.m365", "node.cluster", "node.telemetry", "node.tls", "node.settings"), 2),
    **dict.fromkeys(("node.setup", "node.check", "node.monitoring"), 2),
    "node.policy": 1,
    "node.audit": 2,
    "node.errors": 1,
    "node": 0,
}
MAY_ALSO = {  # same level, allowed on purpose
    ("node.spool", "node.settings"),
    ("node.m365", "node.settings"),
    ("node.cluster", "node.settings"),
    ("node.telemetry", "node.settings"),
    ("node.tls", "node.settings"),
    ("node.setup", "node.settings"),
    ("node.check", "node.settings"),
    ("node.check", "node.m365"),
    ("node.check", "node.setup"),
    ("node.policy", "node.errors"),
    ("node.console", "node.admin"),  # another face of the same interface: it asks by the same routes
}
COORDINATED = ("node.cluster", "node.settings", "node.shadow", "node.app", "node.telemetry", "node.__main__")
PURE = (
    "node/policy",
    "node/shadow/entries",
    "node/shadow/frames",
    "node/shadow/questions",
    "node/shadow/telling",
    "node/spool/adopting",
    "node/spool/changed",
    "node/spool/outcomes",
    "node/spool/pairing_steps",
    "node/setup",
    "node/check/causes",
    "node/check/claims",
    "node/console/flow",
    "node/console/guard",
    "node/console/words",
    "node/truth/match",
    "node/spool/schema",
    "coordinator/budget",
    "coordinator/ownership",
    "coordinator/peers/versions",
    "coordinator/versions/decide",
)
IMPURE_MODULES = {"socket", "sqlite3", "time", "random", "asyncio", "subprocess", "threading", "ssl", "os", "secrets"}
FOREIGN_IO = {
    "aiosmtpd", "aiosmtplib", "sqlite3", "uvloop", "aiohttp", "azure", "opentelemetry", "grpc", "structlog",
    "argon2", "pyroute2", "dns",
}  # fmt: skip
SHARED_FOREIGN = {"node/telemetry": {"grpc", "opentelemetry"}}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 300


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST, module: str, *, is_package: bool = False):
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            yield from (alias.name for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{module}: relative import"
            assert item.module
            yield item.module
            yield from (f"{item.module}.{alias.name}" for alias in item.names)


def room_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "coordinator":
        return "coordinator"
    return ".".join(parts[:2]) if len(parts) > 1 and ".".join(parts[:2]) in LEVELS else parts[0]


TREES = {path: ast.parse(path.read_text()) for path in FILES}
IDS = [str(path.relative_to(ROOT)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_point_downwards(path):
    module = module_of(path)
    room = room_of(module)
    for name in imports_of(TREES[path], module):
        if name.split(".")[0] not in ("node", "coordinator"):
            continue
        target = room_of(name)
        if target in (room, "node"):
            continue
        if room == "coordinator":
            raise AssertionError(f"{module} imports {name}: the coordinator knows nothing of mail")
        if target == "coordinator":
            assert room in COORDINATED, name
            continue
        allowed = LEVELS[target] < LEVELS[room] or (room, target) in MAY_ALSO
        assert allowed, f"{module} imports {name}: not below it"


@pytest.mark.parametrize("path", [p for p in FILES if str(p.relative_to(ROOT)).startswith(PURE)], ids=str)
def test_pure_files_do_no_io(path):
    tree = TREES[path]
    for name in imports_of(tree, str(path)):
        assert name.split(".")[0] not in IMPURE_MODULES | FOREIGN_IO - {"argon2"}, f"{path.name} imports {name}"
    for item in ast.walk(tree):
        assert not isinstance(item, ast.AsyncFunctionDef | ast.Await), f"{path.name}:{item.lineno} is async"
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Name):
            assert item.func.id != "open", f"{path.name}:{item.lineno} opens a file"
        if isinstance(item, ast.Attribute):
            assert item.attr not in ("now", "utcnow", "today"), f"{path.name}:{item.lineno} reads a clock"


def test_one_file_per_room_imports_a_foreign_library():
    users = defaultdict(list)
    for path in FILES:
        names = {name.split(".")[0] for name in imports_of(TREES[path], str(path))}
        room = "/".join(path.relative_to(ROOT).parts[:2])
        for library in names & FOREIGN_IO - SHARED_FOREIGN.get(room, set()):
            users[(room, library)].append(path.name)
    crowded = {key: files for key, files in users.items() if len(files) > 1}
    assert not crowded


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_and_functions_keep_their_size(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX, "more than one room"
    assert ast.get_docstring(TREES[path]), "no module docstring"
    for item in ast.walk(TREES[path]):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            assert item.end_lineno - item.lineno < FUNCTION_LINES_MAX, f"{item.name} is too long"


def test_the_coordinator_speaks_no_word_of_mail():
    words = re.compile(r"\b(smtp|mail|mailbox|recipient|envelope|bounce|microsoft|exchange)s?\b", re.IGNORECASE)
    for path in ROOT.glob("coordinator/**/*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if path.name == "__init__.py" and "No word of mail" in line:
                continue
            assert not words.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_metrics_reported_are_in_the_catalogue():
    from node.telemetry.names import BY_NAME

    for path in FILES:
        for item in ast.walk(TREES[path]):
            if (
                isinstance(item, ast.Call)
                and isinstance(item.func, ast.Attribute)
                and item.func.attr in ("count", "observe", "gauge")
                and item.args
                and isinstance(item.args[0], ast.Constant)
                and str(item.args[0].value).startswith("relay")
            ):
                metric = BY_NAME.get(item.args[0].value)
                assert metric is not None, f"{path.relative_to(ROOT)}:{item.lineno}: {item.args[0].value}"
                labels = {keyword.arg for keyword in item.keywords} - {None, "amount"}
                assert labels <= set(metric.labels), f"{path.relative_to(ROOT)}:{item.lineno}: {labels}"


HEAVY = (
    "grpc",
    "opentelemetry",
    "aiohttp",
    "cryptography",
    "azure",
    "pydantic",
    "node.rehearsal",
    "node.settings.model",
)
"""What a command that only asks a node has no use for; together they take more than a second."""


@pytest.mark.parametrize("command", ["", "status", "top", "trace", "budget", "drain", "queue", "account", "completion"])
def test_commands_load_no_others_libraries(command):
    """Every command would pay for it: the simulators, the SDK, the whole configuration."""
    code = (
        "import sys, typer; from node.__main__ import app; found = typer.main.get_command(app)\n"
        f"if {command!r}: found.commands[{command!r}]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
