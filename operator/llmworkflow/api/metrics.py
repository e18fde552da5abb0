"""The metrics that jobs report, by name, so that a gate on any other is refused before it costs a GPU."""

REFERENCE_METRICS = ("exactMatch", "tokenF1")  # compare an answer with the reference of its row
ANSWER_METRICS = ("jsonValid", "regex", "stopRate")  # look at the answer alone
EVALUATION_METRICS = REFERENCE_METRICS + ANSWER_METRICS
SHARES = (*EVALUATION_METRICS, "rewardAccuracy")  # from 0 to 1
TRAINING_METRICS = ("trainLoss", "evalLoss", "samplesPerSecond", "rewardAccuracy", "reward")


def is_score(name: str) -> bool:
    """Whether it says how good answers are: a metric of evaluations, or one of the user's own, `module:function`."""
    return name in EVALUATION_METRICS or ":" in name
