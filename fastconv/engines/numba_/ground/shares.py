"""One parallel loop for all steps that are compiled as a share of the work (`launch.Shared`).

`start` packs a step's arguments and hands them, with a function that unpacks them again, to `every_share`: by their
addresses, so that the loop knows nothing of the step, and the step is compiled without it.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, prange, types
from numba.core import cgutils

from .emit import BYTES, I64

_CALL = ir.FunctionType(ir.VoidType(), [BYTES, I64])


@extending.intrinsic
def _run_all(typingctx, step, loop, shares, args):
    """Run every share of the compiled function at address `step`, in the `every_share` at address `loop`."""
    arguments = [*args, types.intp, types.intp]

    def codegen(context, b, sig, values):
        convention = context.call_conv
        step, loop, shares, args = values
        packed = cgutils.alloca_once_value(b, cgutils.pack_struct(b, [step, shares, args]))

        one = ir.Function(b.module, _CALL, b.module.get_unique_name(f"{b.function.name}.share"))
        one.linkage = "internal"
        inner = ir.IRBuilder(one.append_basic_block())
        data = inner.load(inner.bitcast(one.args[0], packed.type))
        kind = convention.get_function_type(types.none, arguments)
        step, shares_, args = (inner.extract_value(data, k) for k in range(3))
        unpacked = [inner.extract_value(args, k) for k in range(len(arguments) - 2)]
        step = inner.inttoptr(step, kind.as_pointer())
        convention.call_function(inner, step, types.none, arguments, [*unpacked, one.args[1], shares_])
        inner.ret_void()

        kind = convention.get_function_type(types.none, [types.intp] * 3)
        loop = b.inttoptr(loop, kind.as_pointer())
        addresses = [b.ptrtoint(one, I64), b.ptrtoint(packed, I64)]
        convention.call_function(b, loop, types.none, [types.intp] * 3, [*addresses, shares])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, args), codegen


@extending.intrinsic
def _set_threads(typingctx, n):
    """Let this thread's parallel loops have n threads -> how many they had."""

    def codegen(context, b, sig, args):
        integer = ir.IntType(32)
        get = cgutils.get_or_insert_function(b.module, ir.FunctionType(integer, []), "get_num_threads")
        put = cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), [integer]), "set_num_threads")
        before = b.sext(b.call(get, []), I64)
        b.call(put, [b.trunc(args[0], integer)])
        return before

    return types.intp(types.intp), codegen


@extending.intrinsic
def _call(typingctx, function, data, share):
    """Call the function at an address with a pointer and a number."""

    def codegen(context, b, sig, args):
        function, data, share = args
        b.call(b.inttoptr(function, _CALL.as_pointer()), [b.inttoptr(data, BYTES), share])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


def start(step, loop, threads, shares, args):
    """Run all shares of a compiled step (its address) with a tuple of arguments; loop: address of `every_share`.

    At most `threads` threads do so; the setting of the calling thread is restored.
    """
    before = _set_threads(threads)
    _run_all(step, loop, shares, args)
    _set_threads(before)


def every_share(function, data, shares):
    """The loop."""
    for share in prange(shares):
        _call(function, data, share)
