"""Writes the sentence model as one ONNX file: tokens in, unit vectors out. `export.py WEIGHTS TARGET`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy
import onnxruntime
import torch
from transformers import AutoModel, AutoTokenizer

NAME = "all-MiniLM-L6-v2"
MAX_TOKENS = 256
SENTENCES = ["The database keeps running.", "A container was killed for memory, so the commit was taken back."]


class Sentences(torch.nn.Module):
    """The model and the steps that its makers prescribe after it: mean over the real tokens, then length 1."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.model = AutoModel.from_pretrained(weights, attn_implementation="eager").eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)


def main(weights: str, target: Path) -> None:
    target.mkdir(parents=True)
    sentences = Sentences(weights)
    tokens = dict(AutoTokenizer.from_pretrained(weights)(SENTENCES, padding=True, return_tensors="pt"))
    inputs = (tokens["input_ids"], tokens["attention_mask"])
    names = ["input_ids", "attention_mask"]
    axes = {name: {0: "batch", 1: "length"} for name in names} | {"embedding": {0: "batch"}}
    with torch.no_grad():
        expected = sentences(*inputs).numpy()
        torch.onnx.export(
            sentences, inputs, str(target / "model.onnx"), input_names=names, output_names=["embedding"],
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(target / "model.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]
    assert numpy.abs(found - expected).max() < 1e-4, "the export differs from the model"
    shutil.copy(Path(weights, "tokenizer.json"), target)
    about = {"name": NAME, "dimensions": int(found.shape[1]), "max_tokens": MAX_TOKENS}
    (target / "model.json").write_text(json.dumps(about) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
