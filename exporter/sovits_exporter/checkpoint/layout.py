"""Names and shapes of the tensors in an official checkpoint, derived from its config.

Names are those of the file: `model.` in front of a GPT's, weight norm as `weight_g` and `weight_v`.
"""

from __future__ import annotations

from sovits_exporter.checkpoint.config import (
    STYLE_WIDTH,
    Config,
    DecoderDims,
    SovitsDims,
    gpt_dims,
    sovits_dims,
)
from sovits_exporter.modeling.sizes import HEAD_WIDTH, MEL_BANDS, DitDims
from sovits_runtime.bundle.model_spec import ModelSpec, model_spec

Shape = tuple[int, ...]
Layout = dict[str, Shape]

BERT_WIDTH = 1024
SSL_WIDTH = 768
SPEAKER_WIDTH = 20480
RELATIVE_WINDOW = 4
STYLE_HIDDEN = 128
FLOW_LAYERS, FLOW_WN_LAYERS, WN_KERNEL = 4, 4, 5
FEATURE_WN_LAYERS = 8
TIME_FEATURES, POSITION_KERNEL, POSITION_GROUPS, TEXT_KERNEL = 256, 31, 16, 7


def gpt_layout(config: Config) -> Layout:
    """Returns the tensors of a GPT checkpoint.

    Source: GPT-SoVITS, AR/models/t2s_model.py, Text2SemanticDecoder.

    Raises:
        CheckpointError: The config lacks a size or states an impossible one.
    """
    dims = gpt_dims(config)
    w = dims.width
    layout = {
        **_dense("bert_proj", w, BERT_WIDTH),
        "ar_text_embedding.word_embeddings.weight": (dims.phones, w),
        "ar_text_position.alpha": (1,),
        "ar_audio_embedding.word_embeddings.weight": (dims.tokens, w),
        "ar_audio_position.alpha": (1,),
    }
    for i in range(dims.layers):
        layout |= _under(f"h.layers.{i}", _gpt_layer(w))
    layout["ar_predict_layer.weight"] = (dims.tokens, w)
    return _under("model", layout)


def sovits_layout(config: Config, version: str, dit: DitDims | None = None) -> Layout:
    """Returns the tensors of a SoVITS checkpoint for inference, that is without `enc_q`.

    Source: GPT-SoVITS, module/models.py, SynthesizerTrn, SynthesizerTrnV3.

    Args:
        config: Its training config.
        version: Its model version.
        dit: Sizes of the transformer, where the version's decoder is flow matching.

    Raises:
        CheckpointError: The config states an impossible size.
    """
    spec = model_spec(version)
    dims = sovits_dims(config, version, dit)
    layout = {
        **_under("enc_p", _text_encoder(dims, spec)),
        **_under("ref_enc", _style_encoder(spec.reference_bins, dims.gin_channels)),
        **_conv("ssl_proj", SSL_WIDTH, SSL_WIDTH, 2),
        **_under("quantizer.vq.layers.0._codebook", _codebook(spec.codebook_size)),
    }
    if isinstance(dims.decoder, DitDims):
        assert spec.flow is not None
        return layout | _flow_matching(dims.decoder, dims, step_size=spec.flow.step_size_embedding)
    layout |= _under("dec", _decoder(dims.decoder, dims.inter_channels, dims.gin_channels))
    layout |= _under("flow", _flow(dims))
    if spec.speaker_network:
        layout |= _dense("sv_emb", dims.gin_channels, SPEAKER_WIDTH)
        layout |= _dense("ge_to512", STYLE_WIDTH, dims.gin_channels)
        layout["prelu.weight"] = (dims.gin_channels,)
    return layout


def _under(prefix: str, layout: Layout) -> Layout:
    return {f"{prefix}.{name}": shape for name, shape in layout.items()}


def _dense(name: str, out: int, into: int) -> Layout:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _conv(name: str, out: int, into: int, kernel: int = 1) -> Layout:
    return {f"{name}.weight": (out, into, kernel), f"{name}.bias": (out,)}


