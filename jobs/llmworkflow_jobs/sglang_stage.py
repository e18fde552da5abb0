"""SGLang engines as ray.data.llm's stage runs them, for rows that are token ids, may name an adapter, and may fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from ray.llm._internal.batch.stages.common import maybe_convert_ndarray_to_list
from ray.llm._internal.batch.stages.sglang_engine_stage import SGLangEngineStageUDF

from llmworkflow_jobs.sglang_engine import sampling_parameters


class Engine(SGLangEngineStageUDF):
    """Ray's stage, which starts the engine and ends it.

    By itself it asks for texts, or for token ids of an engine that has no tokenizer, and a row that the engine refuses
    ends the batch. Here such a row gets an error, and one whose `model` is not the engine's is answered by the adapter
    of that name.
    """

    async def udf(self, batch: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """Yield what is known of each row, in any order."""
        for answer in asyncio.as_completed([self._answer(row) for row in batch]):
            yield await answer

    async def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        told = {self.IDX_IN_BATCH_COLUMN: row[self.IDX_IN_BATCH_COLUMN]}
        try:
            return told | await self._ask(row)
        except Exception as error:  # such as a prompt that is too long
            return told | _outcome("", [], -1.0, f"{type(error).__name__}: {error}")

    async def _ask(self, row: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        async with self.llm.semaphore:
            found = await self.llm.engine.async_generate(
                input_ids=maybe_convert_ndarray_to_list(row["tokenized_prompt"]),
                sampling_params=sampling_parameters(maybe_convert_ndarray_to_list(row["sampling_params"])),
                lora_path=None if row["model"] == self.model else row["model"],
            )
        ended = found["meta_info"]["finish_reason"]
        error = f"the engine gave it up: {ended.get('message')}" if ended["type"] == "abort" else ""
        return _outcome(found["text"], found["output_ids"], time.perf_counter() - began, error)


def _outcome(text: str, token_ids: list[int], seconds: float, error: str) -> dict[str, Any]:
    """The columns of ray.data.llm's engines."""
    return {
        "generated_text": text,
        "generated_tokens": token_ids,
        "time_taken_llm": seconds,
        "__inference_error__": error,
    }
