"""Stands for SGLang where a GPU is needed, as its adapters do: an engine that answers with what it was asked.

It is no SGLang: `test_sglang_stage` sees that it is called by names that the real one has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Engine:
    """Has what ray.data.llm and the jobs use of `sglang.Engine`."""

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs

    async def async_generate(
        self,
        sampling_params: Mapping[str, Any] | None = None,
        input_ids: Sequence[int] | None = None,
        lora_path: str | None = None,
    ) -> dict[str, Any]:
        if not input_ids:
            raise ValueError("there is no prompt")
        ended: dict[str, Any] = (
            {"type": "abort", "message": "shed"} if len(input_ids) > 3 else {"type": "stop"}
        )
        text = f"{lora_path} {sampling_params}"
        return {"text": text, "output_ids": list(input_ids), "meta_info": {"finish_reason": ended}}

    def shutdown(self) -> None:
        """End nothing."""
