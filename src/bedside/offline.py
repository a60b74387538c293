"""Nothing but `bedside fetch` may use the network: the switches that keep libraries at home, set before they are imported."""

from __future__ import annotations

import logging
import os
import warnings

_SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def stay_offline() -> None:
    """Switch off every download, telemetry and update check of the libraries that bedside uses."""
    os.environ.update(_SWITCHES)


def quiet_libraries() -> None:
    """Keep the libraries' own notes and bars off the terminal, which belongs to bedside's."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        from transformers.utils import logging as transformers_logging
    except ImportError:
        return
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
