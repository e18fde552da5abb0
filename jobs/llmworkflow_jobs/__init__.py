"""What runs inside Ray: fine-tuning, batch inference, evaluation and serving of an LLMWorkflow's stages.

The package needs only what a Ray image with vLLM, TRL and PEFT brings; it never imports the operator.
"""
