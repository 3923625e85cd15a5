"""The call from compiled code to `answers.caller`, with the GIL, from whatever thread.

Written with Numba's own pieces for boxing and calling, as its `print` is: unlike ``objmode`` blocks they may also stand
in parallel loops. Numba's boxing of arrays looks for dtypes in the environment of the function that is compiled, which
a parallel loop that was kept on disk lacks (numba 0.68); here the tuple that `answers.caller` returns holds them.
"""

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from . import answers

_OBJECT = cgutils.voidptr_t


def caller(call, result):
    """An intrinsic: (values of arguments) -> (code, text, result), see `answers.caller`; result: its type."""
    answer = types.Tuple((types.intp, types.unicode_type, result))

    @extending.intrinsic
    def ask(typingctx, values):
        def codegen(context, b, sig, args):
            python = context.get_python_api(b)
            gil = python.gil_ensure()
            place = cgutils.alloca_once_value(b, context.get_constant_null(answer))
            bad = cgutils.alloca_once_value(b, cgutils.true_bit)
            known = _known(python, b, call)
            with cgutils.if_likely(b, cgutils.is_not_null(b, known)):
                boxed = [
                    _boxed(python, b, kind, b.extract_value(args[0], k), python.tuple_getitem(known, k + 1))
                    for k, kind in enumerate(sig.args[0])
                ]
                found = python.call_function_objargs(python.tuple_getitem(known, 0), boxed)
                for value in boxed:
                    python.decref(value)
                with cgutils.if_likely(b, cgutils.is_not_null(b, found)):
                    parts = [python.tuple_getitem(found, k) for k in range(3)]
                    code, text = python.long_as_longlong(parts[0]), python.to_native_value(types.unicode_type, parts[1])
                    b.store(b.insert_value(b.insert_value(b.load(place), code, 0), text.value, 1), place)
                    b.store(text.is_error, bad)
                    with cgutils.if_likely(b, cgutils.is_null(b, code)):
                        native = python.to_native_value(result, parts[2])
                        b.store(b.insert_value(b.load(place), native.value, 2), place)
                        b.store(b.or_(b.load(bad), native.is_error), bad)
                    python.decref(found)
            python.gil_release(gil)
            with cgutils.if_unlikely(b, b.load(bad)):
                context.call_conv.return_exc(b)  # Python's error is set: of the import, or out of memory
            return b.load(place)

        return answer(values), codegen

    return ask


def _known(python, b, call):
    """What `answers.caller` returned, which is asked once a process and place of call; NULL after an error."""
    kept = cgutils.add_global_variable(b.module, _OBJECT, b.module.get_unique_name("fastconv.known"))
    kept.linkage, kept.initializer = "internal", ir.Constant(_OBJECT, None)
    with cgutils.if_unlikely(b, cgutils.is_null(b, b.load(kept))):
        name, text = (python.context.insert_const_string(b.module, s) for s in (answers.__name__, call))
        module = python.import_module(name)
        with cgutils.if_likely(b, cgutils.is_not_null(b, module)):
            asked = python.object_getattr_string(module, "caller")
            with cgutils.if_likely(b, cgutils.is_not_null(b, asked)):
                b.store(python.call_function_objargs(asked, [python.string_from_string(text)]), kept)
    return b.load(kept)


def _boxed(python, b, given, value, dtype):
    """A value as a new Python object; ``dtype``, if it is an array."""
    context, kind = python.context, types.unliteral(given)
    if isinstance(kind, types.Array):
        return python.nrt_adapt_ndarray_to_python(kind, value, dtype)
    if isinstance(kind, types.Optional) and isinstance(kind.type, types.Array):
        optional = context.make_helper(b, kind, value)
        place = cgutils.alloca_once_value(b, python.borrow_none())
        with b.if_else(cgutils.as_bool_bit(b, optional.valid)) as (some, none):
            with some:
                b.store(python.nrt_adapt_ndarray_to_python(kind.type, optional.data, dtype), place)
            with none:
                python.incref(b.load(place))
        return b.load(place)
    value = context.cast(b, value, given, kind)
    context.nrt.incref(b, kind, value)  # boxing takes it
    return python.from_native_value(kind, value)
