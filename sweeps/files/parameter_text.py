"""A parameter in words, for tables of a search space."""

from __future__ import annotations

from sweeps.files.parameter import Parameter


def range_text(parameter: Parameter, *, is_integer: bool) -> str:
    """Return a range in words, such as `0.001 to 0.3 (numbers, log)` or `normal, mean 0.1, deviation 0.02`."""
    kind = "integers" if is_integer else "numbers"
    step = f", step {parameter.q}" if parameter.q else ""
    continuous = parameter.continuous
    if continuous is None:
        scale = ", log" if parameter.distribution in ("log_uniform_values", "q_log_uniform_values") else ""
        return f"{parameter.min} to {parameter.max} ({kind}{scale}{step})"
    first, second = f"{continuous.first:g}", f"{continuous.second:g}"
    if continuous.family == "beta":
        return f"beta, a {first}, b {second} ({kind}{step})"
    of = " of the logarithm" if continuous.family == "log_normal" else ""
    return f"{continuous.family.replace('_', '-')}, mean{of} {first}, deviation {second} ({kind}{step})"


def prior_text(parameter: Parameter) -> str:
    """Return the prior in words, such as `; prior 0.03 (high)`; empty without one."""
    return f"; prior {parameter.prior} ({parameter.confidence})" if parameter.has_prior else ""


def value_texts(parameter: Parameter) -> list[str]:
    """Return each listed value in words, with its probability if it has one: `sgd (70 %)`."""
    if parameter.probabilities is None:
        return list(map(str, parameter.choices))
    weighted = zip(parameter.choices, parameter.probabilities, strict=True)
    return [f"{value} ({100 * probability:g} %)" for value, probability in weighted]
