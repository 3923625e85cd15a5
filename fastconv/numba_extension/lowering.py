"""The call from compiled code to `answers.caller`, with the GIL, from whatever thread.

Written with Numba's own pieces for boxing and calling, as its `print` is, which unlike ``objmode`` blocks may also stand
in parallel loops.
"""

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from . import answers

_MODULE = answers.__name__
_OBJECT = cgutils.voidptr_t


def caller(call, result):
    """An intrinsic: (values of arguments) -> (code, text, result), see `answers.caller`; result: its type."""
    answer = types.Tuple((types.intp, types.unicode_type, result))

    @extending.intrinsic
    def ask(typingctx, values):
        def codegen(context, b, sig, args):
            python = context.get_python_api(b)
            kinds = [types.unliteral(t) for t in sig.args[0]]
            gil = python.gil_ensure()
            env = context.get_env_manager(b)
            boxed = []
            for k, (kind, given) in enumerate(zip(kinds, sig.args[0], strict=True)):
                value = context.cast(b, b.extract_value(args[0], k), given, kind)
                context.nrt.incref(b, kind, value)  # boxing takes it
                boxed.append(python.from_native_value(kind, value, env))
            found = python.call_function_objargs(_function(python, b, call), boxed)
            for value in boxed:
                python.decref(value)
            place = cgutils.alloca_once_value(b, context.get_constant_null(answer))
            bad = cgutils.alloca_once_value(b, cgutils.is_null(b, found))
            with cgutils.if_likely(b, cgutils.is_not_null(b, found)):
                code = python.long_as_longlong(python.tuple_getitem(found, 0))
                text = python.to_native_value(types.unicode_type, python.tuple_getitem(found, 1))
                b.store(b.insert_value(b.insert_value(b.load(place), code, 0), text.value, 1), place)
                b.store(text.is_error, bad)
                with cgutils.if_likely(b, cgutils.is_null(b, code)):
                    array = python.to_native_value(result, python.tuple_getitem(found, 2))
                    b.store(b.insert_value(b.load(place), array.value, 2), place)
                    b.store(b.or_(b.load(bad), array.is_error), bad)
                python.decref(found)
            python.gil_release(gil)
            with cgutils.if_unlikely(b, b.load(bad)):
                context.call_conv.return_exc(b)  # Python's error is set: of the import, or out of memory
            return b.load(place)

        return answer(values), codegen

    return ask


def _function(python, b, call):
    """The function that `answers.caller` returned, which is asked once a process and place of call."""
    kept = cgutils.add_global_variable(b.module, _OBJECT, b.module.get_unique_name("fastconv.caller"))
    kept.linkage, kept.initializer = "internal", ir.Constant(_OBJECT, None)
    with cgutils.if_unlikely(b, cgutils.is_null(b, b.load(kept))):
        module = python.import_module(python.context.insert_const_string(b.module, _MODULE))
        with cgutils.if_likely(b, cgutils.is_not_null(b, module)):
            make = python.object_getattr_string(module, "caller")
            text = python.string_from_string(python.context.insert_const_string(b.module, call))
            with cgutils.if_likely(b, b.and_(cgutils.is_not_null(b, make), cgutils.is_not_null(b, text))):
                b.store(python.call_function_objargs(make, [text]), kept)
    return b.load(kept)
