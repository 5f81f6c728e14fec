"""Trains the prior: semantic tokens and phones to the latent's distribution, through the text encoder and the flow."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from features import load_latents, save_latents
from gpt import Line, disturbed, load_lines, near_codes
from layout import CODE_WIDTH, FLOW_HIDDEN, STYLE_WIDTH, sovits_config
from progress import Progress
from torch import Tensor, nn

from sovits_exporter.modeling.flow import CouplingLayer, Flow
from sovits_exporter.modeling.text_encoder import TextEncoder
from sovits_exporter.modeling.vits import FRAMES_PER_TOKEN, SSL_WIDTH
from sovits_runtime.bundle.model_spec import model_spec

STEPS = 2400
SAVE_EVERY = 500


class Prior(nn.Module):
    """Text encoder and flow over codes of the demo's codebook."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        model = sovits_config()["model"]
        self.enc_p = TextEncoder(
            ssl_width=SSL_WIDTH,
            channels=model["hidden_channels"],
            filter_channels=model["filter_channels"],
            heads=model["n_heads"],
            layers=model["n_layers"],
            kernel=model["kernel_size"],
            n_symbols=model_spec("v2").n_symbols,
            out_channels=model["inter_channels"],
        )
        self.flow = Flow(model["inter_channels"], FLOW_HIDDEN, STYLE_WIDTH)
        self.register_buffer("rows", F.pad(codebook, (0, SSL_WIDTH - CODE_WIDTH)))
        self.rows: Tensor
        with torch.no_grad():
            self.enc_p.ssl_proj.weight[:, CODE_WIDTH:] = 0  # those columns of the codebook are empty
            self.enc_p.text_embedding.weight.mul_(0.5)
            for module in self.modules():
                for name in ("emb_rel_k", "emb_rel_v"):
                    if hasattr(module, name):
                        nn.init.normal_(getattr(module, name), 0, 0.1)
            for layer in self.couplings():
                nn.init.zeros_(layer.post.weight)
                nn.init.zeros_(layer.post.bias)
                layer.enc.cond_layer.weight.mul_(0.1)

    def couplings(self) -> list[CouplingLayer]:
        """The layers of the flow that hold weights."""
        return [layer for layer in self.flow.flows if isinstance(layer, CouplingLayer)]

    def distribution(self, tokens: Tensor, phones: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens int64 [n], phones int64 [T] to mean and log deviation, each [1, 64, 2n]."""
        frames = F.embedding(tokens, self.rows).repeat_interleave(FRAMES_PER_TOKEN, 0).T[None]
        mean, log_scale = self.enc_p.proj(self.enc_p(frames, phones[None], style)).chunk(2, 1)
        return mean, log_scale

    def to_prior(self, z: Tensor, style: Tensor) -> Tensor:
        """The flow in the direction that training takes: latent [1, 64, F] to the prior's space."""
        for layer in self.flow.flows:
            if isinstance(layer, CouplingLayer):
                kept, changed = z.chunk(2, dim=1)
                z = torch.cat([kept, changed + layer.post(layer.enc(layer.pre(kept), style))], 1)
            else:
                z = torch.flip(z, [1])
        return z


def sample(prior: Prior, line: Line, style: Tensor, noise_scale: float) -> Tensor:
    """Draws the latent [1, 64, F] of an utterance from the prior, as speech does."""
    mean, log_scale = prior.distribution(torch.from_numpy(line.tokens), torch.from_numpy(line.phones), style)
    noisy = mean + noise_scale * torch.randn_like(mean) * torch.exp(log_scale)
    return prior.flow.reverse(noisy, style)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("encoder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--rate", default=1e-3, show_default=True, help="Learning rate at the start.")
@click.option("--together", default=4, show_default=True, help="Most utterances in one go.")
@click.option("--rounds", default=2, show_default=True, help="Goes a step.")
@click.option("--start", type=click.Path(path_type=Path), help="Weights to go on from.")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path,
    encoder: Path,
    out: Path,
    steps: int,
    rate: float,
    together: int,
    rounds: int,
    start: Path | None,
    threads: int,
    seed: int,
) -> None:
    """Trains on DATA and ENCODER/train_codes.npz; writes OUT/prior.pt, and OUT/latents.npz drawn for all sentences."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    out.mkdir(parents=True, exist_ok=True)
    lines = load_lines(data, encoder, "train")
    latents = load_latents(data / "latents.npz")
    style = torch.load(data / "style.pt")
    codebook = torch.load(encoder / "encoder.pt")["model"]["codebook"]
    near = near_codes(codebook)
    prior = Prior(codebook)
    if start:
        prior.load_state_dict(torch.load(start))
    optimizer = torch.optim.AdamW(prior.parameters(), rate, betas=(0.9, 0.98), weight_decay=1e-4)
    progress, step = Progress(3), 0
    while step < steps:
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 200) * (0.03**done)
        figures = np.zeros(3)
        optimizer.zero_grad(set_to_none=True)
        for _ in range(rounds):
            chosen = rng.integers(0, len(lines), rng.integers(1, together + 1))
            tokens = np.concatenate([lines[i].tokens for i in chosen])
            tokens = disturbed(tokens, 0.02, near, rng)
            phones = torch.from_numpy(np.concatenate([lines[i].phones for i in chosen]))
            z = torch.from_numpy(np.concatenate([latents[i] for i in chosen]).T[None].copy())
            near_style = style + 0.02 * torch.randn_like(style)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                mean, log_scale = prior.distribution(torch.from_numpy(tokens), phones, near_style)
            mean, log_scale = mean.float(), log_scale.float().clamp(-4, 2)
            z_p = prior.to_prior(z + 0.02 * torch.randn_like(z), near_style)
            miss = (z_p - mean) ** 2
            loss = (0.5 * miss * torch.exp(-2 * log_scale) + log_scale).mean()
            (loss / rounds).backward()
            figures += [
                float(loss.detach()) / rounds,
                float(miss.detach().mean()) / rounds,
                float(log_scale.detach().mean()) / rounds,
            ]
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        step += 1
        progress.add(figures)
        if step % SAVE_EVERY == 0:
            torch.save(prior.state_dict(), out / "prior.pt")
    torch.save(prior.state_dict(), out / "prior.pt")
    with torch.inference_mode():
        drawn = [sample(prior.eval(), line, style, 0.5)[0].T.numpy() for line in lines]
    save_latents(out / "latents.npz", drawn)
    error = np.mean([np.mean((a - b[: len(a)]) ** 2) for a, b in zip(drawn, latents, strict=True)])
    click.echo(f"drawn latents differ from measured ones by {error:.4f} (mean square)")


if __name__ == "__main__":
    main()
