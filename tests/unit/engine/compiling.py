"""`python -m tests.unit.engine.compiling 80 90`: compiles the Triton kernels for GPUs that are not there.

Prints a line of JSON for each kernel: its name, the capability, its size, and its bytes of stack.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from worker.engine.backends.gpu import attention, pick
from worker.engine.backends.gpu.slots import Setting

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
CACHE = {
    "qkv": "*bf16", "keys": "*bf16", "values": "*bf16", "tables": "*i32", "slots": "*i64", "positions": "*i64",
    "out": "*bf16", "scale": "fp32", "table_length": "i32", "width": "i32", "heads": "i32",
}  # fmt: skip
DRAW = {
    "logits": "*fp32", "scores": "*fp32", "slots": "*i32", "lengths": "*i32", "uniforms": "*fp64",
    "settings": "*fp64", "history": "*i64", "tokens": "*i32", "logprobs": "*fp32", "totals": "*fp32",
    "logits_stride": "i32", "scores_stride": "i32", "history_stride": "i32", "vocabulary": "i32", "edited": "i32",
}  # fmt: skip
# As the launchers call them, for heads of 64 and heads that are no power of two.
KERNELS: tuple[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]], ...] = (
    (attention._write, CACHE, {"HEAD": 64, "BLOCK": 16, "TILE": 1024}, {"num_warps": 4}),
    *(
        (
            attention._attend,
            CACHE,
            {"HEAD": head, "PADDED": triton.next_power_of_2(head), "BLOCK": 16, "TILE": attention.TILE},
            {"num_warps": attention.WARPS},
        )
        for head in (64, 80)
    ),
    (
        pick._pick,
        DRAW,
        {
            "COLDEST": 1e-3,
            "DEEPEST": pick._DEEPEST,
            "FIELDS": len(Setting),
            "TEMPERATURE": int(Setting.TEMPERATURE),
            "TOP_K": int(Setting.TOP_K),
            "TOP_P": int(Setting.TOP_P),
            "MIN_P": int(Setting.MIN_P),
            "TILE": pick.TILE,
        },
        {"num_warps": pick.WARPS, "maxnreg": pick._REGISTERS},
    ),
)


def compiled(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], options: dict[str, int], capability: int
) -> bytes:
    """Return the machine code for GPUs of `capability`; pointers and strides are multiples of 16, as in use."""
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    aligned = {
        (names.index(name),): [["tt.divisibility", 16]]
        for name, kind in signature.items()
        if kind.startswith("*") or name.endswith("stride")
    }
    source = ASTSource(
        kernel, signature, {(names.index(name),): value for name, value in constants.items()}, aligned
    )
    code: bytes = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["cubin"]
    return code


def stack(code: bytes) -> int:
    """Return how many bytes of stack a kernel needs."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        command = [CUOBJDUMP, "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(int(word.removeprefix("STACK:")) for word in usage.split() if word.startswith("STACK:"))


if __name__ == "__main__":
    for capability in map(int, sys.argv[1:]):
        for kernel in KERNELS:
            code = compiled(*kernel, capability=capability)
            print(json.dumps([kernel[0].__name__, capability, len(code), stack(code)]))  # noqa: T201 - its result
