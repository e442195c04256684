"""What does not fit costs its own part of a status, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, STATE_UNHEALTHY, Backend, Status
from nexus.types.v1.memory_pb2 import Device, Reservation
from nexus.types.v1.model_pb2 import CAPABILITY_TOOLS, Model
from nexus_mesh.rows import limits
from nexus_mesh.rows.parts import fitted
from support.properties import examples, given

HUGE = "x" * (1 << 20)
INNOCENT = Backend(
    name="innocent",
    kind="ollama",
    state=STATE_ACTIVE,
    state_reason="l\u00e4uft",
    models=[Model(id="llama3.1:70b", owner="meta")],
    tier="standard",
    priority=7,
)


def backend(name: str = "box", **fields: object) -> Backend:
    return Backend(name=name, kind="ollama", state=STATE_ACTIVE, **fields)  # pyright: ignore[reportArgumentType]


def offering(*models: Model) -> Callable[[Status], None]:
    return lambda status: status.backends.extend([backend(models=models)])


def having(*backends: Backend) -> Callable[[Status], None]:
    return lambda status: status.backends.extend(backends)


def managing(*devices: Device) -> Callable[[Status], None]:
    return lambda status: status.devices.extend(devices)


def listening(**endpoints: str) -> Callable[[Status], None]:
    return lambda status: status.endpoints.update(endpoints)


MODELS = {
    "no id": Model(),
    "a control character": Model(id="a\x00"),
    "a line break": Model(id="a\nb"),
    "a long id": Model(id="x" * 257),
    "a huge id": Model(id=HUGE),
    "a long owner": Model(id="m", owner="x" * 129),
    "a long licence": Model(id="m", license="x" * 129),
    "a line break in its source": Model(id="m", source="a\nb"),
    "more capabilities than there are": Model(
        id="m", capabilities=[CAPABILITY_TOOLS] * (limits.MODEL_BYTES + 1)
    ),
}
PARTS: dict[str, Callable[[Status], None]] = {
    **{f"a model with {name}": offering(model) for name, model in MODELS.items()},
    "a backend without a name": having(backend("")),
    "a backend with the separator": having(backend("a#b")),
    "a backend with a huge name": having(backend(HUGE)),
    "twins": having(backend("a"), backend("a")),
    "a backend of the innocent one's name": having(backend("innocent", models=[Model(id="evil")])),
    "a line break in a reason": having(backend(state_reason="a\nb")),
    "a huge reason": having(backend(state_reason=HUGE)),
    "a long tier": having(backend(tier="x" * 65)),
    "an escape in a kind": having(Backend(name="box", kind="\x1b[2J", state=STATE_ACTIVE)),
    "a priority out of bounds": having(backend(priority=1 << 31)),
    "more backends than there may be": having(
        *(backend(f"b{number}") for number in range(limits.BACKENDS + 1))
    ),
    "more models than there may be": offering(
        *(Model(id=str(number)) for number in range(limits.MODELS + 1))
    ),
    "models that fill the whole": offering(*(Model(id=f"{number:0>256}") for number in range(limits.MODELS))),
    "abilities that fill the whole": having(backend(abilities=[1] * limits.STATUS_BYTES)),
    "many backends that fill the whole": having(
        *(backend(f"b{number}", models=[Model(id="m" * 250)] * 9) for number in range(400))
    ),
    "texts alone that fill the whole": having(
        *(
            backend(f"{number:\u00e4>128}", tier="\u00e4" * 64, state_reason="\u00e4" * 1024)
            for number in range(450)
        )
    ),
    "devices": managing(*(Device(name=f"gpu{number}") for number in range(limits.DEVICES + 1))),
    "a device without a name": managing(Device()),
    "a device with too much in it": managing(Device(name="gpu0", reservations=[Reservation()] * 501)),
    "a device with a bad model": managing(
        Device(name="gpu0", reservations=[Reservation(model="a\n"), Reservation(model="m")])
    ),
    "devices that fill the whole": managing(
        *(
            Device(name=f"gpu{number}", reservations=[Reservation(model="m" * 256)] * 500)
            for number in range(3)
        )
    ),
    "an endpoint without port": listening(x="127.0.0.1"),
    "an endpoint with a path": listening(x="127.0.0.1:80/x"),
    "an endpoint with a port out of bounds": listening(x="127.0.0.1:65536"),
    "endpoints": listening(**{f"z{number}": "h:1" for number in range(33)}),
}


def innocent() -> Status:
    return Status(state=STATE_ACTIVE, backends=[INNOCENT], endpoints={"http": "[::1]:8080"})


@pytest.mark.security
@pytest.mark.parametrize("name", PARTS)
def test_what_does_not_fit_costs_its_own_part(name: str) -> None:
    """A3: the others of that machine stay as they are, and it is told what is left out."""
    status = innocent()
    PARTS[name](status)
    fit = fitted(status)
    assert INNOCENT in list(fit.backends)
    assert fit.endpoints["http"] == "[::1]:8080"
    assert fit.ByteSize() <= limits.STATUS_BYTES
    assert fit.left_out or any(one.state_reason for one in fit.backends if one != INNOCENT)
    told = [*fit.left_out, *(one.state_reason for one in fit.backends)]
    assert all(text.isprintable() and len(text) <= limits.REASON for text in told)
    assert fitted(fit) == fit


def test_a_row_is_left_out_and_its_neighbours_stay() -> None:
    """A3: of one backend."""
    status = innocent()
    offering(Model(id="good"), Model(id="b\x07d"), Model(id="fine"), Model(id="x" * 300))(status)
    (_, box) = fitted(status).backends
    assert [model.id for model in box.models] == ["good", "fine"]
    assert (box.state, box.state_reason[:33]) == (STATE_ACTIVE, "2 of its 4 models are left out: a")


def test_the_largest_goes_first() -> None:
    """A3: whoever fills the entry leaves it, with a word about it in its place."""
    status = innocent()
    offering(*(Model(id=f"{number:0>256}") for number in range(limits.MODELS)))(status)
    (_, box) = fitted(status).backends
    assert (box.name, box.state, list(box.models)) == ("box", STATE_UNHEALTHY, [])
    assert "2000 models" in box.state_reason


def test_as_many_as_there_may_be_are_not_touched() -> None:
    """E25: no limit of the registry is below what others may send."""
    full = Status(
        state=STATE_ACTIVE,
        backends=[backend(f"b{number}", models=[Model(id="m")]) for number in range(limits.BACKENDS)],
        devices=[Device(name="gpu0", reservations=[Reservation(backend="box", model="m")])],
        endpoints={"http": "127.0.0.1:8080", "grpc": "[::1]:7400"},
    )
    assert fitted(full) == full
    long = Status(
        state=STATE_ACTIVE, backends=[backend(models=[Model(id=f"m{n}") for n in range(limits.MODELS)])]
    )
    assert fitted(long) == long


TEXTS = st.text(max_size=300) | st.sampled_from(("", "m", "a#b", "x" * 2000, "a\x1b"))
STATUSES = st.builds(
    Status,
    backends=st.lists(
        st.builds(
            Backend,
            name=TEXTS,
            kind=TEXTS,
            tier=TEXTS,
            state_reason=TEXTS,
            priority=st.integers(0, 2**32 - 1),
            models=st.lists(st.builds(Model, id=TEXTS, owner=TEXTS), max_size=4),
        ),
        max_size=4,
    ),
    devices=st.lists(st.builds(Device, name=TEXTS, backends=st.lists(TEXTS, max_size=3)), max_size=3),
    endpoints=st.dictionaries(TEXTS, TEXTS, max_size=3),
    left_out=st.lists(TEXTS, max_size=40),
)


@given(STATUSES)
@examples(150)
def test_whatever_is_said_fits_and_fits_again(status: Status) -> None:
    """A3: never an exception, never a change of what fits."""
    fit = fitted(status)
    assert fitted(fit) == fit
    assert fit.ByteSize() <= limits.STATUS_BYTES
    assert len({one.name for one in fit.backends}) == len(fit.backends)
