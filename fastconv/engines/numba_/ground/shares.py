"""How the shares of a step run on threads (`launch.Shared`).

`on_pool` and `on_loop` pack a step's arguments and hand them, with a function that unpacks them again, to the threads
of the compiled kernels, or where those are missing to `every_share`, one parallel loop of Numba's for all steps: by
their addresses, so that neither knows anything of the step, and the step is compiled without them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, prange, types
from numba.core import cgutils

from .emit import BYTES, I64

_CALL = ir.FunctionType(ir.VoidType(), [BYTES, I64, I64])
_LAUNCH = ir.FunctionType(ir.VoidType(), [_CALL.as_pointer(), BYTES, I64])


def _one_share(context, b, step, args, arguments):
    """A function that runs a share of the compiled function at address `step`, and what it takes beside its numbers."""
    convention = context.call_conv
    packed = cgutils.alloca_once_value(b, cgutils.pack_struct(b, [step, args]))
    one = ir.Function(b.module, _CALL, b.module.get_unique_name(f"{b.function.name}.share"))
    one.linkage = "internal"
    inner = ir.IRBuilder(one.append_basic_block())
    data = inner.load(inner.bitcast(one.args[0], packed.type))
    step, args = (inner.extract_value(data, k) for k in range(2))
    unpacked = [inner.extract_value(args, k) for k in range(len(arguments) - 2)]
    step = inner.inttoptr(step, convention.get_function_type(types.none, arguments).as_pointer())
    convention.call_function(inner, step, types.none, arguments, [*unpacked, *one.args[1:]])
    inner.ret_void()
    return one, b.bitcast(packed, BYTES)


@extending.intrinsic
def _run_pool(typingctx, step, launch, shares, args):
    """Run every share of the compiled function at address `step` by `fc_launch` at address `launch`."""
    arguments = [*args, types.intp, types.intp]

    def codegen(context, b, sig, values):
        step, launch, shares, args = values
        one, data = _one_share(context, b, step, args, arguments)
        b.call(b.inttoptr(launch, _LAUNCH.as_pointer()), [one, data, shares])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, args), codegen


@extending.intrinsic
def _run_loop(typingctx, step, loop, shares, args):
    """The same in the `every_share` at address `loop`."""
    arguments = [*args, types.intp, types.intp]

    def codegen(context, b, sig, values):
        step, loop, shares, args = values
        one, data = _one_share(context, b, step, args, arguments)
        convention = context.call_conv
        kind = convention.get_function_type(types.none, [types.intp] * 3)
        loop = b.inttoptr(loop, kind.as_pointer())
        addresses = [b.ptrtoint(one, I64), b.ptrtoint(data, I64)]
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
def _call(typingctx, function, data, share, shares):
    """Call the function at an address with a pointer and two numbers."""

    def codegen(context, b, sig, args):
        function, data, *numbers = args
        b.call(b.inttoptr(function, _CALL.as_pointer()), [b.inttoptr(data, BYTES), *numbers])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen


def on_pool(step, launch, shares, args):
    """Run all shares of a compiled step (its address) with a tuple of arguments; launch: address of `fc_launch`."""
    _run_pool(step, launch, shares, args)


def on_loop(step, loop, threads, shares, args):
    """The same; loop: address of `every_share`.

    At most `threads` threads do so; the setting of the calling thread is restored.
    """
    before = _set_threads(threads)
    _run_loop(step, loop, shares, args)
    _set_threads(before)


def every_share(function, data, shares):
    """The loop."""
    for share in prange(shares):
        _call(function, data, share, shares)
