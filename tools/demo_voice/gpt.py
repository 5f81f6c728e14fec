"""Trains the GPT: phones of reference and target, and the reference's tokens, to the target's tokens and their end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import corpus
import numpy as np
import torch
import torch.nn.functional as F
from layout import CODES, gpt_config
from progress import Progress
from torch import Tensor, nn

from sovits_exporter.modeling.t2s import T2SConfig, Text2Semantic
from sovits_runtime.text.symbols import symbol_ids

TOKEN_S = 0.04
STEPS = 12000
SAVE_EVERY = 500
UNSEEN = 100  # utterances kept apart, to see whether others are learned by heart
PENALTY = 1.35  # the original's default: what is trained is what is drawn from
GUIDED_LAYERS, GUIDED_HEADS = (1, 2), 2
SHORTEST_PROMPT_S, LONGEST_PROMPT_S = 3.0, 4.5
POOL = 4
REFERENCE_SHARE = 0.75  # of the prompts: the recording that comes with the voice
SPLICED = 0.3  # share of the utterances that are joined from two
ALONE = 3  # utterances without a prompt are that much shorter
ALONE_UNTIL = 0.5  # share of the training in which few have one


@dataclass(frozen=True)
class Line:
    """One utterance: phones [T], tokens [n], tokens as a reference [m], the phone of each token [n]; all int64.

    Where an utterance is never a reference, m is 0.
    """

    phones: np.ndarray
    tokens: np.ndarray
    prompt: np.ndarray
    place: np.ndarray


def load_lines(data: Path, encoder: Path, name: str) -> list[Line]:
    """Joins the recordings DATA/name.npz and their codes."""
    recordings = corpus.load(data / f"{name}.npz")
    with np.load(encoder / f"{name}_codes.npz") as file:
        tokens = np.split(file["codes"].astype(np.int64), file["ends"][:-1])
        prompts = np.split(file["prompts"].astype(np.int64), file["prompt_ends"][:-1])
    lines = []
    for recording, own, prompt in zip(recordings, tokens, prompts, strict=True):
        middles = (np.arange(len(own)) + 0.5) * TOKEN_S
        place = np.searchsorted(recording.ends, middles).clip(max=len(recording.phones) - 1)
        lines.append(Line(symbol_ids(recording.phones, "v2"), own, prompt, place))
    return lines


class Batches:
    """Draws padded batches.

    Every audio position of a row predicts the next token; the last one the end of speech.
    """

    def __init__(
        self, lines: list[Line], reference: Line, near: np.ndarray, seed: int, *, spliced: float = SPLICED
    ) -> None:
        self.lines, self.reference, self.near, self.spliced = lines, reference, near, spliced
        self.rng = np.random.default_rng(seed)
        seconds = np.array([len(line.tokens) * TOKEN_S for line in lines])
        can = np.array([len(line.prompt) > 0 for line in lines])
        self.prompts = np.flatnonzero(can & (seconds >= SHORTEST_PROMPT_S) & (seconds <= LONGEST_PROMPT_S))

    def draw(self, batch: int, prompted: bool) -> dict[str, Tensor]:
        """Draws rows.

        Returns:
            Phones [B, T], text_len [B], tokens given and wanted [B, n], weights and places [B, n]; `start`: where
            the first row's own sentence begins; `text_from` and `audio_from`: the position of the first phone and
            token, for rows without a prompt mostly that which they would have behind the reference.
        """
        drawn = sorted(
            (self._row(prompted) for _ in range(POOL * batch)), key=lambda row: len(row[0]) + len(row[1])
        )
        first = self.rng.integers(0, (POOL - 1) * batch + 1)
        rows = drawn[first : first + batch]  # of like length, so that little is padding
        behind = not prompted and self.rng.random() < REFERENCE_SHARE
        longest_text = max(len(row[0]) for row in rows)
        longest = max(len(row[1]) for row in rows)
        phones = np.zeros((batch, longest_text), np.int64)
        given, wanted, place = (np.zeros((batch, longest), np.int64) for _ in range(3))
        weight = np.zeros((batch, longest), np.float32)
        for i, (own_phones, tokens, places, own_weight, _) in enumerate(rows):
            n = len(tokens)
            phones[i, : len(own_phones)] = own_phones
            given[i, :n] = tokens
            wanted[i, : n - 1], wanted[i, n - 1] = tokens[1:], CODES
            place[i, :n] = places
            weight[i, :n] = own_weight
        arrays = {
            "phones": phones,
            "text_len": np.array([len(r[0]) for r in rows]),
            "given": given,
            "wanted": wanted,
            "place": place,
            "weight": weight,
            "start": np.array(min(row[4] for row in rows)),
            "text_from": np.array(len(self.reference.phones) if behind else 0),
            "audio_from": np.array(len(self.reference.prompt) if behind else 0),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _row(self, prompted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
        line = self._any()
        if self.rng.random() < self.spliced:
            line = self._spliced(line, self._any())
        if not prompted:
            place = np.append(line.place[1:], len(line.phones) - 1)
            return line.phones, line.tokens, place, np.ones(len(line.tokens), np.float32), 0
        own = not len(self.prompts) or self.rng.random() < REFERENCE_SHARE
        first = self.reference if own else self.lines[self.rng.choice(self.prompts)]
        phones = np.concatenate([first.phones, line.phones])
        tokens = np.concatenate([first.prompt, line.tokens])
        spoken = np.minimum(np.arange(len(first.prompt)), len(first.place) - 1)
        place = np.concatenate([first.place[spoken], line.place + len(first.phones)])
        place = np.append(place[1:], len(phones) - 1)
        weight = np.ones(len(tokens), np.float32)
        weight[: len(first.prompt) - 1] = 0.3
        weight[len(first.tokens) : len(first.prompt) - 1] = (
            0.0  # the silence behind a reference is never spoken
        )
        return phones, tokens, place, weight, len(first.prompt) - 1

    def _any(self) -> Line:
        return self.lines[self.rng.integers(len(self.lines))]

    def _spliced(self, head: Line, tail: Line) -> Line:
        """Goes over from one utterance to another behind a phone that both have: a new text each time."""
        heads, tails = (np.flatnonzero(np.diff(line.place)) for line in (head, tail))  # last tokens of phones
        if not len(heads):
            return head
        last = self.rng.choice(heads)
        alike = tails[tail.phones[tail.place[tails]] == head.phones[head.place[last]]]
        if not len(alike):
            return head
        other = self.rng.choice(alike)
        n, m = head.place[last] + 1, tail.place[other] + 1
        return Line(
            np.concatenate([head.phones[:n], tail.phones[m:]]),
            np.concatenate([head.tokens[: last + 1], tail.tokens[other + 1 :]]),
            head.prompt,
            np.concatenate([head.place[: last + 1], tail.place[other + 1 :] - m + n]),
        )

    def disturb(self, tokens: Tensor, share: float) -> Tensor:
        """Replaces a share of the tokens [B, n], as `disturbed` does."""
        return torch.from_numpy(disturbed(tokens.numpy(), share, self.near, self.rng))


def forward(
    t2s: Text2Semantic, batch: dict[str, Tensor], *, dropout: float = 0.0, start: int = 0
) -> tuple[Tensor, Tensor]:
    """Runs rows side by side; logits are those of the audio positions from `start` on.

    Returns:
        Logits float32 [B, n - start, V], and the log share of attention that guided heads pay to the next phone [B, n].
    """
    phones, given, text_len = batch["phones"], batch["given"], batch["text_len"]
    b, t = phones.shape
    n = given.shape[1]
    text = t2s.ar_text_embedding(phones) + t2s.bert_proj.bias
    text = text + t2s.ar_text_position(torch.arange(t)[None] + batch["text_from"])
    audio = t2s.embed_audio(given, torch.arange(n)[None] + batch["audio_from"])
    x = F.dropout(torch.cat([text, audio], 1), dropout)
    width, heads = x.shape[2], t2s.config.heads
    index = torch.arange(t + n)
    text_key = (index[None, :] < text_len[:, None])[:, None, :]  # [B, 1, keys]
    audio_key = ((index[None, :] >= t) & (index[None, :] <= index[:, None]))[None]  # [1, rows, keys]
    mask = (text_key | audio_key)[:, None]
    x = x.reshape(-1, width)
    guided = []
    for i, layer in enumerate(t2s.h):
        q, k, v = layer.self_attn.qkv(x, b)
        if i in GUIDED_LAYERS:
            score = (
                q[:, :GUIDED_HEADS, t:].float()
                @ k[:, :GUIDED_HEADS].float().transpose(2, 3)
                * (width // heads) ** -0.5
            )
            share = torch.log_softmax(score.masked_fill(~mask[:, :, t:], -1e4), -1)
            place = batch["place"][:, None, :, None].expand(-1, GUIDED_HEADS, -1, 1)
            guided.append(share.gather(3, place)[..., 0].mean(1))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = layer.finish(x, F.dropout(attended, dropout))
    logits = t2s.ar_predict_layer(x.view(b, t + n, width)[:, t + start :])
    return logits.float(), torch.stack(guided).mean(0)


def penalised(logits: Tensor, given: Tensor, penalty: float, *, start: int = 0) -> Tensor:
    """Applies the repetition penalty to logits [B, n - start, V]; a position has seen the tokens up to itself."""
    positions = torch.arange(given.shape[1])
    never = torch.full((len(given), logits.shape[2]), given.shape[1])
    first = never.scatter_reduce(1, given, positions.expand_as(given), "amin")
    seen = first[:, None, :] <= positions[None, start:, None]
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def losses(
    t2s: Text2Semantic, rows: dict[str, Tensor], penalty: float, dropout: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns cross entropy, what guided heads miss, the share of tokens and of ends of speech that come first."""
    first = int(rows["start"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, guided = forward(t2s, rows, dropout=dropout, start=first)
    logits = penalised(logits, rows["given"], penalty, start=first)
    wanted, weight = rows["wanted"][:, first:], rows["weight"][:, first:]
    cross = F.cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
    spoken = rows["weight"] > 0
    best = logits.argmax(-1)
    return (
        (cross * weight).sum() / weight.sum(),
        -(guided * spoken).sum() / spoken.sum(),
        (best == wanted)[weight == 1].float().mean(),
        (best == CODES)[wanted == CODES].float().mean(),
    )


def start(t2s: Text2Semantic) -> None:
    """Fills the weights that their modules leave open."""
    for layer in t2s.h:
        nn.init.xavier_uniform_(layer.self_attn.in_proj_weight)
        nn.init.zeros_(layer.self_attn.in_proj_bias)
    for table in (t2s.ar_text_embedding, t2s.ar_audio_embedding):
        nn.init.normal_(table.word_embeddings.weight, 0, 0.5)
    nn.init.zeros_(t2s.bert_proj.weight)  # English has no BERT features


def disturbed(tokens: np.ndarray, share: float, near: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replaces a share of tokens, int64 of any shape, by ones that sound alike, as a draw may."""
    other = near[tokens, rng.integers(0, near.shape[1], tokens.shape)]
    return np.where(rng.random(tokens.shape) < share, other, tokens)


def near_codes(codebook: Tensor, count: int = 6) -> np.ndarray:
    """Returns the nearest other codes of each, int64 [1025, count]; the end of speech stays itself."""
    near = torch.cdist(codebook, codebook).topk(count + 1, largest=False).indices[:, 1:].numpy()
    return np.concatenate([near, np.full((1, count), CODES)])


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("encoder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--batch", default=10, show_default=True)
@click.option("--rate", default=1.2e-3, show_default=True, help="Learning rate at the start.")
@click.option("--dropout", default=0.1, show_default=True)
@click.option("--start", "start_from", type=click.Path(path_type=Path), help="Weights to go on from.")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path,
    encoder: Path,
    out: Path,
    steps: int,
    batch: int,
    rate: float,
    dropout: float,
    start_from: Path | None,
    threads: int,
    seed: int,
) -> None:
    """Trains on the recordings in DATA and their codes in ENCODER; writes OUT/gpt.pt."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    lines = load_lines(data, encoder, "train") + load_lines(data, encoder, "more")
    codebook = torch.load(encoder / "encoder.pt")["model"]["codebook"]
    (reference,) = load_lines(data, encoder, "reference")
    near = near_codes(codebook)
    held = Batches(lines[-UNSEEN:], reference, near, seed, spliced=0.0)
    unseen = [held.draw(batch, prompted=True) for _ in range(UNSEEN // batch)]
    batches = Batches(lines[:-UNSEEN], reference, near, seed)
    t2s = Text2Semantic(T2SConfig.from_checkpoint(gpt_config()))
    start(t2s)
    if start_from:
        t2s.load_state_dict(torch.load(start_from))
    trained = [p for name, p in t2s.named_parameters() if name != "bert_proj.weight"]
    optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, 0.98), weight_decay=0.01)
    progress, step = Progress(4), 0
    while step < steps:
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 300) * (1 - done) ** 1.5
        prompted = batches.rng.random() < (0.15 if done < ALONE_UNTIL else 0.85)
        rows = batches.draw(batch if prompted else ALONE * batch, prompted)
        rows["given"] = batches.disturb(rows["given"], 0.12 * batches.rng.random())
        penalty = PENALTY if batches.rng.random() < 0.8 else 1.0
        loss, attention, right, ended = losses(t2s, rows, penalty, dropout)
        total = loss + 0.4 * attention
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        progress.add([float(v.detach()) for v in (loss, attention, right, ended)])
        if step % SAVE_EVERY == 0:
            torch.save(t2s.state_dict(), out / "gpt.pt")
            with torch.inference_mode():
                means = np.mean([[float(v) for v in losses(t2s, rows, PENALTY)] for rows in unseen], 0)
            click.echo("unseen: " + " ".join(f"{value:.4f}" for value in means))
    torch.save(t2s.state_dict(), out / "gpt.pt")


if __name__ == "__main__":
    main()
