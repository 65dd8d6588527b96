"""Direction of a metric by its name."""

from __future__ import annotations

import re

_LOSSES = (
    r"loss|losses|err|error|errors|mse|mae|rmse|mape|smape|nll|perplexity|ppl|bpb|bpc|wer|cer|fid|kl|elbo|nelbo|"
    r"entropy|ce|bce|regret|latency|seconds|time|distance|fpr|fnr|eer|fde|ade|lpips|mpjpe"
)
_SCORES = (
    r"acc|accuracy|accuracies|top|f|fscore|fbeta|auc|auroc|auprc|roc|ap|map|mrr|ndcg|iou|miou|jaccard|dice|precision|"
    r"recall|sensitivity|specificity|kappa|mcc|bleu|rouge|meteor|psnr|ssim|reward|correct|em|hit|hits|spearman|pearson|"
    r"elo|success|score"
)
_DIGITS = r"(?:score)?\d*"


def is_better_if_larger(name: str) -> bool:
    """Return whether a name is that of a score, such as `val/acc`, `eval_f1` and `mAP50`, and not of a loss."""
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z][a-z])", name) if word]
    return any(map(_is_score, words)) and not any(re.fullmatch(_LOSSES, word) for word in words)


def _is_score(word: str) -> bool:
    plain = re.sub(r"^(?:val|valid|validation|test|train|eval|dev)", "", word) or word
    if plain in ("f", "top"):
        return False  # only with their digits, as f1 and top5
    return re.fullmatch(rf"(?:{_SCORES}){_DIGITS}", plain) is not None
