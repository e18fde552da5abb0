"""TRL's trainers, one for each objective, over token ids that are made by this package and not by them."""

from __future__ import annotations

from typing import Any, NamedTuple

from datasets import Dataset
from transformers import Trainer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer


class PairTrainer(DPOTrainer):
    """Learns from pairs of responses whose token ids are those of inference."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset


class JudgementTrainer(KTOTrainer):
    """Learns from responses that are good or bad, whose token ids are those of inference."""

    def _prepare_dataset(self, dataset: Dataset, processing_class: Any, args: KTOConfig, *_: Any) -> Dataset:
        if not self.calculate_KL:
            return dataset
        # How far the model is from the base is estimated from each prompt with the response of the row before it in the
        # batch. So the order is made here, and kept.
        mixed = dataset.shuffle(seed=args.seed)
        return mixed.map(_shifted, batched=True, batch_size=args.per_device_train_batch_size)


class Tools(NamedTuple):
    """What one objective is trained with."""

    config: type[Any]
    trainer: type[Trainer]


TOOLS = {
    "sft": Tools(SFTConfig, SFTTrainer),
    "pretrain": Tools(SFTConfig, SFTTrainer),
    "dpo": Tools(DPOConfig, PairTrainer),
    "kto": Tools(KTOConfig, JudgementTrainer),
}


def _shifted(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    completions = columns["completion_ids"]
    return {"KL_completion_ids": [completions[-1], *completions[:-1]]}