def _normed(name: str, shape: tuple[int, int, int], bias: int) -> Layout:
    """A convolution under weight norm: one gain for each entry of the weight's first axis."""
    return {f"{name}.bias": (bias,), f"{name}.weight_g": (shape[0], 1, 1), f"{name}.weight_v": shape}


def _layer_norm(name: str, width: int) -> Layout:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _gpt_layer(width: int) -> Layout:
    return {
        "self_attn.in_proj_weight": (3 * width, width),
        "self_attn.in_proj_bias": (3 * width,),
        **_dense("self_attn.out_proj", width, width),
        **_dense("linear1", 4 * width, width),
        **_dense("linear2", width, 4 * width),
        **_layer_norm("norm1", width),
        **_layer_norm("norm2", width),
    }


def _text_encoder(dims: SovitsDims, spec: ModelSpec) -> Layout:
    h = dims.hidden_channels
    return {
        **_conv("ssl_proj", h, SSL_WIDTH),
        **_under("encoder_ssl", _encoder(dims, dims.n_layers // 2)),
        **_under("encoder_text", _encoder(dims, dims.n_layers)),
        "text_embedding.weight": (spec.n_symbols, h),
        **_under("mrte.cross_attention", _attention(STYLE_WIDTH)),
        **_conv("mrte.c_pre", STYLE_WIDTH, h),
        **_conv("mrte.text_pre", STYLE_WIDTH, h),
        **_conv("mrte.c_post", h, STYLE_WIDTH),
        **_under("encoder2", _encoder(dims, dims.n_layers // 2)),
        **_conv("proj", 2 * dims.inter_channels, h),
    }


def _encoder(dims: SovitsDims, layers: int) -> Layout:
    h, f, k = dims.hidden_channels, dims.filter_channels, dims.kernel_size
    table = (1, 2 * RELATIVE_WINDOW + 1, h // dims.n_heads)
    layout: Layout = {}
    for i in range(layers):
        layout |= {f"attn_layers.{i}.emb_rel_k": table, f"attn_layers.{i}.emb_rel_v": table}
        layout |= _under(f"attn_layers.{i}", _attention(h))
        layout |= {f"norm_layers_1.{i}.gamma": (h,), f"norm_layers_1.{i}.beta": (h,)}
        layout |= _conv(f"ffn_layers.{i}.conv_1", f, h, k) | _conv(f"ffn_layers.{i}.conv_2", h, f, k)
        layout |= {f"norm_layers_2.{i}.gamma": (h,), f"norm_layers_2.{i}.beta": (h,)}
    return layout


def _attention(width: int) -> Layout:
    layout: Layout = {}
    for part in "qkvo":
        layout |= _conv(f"conv_{part}", width, width)
    return layout


def _decoder(dims: DecoderDims, inter: int, gin: int) -> Layout:
    width = dims.initial_channels
    layout = _conv("conv_pre", width, inter, 7)
    for i, kernel in enumerate(dims.upsample_kernels):
        layout |= _normed(f"ups.{i}", (width >> i, width >> (i + 1), kernel), bias=width >> (i + 1))
    blocks = len(dims.resblock_kernels)
    for i in range(len(dims.upsample_rates)):
        n = width >> (i + 1)
        for j, kernel in enumerate(dims.resblock_kernels):
            for part in (f"{half}.{d}" for half in ("convs1", "convs2") for d in range(3)):
                layout |= _normed(f"resblocks.{i * blocks + j}.{part}", (n, n, kernel), bias=n)
    layout["conv_post.weight"] = (1, width >> len(dims.upsample_rates), 7)
    return layout | _conv("cond", width, gin)


def _flow(dims: SovitsDims) -> Layout:
    h, half = dims.hidden_channels, dims.inter_channels // 2
    layout: Layout = {}
    for i in range(0, 2 * FLOW_LAYERS, 2):  # the odd ones flip the channels and hold nothing
        coupling = {
            **_conv("pre", h, half),
            **_under("enc", _wave_net(h, WN_KERNEL, FLOW_WN_LAYERS, dims.gin_channels)),
            **_conv("post", half, h),
        }
        layout |= _under(f"flows.{i}", coupling)
    return layout


def _flow_matching(dit: DitDims, dims: SovitsDims, *, step_size: bool) -> Layout:
    """Source: GPT-SoVITS, module/models.py, SynthesizerTrnV3; f5_tts/model/backbones/dit.py, DiT."""
    w, text, gin = dit.width, dit.text_width, dims.gin_channels
    layout = {
        **_conv("bridge.0", text, dims.hidden_channels),
        **_conv("wns1.pre", text, text),
        **_under("wns1.enc", _wave_net(text, WN_KERNEL, FEATURE_WN_LAYERS, gin)),
        **_conv("wns1.proj", text, text),
        **_conv("linear_mel", MEL_BANDS, text),
    }
    estimator: Layout = {}
    for name in ("time_embed", *(("d_embed",) if step_size else ())):
        estimator |= _dense(f"{name}.time_mlp.0", w, TIME_FEATURES) | _dense(f"{name}.time_mlp.2", w, w)
    for i in range(dit.text_layers):
        estimator |= _under(f"text_embed.text_blocks.{i}", _text_block(text))
    estimator |= _dense("input_embed.proj", w, 2 * MEL_BANDS + text)
    for i in (0, 2):
        name = f"input_embed.conv_pos_embed.conv1d.{i}"
        estimator |= _conv(name, w, w // POSITION_GROUPS, POSITION_KERNEL)
    estimator["rotary_embed.inv_freq"] = (HEAD_WIDTH // 2,)
    for i in range(dit.depth):
        estimator |= _under(f"transformer_blocks.{i}", _transformer_block(dit))
    estimator |= _dense("norm_out.linear", 2 * w, w) | _dense("proj_out", MEL_BANDS, w)
    return layout | _under("cfm.estimator", estimator)


def _text_block(width: int) -> Layout:
    return {
        **_conv("dwconv", width, 1, TEXT_KERNEL),
        **_layer_norm("norm", width),
        **_dense("pwconv1", 2 * width, width),
        "grn.gamma": (1, 1, 2 * width),
        "grn.beta": (1, 1, 2 * width),
        **_dense("pwconv2", width, 2 * width),
    }


def _transformer_block(dit: DitDims) -> Layout:
    w = dit.width
    layout = _dense("attn_norm.linear", 6 * w, w)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        layout |= _dense(f"attn.{part}", w, w)
    return layout | _dense("ff.ff.0.0", dit.inner, w) | _dense("ff.ff.2", w, dit.inner)


def _wave_net(width: int, kernel: int, layers: int, gin: int) -> Layout:
    layout: Layout = {}
    for i in range(layers):
        layout |= _normed(f"in_layers.{i}", (2 * width, width, kernel), bias=2 * width)
    for i in range(layers):
        out = width if i == layers - 1 else 2 * width
        layout |= _normed(f"res_skip_layers.{i}", (out, width, 1), bias=out)
    return layout | _normed("cond_layer", (2 * width * layers, gin, 1), bias=2 * width * layers)


def _style_encoder(bins: int, gin: int) -> Layout:
    h = STYLE_HIDDEN
    layout = _dense("spectral.0.fc", h, bins) | _dense("spectral.3.fc", h, h)
    for i in range(2):
        layout |= _conv(f"temporal.{i}.conv1.conv", 2 * h, h, 5)
    for part in ("w_qs", "w_ks", "w_vs", "fc"):
        layout |= _dense(f"slf_attn.{part}", h, h)
    return layout | _dense("fc.fc", gin, h)


def _codebook(size: int) -> Layout:
    return {
        "inited": (1,),
        "cluster_size": (size,),
        "embed": (size, SSL_WIDTH),
        "embed_avg": (size, SSL_WIDTH),
    }
