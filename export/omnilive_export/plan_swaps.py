"""The folders that a recipe puts in the place of parts of a checkpoint: found, opened, listed.

It never interprets a model; ``models.swapped`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from omnilive.errors import ConfigError
from omnilive_export.plan_parts import source_files
from omnilive_export.reading.checkpoint import AUDIO, BASE, CONFIG_NAME, MEMORY, CheckpointFolders
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.recipe import AUDIO_ENCODER, MEMORY_VIT, REASONER_VIT


def opened_swaps(
    models: Mapping[str, str], folders: CheckpointFolders, stack: ExitStack
) -> dict[str, TensorStore]:
    """The tensors of each folder, by the part it takes the place of.

    Args:
        models: part → folder.
        folders: the checkpoint.
        stack: closes the files.

    Raises:
        ConfigError: a folder is not there, or the model that its part belongs to.
        CheckpointError: a folder has no weights, or damaged ones.
    """
    owners = {
        MEMORY_VIT: (MEMORY, folders.memory),
        AUDIO_ENCODER: (AUDIO, folders.audio),
        REASONER_VIT: (BASE, folders.reasoner),
    }
    stores = {}
    for part, path in models.items():
        where = f"recipe: models.{part}"
        name, owner = owners[part]
        if owner is None:
            raise ConfigError(
                f"takes the place of a part of {name}/, which {folders.root} does not have",
                where=where,
                mend=f"Leave it out, or point --checkpoint at a folder with {name}/.",
            )
        if not (Path(path) / CONFIG_NAME).is_file():
            raise ConfigError(
                f"{path} is not a folder with a {CONFIG_NAME}",
                where=where,
                mend="Give the folder of a Hugging Face model; a relative one begins at the"
                " recipe's own folder.",
            )
        stores[part] = TensorStore(Path(path))
        stack.callback(stores[part].close)
    return stores


def swapped_files(stores: Mapping[str, TensorStore]) -> dict[str, Path]:
    """Every file that decides what the swapped parts are, by its name in the manifest.

    ``models.PART/`` and the path in the folder: where the folder lies does not matter.
    """
    return {
        f"models.{part}/{path.relative_to(store.folder).as_posix()}": path
        for part, store in stores.items()
        for path in source_files(store, [store.folder])
    }
