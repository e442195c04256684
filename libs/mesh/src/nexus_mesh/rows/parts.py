"""Makes a status fit the registry part by part: what one engine or one user says costs that part, never the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from nexus.registry.v1.instance_pb2 import STATE_UNHEALTHY, Backend, Status
from nexus.types.v1.memory_pb2 import Device
from nexus.types.v1.model_pb2 import Model

from nexus_mesh.rows import limits
from nexus_mesh.rows.limits import is_text

__all__ = ["fitted", "fitting_models", "shown"]

ENDPOINT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
ENDPOINT_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")

Say = Callable[[str], None]


def fitted(status: Status) -> Status:
    """A copy without what does not fit. `state_reason` and `left_out` tell what that is; what fits is not changed."""
    fit = Status()
    fit.CopyFrom(status)
    notes = [shown(note, limits.NOTE) for note in status.left_out]
    _replace(fit.backends, _backends(status.backends, notes.append))
    _replace(fit.devices, _devices(status.devices, notes.append))
    _fit_endpoints(fit, notes.append)
    _shrink(fit, notes.append)
    del fit.left_out[:]
    fit.left_out.extend(list(dict.fromkeys(notes))[: limits.NOTES])
    return fit


def fitting_models(models: Iterable[Model]) -> tuple[list[Model], str]:
    """(those that fit, what to tell of the others; empty when there are none)."""
    listed = list(models)
    good = [model for model in listed if _is_fitting(model)]
    notes: list[str] = []
    if bad := len(listed) - len(good):
        notes.append(
            f"{bad} of its {len(listed)} models are left out: a model's name must have 1 to {limits.MODEL_ID} "
            "printable characters."
        )
    if len(good) > limits.MODELS:
        notes.append(
            f"Of its {len(good)} models only the first {limits.MODELS} are offered: choose them with models = [...]."
        )
    return good[: limits.MODELS], " ".join(notes)


def shown(text: str, longest: int) -> str:
    """A text for people that may be of anybody's making: one line, so long at most."""
    if is_text(text, longest):
        return text
    return "".join(char if char.isprintable() else " " for char in text[:longest])


def _is_fitting(model: Model) -> bool:
    return (
        is_text(model.id, limits.MODEL_ID, least=1)
        and is_text(model.owner, limits.OWNER)
        and is_text(model.license, limits.LICENSE)
        and is_text(model.source, limits.SOURCE)
        and model.ByteSize() <= limits.MODEL_BYTES
    )


def _backends(backends: Iterable[Backend], say: Say) -> Iterator[Backend]:
    names: set[str] = set()
    for backend in backends:
        if "#" in backend.name or not is_text(backend.name, limits.NAME, least=1):
            say(f"a backend: its name must have 1 to {limits.NAME} printable characters, and no #")
        elif backend.name in names:
            say(f"the second backend named {backend.name}")
        elif len(names) == limits.BACKENDS:
            say(f"backends beyond the first {limits.BACKENDS}")
        else:
            names.add(backend.name)
            yield _fit(backend)


def _fit(backend: Backend) -> Backend:
    for field, longest in (("kind", limits.KIND), ("tier", limits.TIER)):
        if not is_text(getattr(backend, field), longest):
            return _withheld(
                backend, f"Left out: its {field} must be at most {longest} printable characters."
            )
    if backend.priority > limits.PRIORITY:
        return _withheld(backend, f"Left out: its priority is above {limits.PRIORITY}.")
    models, note = fitting_models(backend.models)
    reason = shown(f"{backend.state_reason} {note}".strip() if note else backend.state_reason, limits.REASON)
    if not note and reason == backend.state_reason:
        return backend
    fit = Backend()
    fit.CopyFrom(backend)
    _replace(fit.models, models)
    fit.state_reason = reason
    return fit


def _withheld(backend: Backend, why: str) -> Backend:
    """What is shown of one that cannot be used as it is."""
    kind = backend.kind if is_text(backend.kind, limits.KIND) else ""
    return Backend(name=backend.name, kind=kind, state=STATE_UNHEALTHY, state_reason=why)


def _devices(devices: Iterable[Device], say: Say) -> Iterator[Device]:
    kept = 0
    for device in devices:
        if not is_text(device.name, limits.NAME, least=1):
            say(f"a device: its name must have 1 to {limits.NAME} printable characters")
        elif kept == limits.DEVICES:
            say(f"devices beyond the first {limits.DEVICES}")
        else:
            kept += 1
            yield _fit_device(device, say)


def _fit_device(device: Device, say: Say) -> Device:
    backends = [name for name in device.backends if is_text(name, limits.NAME)][: limits.BACKENDS]
    held = [
        one
        for one in device.reservations
        if is_text(one.backend, limits.NAME) and is_text(one.model, limits.MODEL_ID)
    ][: limits.RESERVATIONS]
    if len(backends) == len(device.backends) and len(held) == len(device.reservations):
        return device
    say(f"some backends or models in the memory of {device.name}")
    fit = Device()
    fit.CopyFrom(device)
    _replace(fit.backends, backends)
    _replace(fit.reservations, held)
    return fit


def _fit_endpoints(fit: Status, say: Say) -> None:
    names = sorted(fit.endpoints)
    good = [name for name in names if _is_endpoint(name, fit.endpoints[name])][: limits.ENDPOINTS]
    if len(good) < len(names):
        say(f"endpoints: one is a lower-case name with a host:port, and there are at most {limits.ENDPOINTS}")
    for name in set(names).difference(good):
        del fit.endpoints[name]


def _is_endpoint(name: str, address: str) -> bool:
    match = ENDPOINT_ADDRESS.fullmatch(address)
    return bool(ENDPOINT_NAME.fullmatch(name) and match and 0 < int(match[1]) < 65536)


def _shrink(fit: Status, say: Say) -> None:
    """The largest parts go first until the whole is small enough; of the last ones nothing is left to shrink."""
    room = limits.STATUS_BYTES - (limits.NOTES + 1) * 4 * limits.NOTE
    if fit.ByteSize() <= limits.STATUS_BYTES:
        return
    fit.DiscardUnknownFields()
    while fit.ByteSize() > room:
        backend = max(fit.backends, key=Backend.ByteSize, default=None)
        device = max(fit.devices, key=Device.ByteSize, default=None)
        if device is not None and (backend is None or device.ByteSize() > backend.ByteSize()):
            say(f"the memory of {shown(device.name, limits.NAME)}: there is too much in it to be told")
            fit.devices.remove(device)
        elif backend is not None and (backend.models or backend.abilities):
            kib = limits.STATUS_BYTES >> 10
            why = f"Left out: with its {len(backend.models)} models this machine's entry is above {kib} KiB."
            backend.CopyFrom(_withheld(backend, f"{why} Offer fewer with models = [...]."))
        elif backend is not None:
            say("the backends with the longest texts")
            fit.backends.remove(backend)
        else:
            fit.endpoints.clear()
            return


def _replace(field: object, parts: Iterable[object]) -> None:
    """Puts other elements into a repeated field."""
    chosen = list(parts)
    del field[:]  # type: ignore[attr-defined]
    field.extend(chosen)  # type: ignore[attr-defined]
