"""Which modules are the blocks of a model: those that timm declares, else those that a reader of the code would name.

timm states with every model how its parameters are grouped into layers, for learning rates that decay with depth
(``group_matcher``). A group is one block: a residual block, a transformer block, or a convolution with its norm.
torchvision's models and a user's own modules declare nothing; their blocks are the children of the model.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from timm.models._manipulate import MATCH_PREV_GROUP, group_parameters
from torch import nn

from worker.depth.hooks import Call

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_OWN_GROUP = (MATCH_PREV_GROUP[0] - 1,)


def find_units(module: nn.Module, calls: Sequence[Call], excluded: Sequence[str] = ()) -> list[list[str]]:
    """Return the blocks in the order in which they run, each as the dotted paths of its modules, the last to run first.

    ``calls`` are those of one forward pass. Modules that do not run exactly once are left out, and so are norms that
    stand alone and the modules at the paths in ``excluded``. Blocks whose output is no map are in the list.
    """
    order = [call.path for call in calls]
    ran_once = {path for path in order if path and order.count(path) == 1 and not within(path, excluded)}
    matcher = module.group_matcher(coarse=False) if hasattr(module, "group_matcher") else None  # type: ignore[operator]
    # Only a table of patterns declares groups; timm's few functions group by children.
    groups = _declared(module, matcher) if isinstance(matcher, dict) else [[path] for path in _children(module)]
    units: dict[str, list[str]] = {}
    for group in groups:
        members = [path for path in reversed(order) if path in group and path in ran_once]
        if members and not all(_is_norm(module.get_submodule(path)) for path in members):
            # A layer of its own, such as a convolution, ends with the norms and non-linearities that follow it.
            ends = [_end(module, order, path) for path in members]
            units[ends[0]] = ends
    return sorted(units.values(), key=lambda ends: order.index(ends[0]))


def _declared(module: nn.Module, matcher: dict[str, Any]) -> list[list[str]]:
    """Return timm's groups, each as the largest modules that hold no parameter of another group."""
    # timm adds some layers, such as a convolution after the last block, to the group before; here each is a group.
    own = {
        name: [(pattern, _OWN_GROUP if suffix == MATCH_PREV_GROUP else suffix) for pattern, suffix in spec]
        if isinstance(spec, tuple | list)
        else spec
        for name, spec in matcher.items()
    }
    groups = group_parameters(module, own)
    owners = {group: {name.rpartition(".")[0] for name in names} - {""} for group, names in groups.items()}
    groups_in: dict[str, set[int]] = {}
    for group, paths in owners.items():
        for path in paths:
            for part in (path, *enclosing(path)):
                groups_in.setdefault(part, set()).add(group)

    def largest(path: str) -> str:
        alone = [part for part in enclosing(path) if len(groups_in[part]) == 1]
        return alone[-1] if alone else path

    declared = []
    for _, paths in sorted(owners.items()):
        opened = [_opened(module, path) for path in {largest(path): None for path in sorted(paths)}]
        declared += [[block] for blocks in opened if len(blocks) > 1 for block in blocks]
        declared += [[blocks[0] for blocks in opened if len(blocks) == 1]]
    return declared


def _opened(module: nn.Module, path: str) -> list[str]:
    """Return the blocks of a stage, which timm keeps in ``blocks``; the content of a container of one module; or else
    the module itself."""
    part = module.get_submodule(path)
    blocks = getattr(part, "blocks", None)
    if isinstance(blocks, CONTAINERS) and len(blocks):
        return [
            f"{path}.blocks.{name}" for name, block in blocks.named_children() if any(True for _ in block.parameters())
        ]
    inner = [name for name, child in part.named_children() if not isinstance(child, nn.Identity)]
    if isinstance(part, CONTAINERS) and len(inner) == 1:
        return _opened(module, f"{path}.{inner[0]}")
    return [path]


def _children(module: nn.Module, prefix: str = "") -> list[str]:
    """Return the children of ``module`` that have parameters; containers and stages are replaced by their children."""
    paths = []
    for name, child in module.named_children():
        if _is_stage(child) or (isinstance(child, CONTAINERS) and not _is_unit(child)):
            paths += _children(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()):
            paths.append(prefix + name)
    return paths


def _is_stage(part: nn.Module) -> bool:
    """Tell whether a module is a stage: it keeps a row of blocks of one class under one of the usual names."""
    rows = [getattr(part, name, None) for name in ("blocks", "layers", "stages")]
    classes = [{type(block) for block in row.children()} for row in rows if isinstance(row, CONTAINERS)]
    return any(len(alike) == 1 and not alike.pop().__module__.startswith("torch.nn.") for alike in classes)


def _is_unit(container: nn.Module) -> bool:
    """Tell whether a container is one block, such as torchvision's convolution with norm and non-linearity: it has a
    class of its own and holds nothing but torch's own layers."""
    return type(container) not in CONTAINERS and all(_is_layer(child) for child in container.children())


def _end(module: nn.Module, order: Sequence[str], path: str) -> str:
    """Return the last of the norms and non-linearities that directly follow the layer at ``path``, else ``path``."""
    if list(module.get_submodule(path).children()):
        return path
    leaves = [other for other in order if other and not list(module.get_submodule(other).children())]
    for follower in leaves[leaves.index(path) + 1 :]:
        part = module.get_submodule(follower)
        is_sibling = follower.rpartition(".")[0] == path.rpartition(".")[0]
        if leaves.count(follower) > 1 or not is_sibling or not (_is_norm(part) or _is_activation(part)):
            break
        path = follower
    return path


def enclosing(path: str) -> list[str]:
    """Return the paths of the modules around the one at ``path``, the nearest first.

    >>> enclosing("layers.0.blocks.1")
    ['layers.0.blocks', 'layers.0', 'layers']
    """
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names) - 1, 0, -1)]


def within(path: str, parts: Sequence[str]) -> bool:
    """Tell whether the module at ``path`` is one of ``parts``, or inside one.

    >>> within("head.fc", ["head"]), within("header", ["head"])
    (True, False)
    """
    return any(path == part or path.startswith(f"{part}.") for part in parts)


def _is_layer(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.")


def _is_norm(part: nn.Module) -> bool:
    return "norm" in type(part).__name__.lower() and not _has_weights_of_its_own(part.children())


def _has_weights_of_its_own(children: Iterable[nn.Module]) -> bool:
    return any(parameter.ndim > 1 for child in children for parameter in child.parameters())


def _is_activation(part: nn.Module) -> bool:
    return type(part).__module__.startswith(("torch.nn.modules.activation", "timm.layers.activations"))
