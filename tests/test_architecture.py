"""The dependency rules of docs/architecture.md, checked."""

import ast
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]

# What the modules of each package may import from this project and from outside of it. A name
# stands for the package or module and everything below it; the standard library is always allowed.
BASE = {"popmac.errors", "popmac.arch", "popmac.isa", "popmac.graph", "popmac.layout",
        "popmac.thresholds"}
RULES = {
    "sw/popmac/errors.py":    set(),
    "sw/popmac/arch.py":      {"popmac.errors"},
    "sw/popmac/isa.py":       set(),
    "sw/popmac/protocol.py":  {"popmac.isa"},
    "sw/popmac/layout.py":    {"numpy"},
    "sw/popmac/thresholds.py": {"numpy", "popmac.isa", "popmac.arch", "popmac.errors"},
    "sw/popmac/graph.py":     {"numpy", "popmac.errors"},
    "sw/popmac/golden":       {"numpy", "popmac.golden", *BASE},
    "sw/popmac/program.py":   {"numpy", "popmac.report", "popmac.program_file", *BASE},
    "sw/popmac/program_check.py": {"numpy", "popmac.program", *BASE},
    "sw/popmac/program_file.py":  {"numpy", "popmac.program", "popmac.program_check", *BASE},
    "sw/popmac/compiler":     {"numpy", "tflite", "flatbuffers", "onnx", "onnxruntime", "qonnx",
                               "popmac.golden", "popmac.program", "popmac.models",
                               "popmac.compiler", *BASE},
    "sw/popmac/quantize":     {"numpy", "onnx", "onnxruntime", "torch", "popmac.quantize",
                               "popmac.progress", "popmac.compiler.compile_model",
                               "popmac.compiler.frontends.onnx_runtime",
                               "popmac.compiler.frontends.onnx_file.load_onnx", *BASE},
    "sw/popmac/driver":       {"numpy", "serial", "popmac.protocol", "popmac.golden",
                               "popmac.program", "popmac.progress", "popmac.driver",
                               "popmac.compiler.compile_model", *BASE},
    "hw/popmac_gateware":     {"amaranth", "amaranth_boards", "popmac_gateware", "popmac.arch",
                               "popmac.isa", "popmac.protocol", "popmac.errors"},
    "sim/popmac_sim":         {"amaranth", "cocotb", "cocotb_tools", "numpy", "rich", "popmac",
                               "popmac_gateware", "popmac_sim"},
}


def imports(path):
    """Names that a file imports, relative ones made absolute."""
    package = path.relative_to(ROOT).with_suffix("").parts[1:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            base = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("where, allowed", RULES.items())
def test_imports(where, allowed):
    for path in [ROOT / where] if where.endswith(".py") else sorted((ROOT / where).rglob("*.py")):
        for name in imports(path):
            if name.split(".")[0] not in sys.stdlib_module_names:
                assert any(name == a or name.startswith(a + ".") for a in allowed), \
                    f"{path.relative_to(ROOT)} must not import {name}"


def test_gateware_does_not_defer_annotations():
    # A data.Struct whose annotations are strings silently has no fields.
    for path in sorted((ROOT / "hw").rglob("*.py")):
        assert "from __future__ import annotations" not in path.read_text(), path


def test_importing_gateware_needs_no_numpy():
    import subprocess
    code = "import sys, popmac_gateware.core; sys.exit('numpy' in sys.modules)"
    paths = ":".join(str(ROOT / folder) for folder in ("hw", "sw"))
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": paths}).returncode == 0
