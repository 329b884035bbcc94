"""A page that shows what fine-tuning learns: real rows, with the learned tokens marked.

One file without scripts or links; the text of conversations is escaped.
"""

import html
import itertools
from collections.abc import Iterator

from tokenizers import Tokenizer

from training.chat.packing import PackedRows
from training.data.batches import IGNORE_INDEX

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.row { border: 1px solid #8886; border-radius: 6px; padding: .6rem .8rem; margin: 0 0 1rem; }
.row p { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.row p + p { border-top: 1px dashed #8886; padding-top: .3rem; }
small { color: #777; }
b { font-weight: 400; background: #2a92; border-bottom: 2px solid #2a9; }
i { font-style: normal; color: #a60; font-size: .85em; }
"""


def preview_page(rows: PackedRows, tokenizer: Tokenizer, title: str, *, count: int = 20) -> str:
    """HTML of the first `count` rows."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    shown = range(min(count, len(rows.tokens)))
    parts = [_row(rows, row, tokenizer, special) for row in shown]
    learned, cells = int(rows.supervised().sum()), int((rows.document_ids >= 0).sum())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>The first {len(parts)} of {len(rows.tokens):,} rows. <b>Marked</b> tokens are learned "
        f"({learned:,} of {cells:,}); <i>special tokens</i> are set apart.</p>{''.join(parts)}</html>\n"
    )


def _row(rows: PackedRows, row: int, tokenizer: Tokenizer, special: set[int]) -> str:
    documents = range(int(rows.document_ids[row].max()) + 1)
    parts = [f"<p>{''.join(_conversation(rows, row, number, tokenizer, special))}</p>" for number in documents]
    learned = int((rows.targets[row] != IGNORE_INDEX).sum())
    return (
        f"<div class=row><small>row {row}: {len(parts)} conversations, {learned} learned</small>{''.join(parts)}</div>"
    )


def _conversation(rows: PackedRows, row: int, document: int, tokenizer: Tokenizer, special: set[int]) -> Iterator[str]:
    """Runs of tokens that are alike, as marked-up text; the first id is never learned, the last only a target."""
    here = rows.document_ids[row] == document
    tokens, targets = rows.tokens[row, here].tolist(), rows.targets[row, here].tolist()
    last = [] if targets[-1] == IGNORE_INDEX else [targets[-1]]
    learned = [False, *(target != IGNORE_INDEX for target in targets)]
    cells = zip([*tokens, *last], learned, strict=False)
    for (marked, apart), run in itertools.groupby(cells, key=lambda cell: (cell[1], cell[0] in special)):
        text = html.escape(tokenizer.decode([number for number, _ in run], skip_special_tokens=False))
        text = f"<i>{text}</i>" if apart else text
        yield f"<b>{text}</b>" if marked else text
