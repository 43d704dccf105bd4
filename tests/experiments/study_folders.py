"""A study of 3 seeds of AE and MAE whose numbers can be worked out by hand."""

import json

import numpy as np
from run_folders import F1, RunMaker, write_rows

SEEDS = (0, 1, 2)
GAIN = {"AE": 0.0, "MAE": 0.05}
"""What a model's F1 has over F1 in `run_folders`; each further seed adds `STEP`."""
STEP = 0.02
EXPLAINERS = {**F1, "masked_error_map": F1["error_map"], "random": F1["saliency"]}
STAGES = ("decoder", "encoder")


def f1_of(variant, seed, explainer):
    """F1 (clips, percentiles): "stuck/a.wav", "broken/b.wav", "broken/c.wav" at 97, 98, 99."""
    return np.array(EXPLAINERS[explainer]) + GAIN[variant] + STEP * seed


def write_study(root, labels=None, anomalous=None, **maker):
    """Write a study's folder; `labels` renames the variants."""
    root.mkdir()
    (root / "study.yaml").write_text("name: small\n")
    for variant in GAIN:
        for seed in SEEDS:
            f1 = {name: f1_of(variant, seed, name).tolist() for name in EXPLAINERS}
            scores = anomalous or {"stuck/a.wav": 5.0, "broken/b.wav": 3.5 + seed, "broken/c.wav": 2.5}
            run = root / "runs" / variant / f"seed_{seed}"
            RunMaker(variant, scores, f1, evidence=True, **maker).write(run)
            member = {"study": "small", "variant": (labels or {}).get(variant, variant), "settings": {}, "seed": seed}
            (run / "study.json").write_text(json.dumps(member))
            checks = [(name, "randomisation", stage, 0.5 - 0.4 * i)
                      for name in EXPLAINERS for i, stage in enumerate(STAGES)]  # fmt: skip
            checks += [(name, "infidelity", "", 2.0 + seed) for name in EXPLAINERS]
            rows = [(4, "stuck/a.wav", *check) for check in checks]
            write_rows(run / "test" / "sanity.csv", ("index", "name", "explainer", "check", "step", "value"), rows)
    return root
