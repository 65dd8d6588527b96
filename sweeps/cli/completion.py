"""`sweeps completion`: the completion scripts of the shells, and the completions that they request."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Literal

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

Shell = Literal["bash", "zsh", "fish"]

COMPLETE_VARIABLE = "_SWEEPS_COMPLETE"
"""Environment variable of a completion request. The others are COMP_LINE, the typed line; COMP_POINT, its number of
bytes before the cursor; and in bash COMP_WORD, the part of the last word that bash replaces."""

BASH = r"""_sweeps_completion() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace 2>/dev/null ;;
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
        esac
    done < <(COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT COMP_WORD=$2 _SWEEPS_COMPLETE=bash "$1" 2>/dev/null)
    return 0
}
complete -o nosort -F _sweeps_completion sweeps 2>/dev/null || complete -F _sweeps_completion sweeps
"""

ZSH = r"""#compdef sweeps
_sweeps_completion() {
    local entry
    local -a plain open
    for entry in "${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT]}" _SWEEPS_COMPLETE=zsh "$words[1]" 2>/dev/null)}"; do
        case ${entry%%,*} in
            plain) plain+=("${entry#*,}") ;;
            open) open+=("${entry#*,}") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#plain )) && compadd -U -V sweeps -a plain
    (( $#open )) && compadd -U -S '' -V sweeps -a open
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _sweeps_completion "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _sweeps_completion sweeps
fi
"""

FISH = r"""function _sweeps_completion
    set -l word (commandline -ct)
    set -l line (commandline -cp)
    set -l command (string split -m 1 ' ' -- (string trim -l -- $line))[1]
    for entry in (env COMP_LINE="$line" _SWEEPS_COMPLETE=fish $command 2>/dev/null)
        set -l parts (string split -m 1 , -- $entry)
        switch $parts[1]
            case dir
                __fish_complete_directories $word
            case file
                __fish_complete_path $word
            case '*'
                echo $parts[2]
        end
    end
end
complete --no-files --command sweeps --arguments "(_sweeps_completion)"
"""

SCRIPTS: Mapping[Shell, str] = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command()
@click.argument("shell", type=click.Choice(list(SCRIPTS)), help="Your shell.")
def completion(shell: Shell) -> None:
    """Print the shell script for tab completion of verbs, options, files, sweeps, runs, columns and keys.

    \b
    One line installs it for every new shell:
      bash:  echo 'source <(sweeps completion bash)' >> ~/.bashrc
      zsh:   echo 'source <(sweeps completion zsh)' >> ~/.zshrc
      fish:  sweeps completion fish > ~/.config/fish/completions/sweeps.fish

    Sweeps and runs are completed from the folder that `--runs` names on the same line.

    \b
    Example:
      sweeps completion bash
    """
    click.echo(SCRIPTS[shell], nl=False)


def answer_shell(cli: click.Command) -> int:
    """Print a line `type,word` for each completion of the word at the cursor, and return the exit code.

    Errors are suppressed: a traceback would appear in the shell's prompt.
    """
    with contextlib.suppress(Exception), open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # noqa: PTH123
        words, incomplete = _typed(os.environ)
        prefix = _prefix_length(incomplete, os.environ.get("COMP_WORD"))
        lines = [f"{item.type},{item.value[prefix:]}" for item in _Completer(cli).get_completions(words, incomplete)]
        click.echo("\n".join(lines))
    return 0


def _typed(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the words before the cursor, with a `--runs` after it, and the incomplete word at the cursor."""
    line = environ["COMP_LINE"].encode()
    point = int(environ.get("COMP_POINT", len(line)))
    before, after = line[:point].decode(errors="ignore"), line[point:].decode(errors="ignore")
    words = split_arg_string(before)[1:]
    incomplete = words.pop() if words and not before[-1:].isspace() else ""
    later = split_arg_string(after)
    if "--runs" in later[:-1]:
        index = later.index("--runs")
        words = [*words[:1], *later[index : index + 2], *words[1:]]
    return words, incomplete


def _prefix_length(incomplete: str, replaced: str | None) -> int:
    """Return the number of leading characters of a word that bash does not replace: it also splits at `=` and `:`."""
    if replaced is None or replaced[:1] in ("'", '"'):
        return 0
    return len(incomplete) - len(replaced) if incomplete.endswith(replaced) else 0


class _Completer(ShellComplete):
    """The completion of click, with a leading `-` for `--sort`."""

    name = "sweeps"
    source_template = ""

    def __init__(self, cli: click.Command) -> None:
        super().__init__(cli, {}, "sweeps", COMPLETE_VARIABLE)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        if args and args[-1] == "--sort" and incomplete.startswith("-"):
            descending = self.get_completions(args, incomplete[1:])
            return [CompletionItem(f"-{item.value}", type=item.type) for item in descending]
        return super().get_completions(args, incomplete)
