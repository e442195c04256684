"""Short ways to write routing targets and models in tests."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_routing import Load, Model, Operation, State, Target

__all__ = ["model", "target"]


def model(
    name: str = "m",
    operations: Iterable[int] = (Operation.CHAT,),
    capabilities: Iterable[int] = (),
    *,
    loaded: bool = True,
    remote: bool = False,
    context: int = 0,
) -> Model:
    return Model(name, frozenset(operations), frozenset(capabilities), context, loaded=loaded, remote=remote)


def target(
    name: str,
    *models: Model,
    state: int = State.ACTIVE,
    reason: str = "",
    priority: int = 50,
    load: Load | None = None,
    instance: str | None = None,
    zone: str = "default",
    tier: str = "standard",
    kind: str = "fake",
    gpus: Iterable[str] = (),
) -> Target:
    """A target whose backend is `name`, alone on its instance unless one is named."""
    instance = instance or f"{name}-node/adapter/a"
    return Target(
        id=f"{instance}#{name}",
        instance=instance,
        address=f"{instance.split('/')[0]}:7450",
        server_name=instance.replace("/", "."),
        backend=name,
        kind=kind,
        models=models or (model(),),
        state=state,
        state_reason=reason,
        priority=priority,
        load=load or Load(),
        zone=zone,
        tier=tier,
        gpus=tuple(gpus),
    )
