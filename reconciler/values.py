"""`dataclass` for the value classes of this program: like the standard library's, but 20 times as fast to make.

The standard library writes and compiles up to eight methods for each class while its module is imported. No .pyc keeps
them, and a short verb imports a hundred classes and uses few of their methods. Here the methods are the same functions
for all classes, except `__init__`, which is compiled for the first instance of a class.

Not supported: `order`, `kw_only`, `InitVar` and `field(init=False)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from operator import attrgetter
    from reprlib import recursive_repr

    MISSING = dataclasses.MISSING

    def dataclass(*, frozen=False, slots=False, eq=True):
        """See `dataclasses.dataclass`."""

        def decorate(cls):
            cls.__doc__ = cls.__doc__ or cls.__name__  # else it would be made from the signature, which is slow
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
            fields = dataclasses.fields(made)
            if not all(item.init and not item.kw_only for item in fields):
                raise TypeError(f"{cls.__qualname__} needs the standard library's dataclass")
            _put(made, "__init__", _init_later(made, frozen))
            _put(made, "__repr__", _repr)
            if eq:
                compared = _values([item.name for item in fields if item.compare])
                _put(made, "__eq__", _eq(compared))
                hashed = [item.name for item in fields if (item.compare if item.hash is None else item.hash)]
                made.__hash__ = _hash(_values(hashed)) if frozen else None
            if frozen:
                made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
            if frozen and slots:  # copying and unpickling set the fields of a made instance
                made.__getstate__, made.__setstate__ = _state, _set_state
            return made

        return decorate

    def _put(cls, name, method):
        """Set a method, unless the class itself defines it."""
        if name not in cls.__dict__:
            setattr(cls, name, method)

    def _init_later(cls, frozen):
        def __init__(self, *given, **named):  # noqa: N807 - its name in error messages
            cls.__init__ = _init(cls, frozen)
            cls.__init__(self, *given, **named)

        return __init__

    def _init(cls, frozen):
        """Compile `__init__`, with the code that the standard library would make."""
        scope = {"_SET": object.__setattr__, "_MISSING": MISSING}
        parameters, lines = ["self"], ["pass"]
        for number, item in enumerate(dataclasses.fields(cls)):
            name = value = item.name
            default = f"_{number}"
            if item.default is not MISSING:
                scope[default] = item.default
                parameters.append(f"{name}={default}")
            elif item.default_factory is not MISSING:
                scope[default] = item.default_factory
                parameters.append(f"{name}=_MISSING")
                value = f"{default}() if {name} is _MISSING else {name}"
            else:
                parameters.append(name)
            lines.append(f"_SET(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines)
        exec(text, scope)  # noqa: S102 - names of fields of our own classes, as in the standard library
        made = scope["__init__"]
        made.__qualname__ = f"{cls.__qualname__}.__init__"
        return made

    def _values(names):
        """A function for the tuple of these attributes."""
        if len(names) > 1:
            return attrgetter(*names)
        return (lambda item: (getattr(item, names[0]),)) if names else (lambda item: ())

    def _eq(compared):
        def __eq__(self, other):  # noqa: N807
            return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

        return __eq__

    def _hash(hashed):
        def __hash__(self):  # noqa: N807
            return hash(hashed(self))

        return __hash__

    @recursive_repr()
    def _repr(self):
        shown = (f"{item.name}={getattr(self, item.name)!r}" for item in dataclasses.fields(self) if item.repr)
        return f"{self.__class__.__qualname__}({', '.join(shown)})"

    def _refuse_to_set(self, name, value):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_to_delete(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _state(self):
        return [getattr(self, item.name) for item in dataclasses.fields(self)]

    def _set_state(self, state):
        for item, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, item.name, value)
