"""What starts turn out to be, kept on disk for the next plans and checks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localllm.engine_client.interview import Interview
from localllm.planning.desk import Desk
from localllm.planning.ledger import Entry, in_the_log, remember
from localllm.planning.planner import Planned
from localllm.supervisor.doubts import doubts_about
from localllm.supervisor.tokenizers import known_before, note, tokenizer_key
from localllm.supervisor.visiting import is_guest
from localllm.supervisor.watching import Measured
from localllm.versioned import NewerFile

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notes:
    """Takes them; a disk that is full costs the memory of them alone.

    Args:
        is_throttled: Whether heat slows the machine down, so that no speed is worth keeping.
    """

    desk: Desk
    is_throttled: Callable[[], bool]

    def record(self, planned: Planned, measured: Measured) -> None:
        """Keep what a start has measured."""
        hot = self.is_throttled()
        entry = Entry(
            setting=planned.setting,
            predicted_bytes=in_the_log(planned.plan.memory),
            measured_bytes=measured.load.total_bytes or None,
            decode_tps=None if hot else measured.speed.decode_tps,
            prefill_tps=None if hot else measured.speed.prefill_tps,
            prompt_tokens=measured.speed.prompt_tokens,
            at=time.time(),
        )
        try:
            remember(self.desk.paths.ledger, entry)
        except (OSError, NewerFile) as error:
            _log.warning("what was measured is not kept: %s", error)

    def examine(self, planned: Planned, heard: Interview) -> Sequence[str]:
        """Compare with what is known of the model's tokenizer, and keep what is in order."""
        file, key = self.desk.paths.tokenizers, tokenizer_key(planned.header)
        profile = self.desk.profile(planned.stored.id)
        doubts = doubts_about(heard, known_before(profile, file, key))
        if not doubts and not is_guest(planned):  # of whom nobody knows yet whether it is in order
            try:
                note(file, key, heard, told_by=planned.stored.id)
            except (OSError, NewerFile) as error:
                _log.warning("what a tokenizer does is not kept: %s", error)
        return doubts
