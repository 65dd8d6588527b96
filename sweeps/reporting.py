"""From what a trial says to what the ledger holds: the same under Ray and inline."""

from __future__ import annotations

from sweeps.ledger import Ledger
from sweeps.records import Outcome
from sweeps.trial import Report


def enter_report(ledger: Ledger, number: int, report: Report) -> bool:
    """Tell the ledger what a trial said; return whether the trial is over."""
    known = {"parameters": report.parameters, "facts": report.facts}
    ledger.note(number, **{name: value for name, value in known.items() if value is not None})
    epoch = report.epoch_result()
    if epoch is not None and ledger.report(number, epoch):
        return True
    if report.outcome is not None:
        ledger.finish(number, Outcome(report.outcome), error=report.error)
        return True
    return False
