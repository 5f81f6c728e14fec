"""Trains the speech encoder, a small HuBERT whose features carry phones, envelope and pitch, and its codebook.

The official HuBERT learned from masked speech; this one learns from what is known of synthetic speech. The codebook is
that of SoVITS (`ssl_proj` and `quantizer`), first k-means, then moving averages, with a reader that must find phones
and latents again from the codes alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import corpus
import numpy as np
import torch
import torch.nn.functional as F
from features import FRAME, LATENT, load_latents, n_frames
from layout import CODE_WIDTH, CODES, hubert_config
from progress import Progress
from torch import Tensor, nn

from sovits_exporter.modeling.hubert import Hubert, HubertConfig

SAMPLES = 400  # that a frame of the conv stack sees
REFERENCE_TAIL = 9600  # zeros that the runtime appends to a reference
STEPS = 3450
DECAY = 0.98


class BatchedHubert(Hubert):
    """The same weights over several waves of one length; attention stays within a wave."""

    def encode(self, waves: Tensor) -> Tensor:
        """Maps waves [B, n] to features [B, T, 768]."""
        x = waves.unsqueeze(1)
        for layer in self.feature_extractor.conv_layers:
            x = layer(x)
        x = self.feature_projection(x.transpose(1, 2))
        position = self.encoder.pos_conv_embed
        shifted = position.conv(F.pad(x.transpose(1, 2), position.padding))
        x = self.encoder.layer_norm(x + F.gelu(shifted.transpose(1, 2)))
        for layer in self.encoder.layers:
            attention = layer.attention
            q, k, v = (
                part(x).unflatten(2, (attention.heads, -1)).transpose(1, 2)
                for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = layer.layer_norm(x + attention.out_proj(attended))
            x = layer.final_layer_norm(x + layer.feed_forward(x))
        return x


class Tokens(nn.Module):
    """Encoder, projection, codebook, and the reader that judges the codes."""

    def __init__(self, sounds: int) -> None:
        super().__init__()
        self.hubert = BatchedHubert(HubertConfig.from_config(hubert_config()))
        self.project = nn.Conv1d(self.hubert.width, CODE_WIDTH, 2, stride=2)
        self.register_buffer("codebook", torch.zeros(CODES, CODE_WIDTH))
        self.register_buffer("count", torch.ones(CODES))
        self.register_buffer("total", torch.zeros(CODES, CODE_WIDTH))
        self.reader = nn.Sequential(
            nn.Conv1d(CODE_WIDTH, 256, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(256, 256, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(256, 2 * (LATENT + sounds), 1),
        )
        self.direct = nn.Conv1d(self.hubert.width, sounds, 1)
        self.sounds = sounds

    def forward(self, waves: Tensor, quantize: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps waves [B, n] to latents [B, T, 64], two sets of phone scores [B, T, sounds], and the commitment."""
        features = self.hubert.encode(waves).transpose(1, 2)
        features = features[:, :, : features.shape[2] // 2 * 2]
        vectors = self.project(features).float()
        commitment = vectors.new_zeros(())
        if quantize:
            codes = self.nearest(vectors)
            chosen = F.embedding(codes, self.codebook).transpose(1, 2)
            if self.training:
                self._move(vectors.detach(), codes)
            commitment = F.mse_loss(vectors, chosen)
            vectors = vectors + (chosen - vectors).detach()
        else:
            vectors = vectors + 0.3 * torch.randn_like(vectors)
            commitment = F.relu(vectors.square().mean() - 1.0)
        read = self.reader(vectors).transpose(1, 2).unflatten(2, (2, -1)).flatten(1, 2)  # [B, T, 64 + sounds]
        return read[..., :LATENT], read[..., LATENT:], self.direct(features).transpose(1, 2), commitment

    def nearest(self, vectors: Tensor) -> Tensor:
        """Codes int64 [B, T] of vectors [B, C, T]."""
        x = vectors.transpose(1, 2)
        return (self.codebook.square().sum(1) - 2 * x @ self.codebook.T).argmin(-1)

    @torch.no_grad()
    def _move(self, vectors: Tensor, codes: Tensor) -> None:
        rows, ids = vectors.transpose(1, 2).flatten(0, 1), codes.flatten()
        self.count.mul_(DECAY).index_add_(0, ids, torch.full(ids.shape, 1 - DECAY))
        self.total.mul_(DECAY).index_add_(0, ids, rows * (1 - DECAY))
        alive = self.count > 1e-3
        self.codebook[alive] = self.total[alive] / self.count[alive, None]
        for dead in torch.nonzero(self.count < 2e-3).flatten()[:4]:
            row = rows[torch.randint(len(rows), ())]
            self.codebook[dead], self.count[dead], self.total[dead] = row, 0.02, 0.02 * row

    @torch.no_grad()
    def start_codebook(self, vectors: Tensor, rounds: int = 12) -> None:
        """Fits the codebook to vectors [n, C] by k-means."""
        self.codebook.copy_(vectors[torch.randperm(len(vectors))[:CODES]])
        for _ in range(rounds):
            ids = (self.codebook.square().sum(1) - 2 * vectors @ self.codebook.T).argmin(1)
            count = torch.bincount(ids, minlength=CODES).float()
            total = torch.zeros_like(self.codebook).index_add_(0, ids, vectors)
            self.codebook[count > 0] = (total / count.clamp(min=1)[:, None])[count > 0]
            empty = torch.nonzero(count == 0).flatten()
            self.codebook[empty] = vectors[torch.randint(len(vectors), (len(empty),))]
        self.count.copy_(count / count.sum() * 600 + 0.01)  # as if 600 codes had been seen lately
        self.total.copy_(self.codebook * self.count[:, None])


class Clips:
    """Draws pieces of recordings, laid side by side with pauses, of one length."""

    def __init__(
        self, recordings: list[corpus.Recording], latents: list[np.ndarray], names: dict[str, int], seed: int
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.waves = [r.wave.astype(np.float32) / 32768 for r in recordings]
        self.latents = latents
        self.labels = [frame_sounds(r, names) for r in recordings]

    def draw(self, batch: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns waves [B, n], latents [B, frames, 64], phone ids [B, frames]."""
        rows = [self._row(frames) for _ in range(batch)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))  # type: ignore[return-value]

    def _row(self, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gain = np.float32(self.rng.uniform(0.9, 1.1))
        waves, latents, labels, total = [], [], [], 0
        while total < frames:
            i = self.rng.integers(len(self.waves))
            n = len(self.latents[i])
            waves.append(self.waves[i][: n * FRAME])
            latents.append(self.latents[i])
            labels.append(self.labels[i][:n])
            total += n
        start = self.rng.integers(0, total - frames + 1)
        wave = np.concatenate([*waves, np.zeros(SAMPLES, np.float32)])
        wave = wave[start * FRAME : (start + frames) * FRAME + SAMPLES - FRAME] * gain
        if self.rng.random() < 0.1:  # the end of a reference
            quiet = int(self.rng.integers(1, 16))
            wave[-quiet * FRAME :] = 0
        return (
            wave,
            np.concatenate(latents)[start : start + frames],
            np.concatenate(labels)[start : start + frames],
        )


def frame_sound_names(recordings: list[corpus.Recording]) -> dict[str, int]:
    """Numbers the synthesizer's phones."""
    return {name: i for i, name in enumerate(sorted({s for r in recordings for s in r.sounds}))}


def frame_sounds(recording: corpus.Recording, names: dict[str, int]) -> np.ndarray:
    """Returns the synthesizer's phone in the middle of each frame, int64 [frames]."""
    middles = (np.arange(n_frames(len(recording.wave))) + 0.5) * FRAME / corpus.RATE
    places = np.searchsorted(recording.sound_ends, middles).clip(max=len(recording.sounds) - 1)
    return np.array([names[recording.sounds[i]] for i in places], np.int64)


@torch.inference_mode()
def encode_all(model: Tokens, recordings: list[corpus.Recording], tail: int = 0) -> Iterator[np.ndarray]:
    """Yields the codes of each recording, followed by `tail` zero samples."""
    model.eval()
    for recording in recordings:
        wave = np.pad(recording.wave.astype(np.float32) / 32768, (0, tail))
        features = model.hubert(torch.from_numpy(wave)[None])[0].T
        features = features[:, : features.shape[1] // 2 * 2]
        yield model.nearest(model.project(features[None]))[0].numpy()


def save_codes(
    model: Tokens, recordings: list[corpus.Recording], path: Path, *, references: bool = True
) -> None:
    """Writes the codes of recordings, as targets and, if asked for, as references."""
    codes = list(encode_all(model, recordings))
    prompts = (
        list(encode_all(model, recordings, REFERENCE_TAIL)) if references else [codes[0][:0]] * len(codes)
    )
    used = np.bincount(np.concatenate(codes), minlength=CODES)
    share = used[used > 0] / used.sum()
    click.echo(
        f"{path.name}: {(used > 0).sum()} codes, perplexity {np.exp(-(share * np.log(share)).sum()):.0f}"
    )
    np.savez_compressed(
        path,
        codes=np.concatenate(codes).astype(np.int16),
        ends=np.cumsum([len(c) for c in codes]),
        prompts=np.concatenate(prompts).astype(np.int16),
        prompt_ends=np.cumsum([len(c) for c in prompts]),
    )


def save_all_codes(model: Tokens, data: Path, out: Path) -> None:
    """Writes the codes of all training recordings in DATA to OUT; a reference is taken from the first ones only."""
    for name in ("train", "more", "reference"):
        recordings = corpus.load(data / f"{name}.npz")
        save_codes(model, recordings, out / f"{name}_codes.npz", references=name != "more")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--steps", default=STEPS, show_default=True)
@click.option(
    "--codes-from", default=0.5, show_default=True, help="Share of the steps after which codes are used."
)
@click.option("--batch", default=8, show_default=True)
@click.option("--frames", default=100, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path, out: Path, steps: int, codes_from: float, batch: int, frames: int, threads: int, seed: int
) -> None:
    """Trains on DATA; writes OUT/encoder.pt, and the codes of all recordings."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    recordings = corpus.load(data / "train.npz")
    latents = load_latents(data / "latents.npz")
    names = frame_sound_names(recordings)
    clips = Clips(recordings, latents, names, seed)
    model = Tokens(len(names))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.98), weight_decay=1e-3)
    weight = torch.ones(LATENT)
    weight[-4:] = 3.0
    progress, step, quantize = Progress(6), 0, False
    while step < steps:
        done = step / steps
        if not quantize and done >= codes_from:
            quantize = True
            vectors = [
                model.project(
                    model.hubert.encode(clips.draw(batch, frames)[0])[:, :frames].transpose(1, 2)
                ).detach()
                for _ in range(50)
            ]
            model.start_codebook(torch.cat([v.transpose(1, 2).flatten(0, 1) for v in vectors]))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 200) * 0.05**done
        waves, z, sounds = clips.draw(batch, frames)
        waves = waves + torch.randn_like(waves) * 10 ** torch.empty(batch, 1).uniform_(-4.5, -3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            read, scores, direct, commitment = model(waves, quantize)
        read, scores, direct = read.float(), scores.float(), direct.float()
        regression = ((read - z) ** 2 * weight).mean()
        named = F.cross_entropy(scores.flatten(0, 1), sounds.flatten())
        heard = F.cross_entropy(direct.flatten(0, 1)[: sounds.numel()], sounds.flatten())
        loss = 2.0 * regression + named + 0.3 * heard + 0.25 * commitment.float()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        step += 1
        right = (scores.argmax(-1) == sounds).float().mean()
        progress.add([float(v.detach()) for v in (loss, regression, named, heard, commitment, right)])
    torch.save({"model": model.state_dict(), "sounds": len(names)}, out / "encoder.pt")
    save_all_codes(model, data, out)


if __name__ == "__main__":
    main()
