"""Sweeps of trial.py by Hydra; scripts/bench_sweep.py runs it beside `sweep run`.

    train.py --multirun data=DIR results=OUT model.name=unet++,unet loss=nll,mse seed=0,1,2 hydra.launcher.n_jobs=2 threads=1

The same command again leaves out finished trials and resumes the others. Keys are in train.yaml.
"""

from pathlib import Path

import hydra


@hydra.main(version_base=None, config_path=".", config_name="train")
def main(config):
    # Here, because only the processes that train need PyTorch, and joblib's find the module's cache again for every trial.
    from trial import train

    folder = Path(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir)
    if not (folder / "done").exists():
        train(config, folder)


if __name__ == "__main__":
    main()
