"""One file a policy: what is to be done with a stage, and why.

A policy looks at one stage and returns it changed, or None where it has nothing to say. The policies of a stage
are asked in this order; the first that changes something is heard, and then all are asked again, until none has
anything to say.
"""

from collections.abc import Callable, Sequence

from llmworkflow.api.status import StageStatus
from llmworkflow.core.policies.approval import approve
from llmworkflow.core.policies.child import edited, learn, lost, outdated
from llmworkflow.core.policies.follow import follow
from llmworkflow.core.policies.gate import judge, judge_again
from llmworkflow.core.policies.name import name_taken
from llmworkflow.core.policies.promotion import account, promote, start_service
from llmworkflow.core.policies.rerun import remake, reread
from llmworkflow.core.policies.retry import stopped
from llmworkflow.core.policies.revise import revise, revive
from llmworkflow.core.policies.start import start_job
from llmworkflow.core.policies.suspend import suspend
from llmworkflow.core.policies.timeout import late
from llmworkflow.core.policies.unrenderable import withdraw
from llmworkflow.core.policies.verdict import broken, succeeded, unreported
from llmworkflow.core.policies.verification import degrade, die, fall, verify
from llmworkflow.core.view import View

Policy = Callable[[View], StageStatus | None]

OF_JOBS: Sequence[Policy] = (
    learn,
    stopped,
    follow,
    succeeded,
    revise,
    revive,
    broken,
    unreported,
    name_taken,
    withdraw,
    suspend,
    lost,
    outdated,
    edited,
    late,
    reread,
    judge,
    judge_again,
    approve,
    remake,
    start_job,
)

OF_SERVICES: Sequence[Policy] = (
    learn,
    revive,
    stopped,
    name_taken,
    withdraw,
    suspend,
    lost,
    promote,
    follow,
    verify,
    fall,
    die,
    degrade,
    start_service,
    account,
)
