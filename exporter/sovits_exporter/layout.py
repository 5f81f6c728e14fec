"""Names and shapes of the tensors in an official checkpoint, derived from its config.

Names are those of the file: `model.` in front of a GPT's, weight norm as `weight_g` and `weight_v`.
"""

from __future__ import annotations

from sovits_exporter.dims import STYLE_WIDTH, Config, DecoderDims, SovitsDims, gpt_dims, sovits_dims
from sovits_runtime.errors import CheckpointError
from sovits_runtime.spec import MODEL_SPECS, ModelSpec, model_spec

Shape = tuple[int, ...]
Layout = dict[str, Shape]

BERT_WIDTH = 1024
SSL_WIDTH = 768
SPEAKER_WIDTH = 20480
RELATIVE_WINDOW = 4
STYLE_HIDDEN = 128
FLOW_LAYERS, FLOW_WN_LAYERS, FLOW_KERNEL = 4, 4, 5


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


def sovits_layout(config: Config, version: str) -> Layout:
    """Returns the tensors of a SoVITS checkpoint for inference, that is without `enc_q`.

    Source: GPT-SoVITS, module/models.py, SynthesizerTrn.

    Raises:
        CheckpointError: The version has another kind of decoder, or the config states an impossible size.
    """
    spec = model_spec(version)
    if spec.decoder != "hifigan":
        raise not_exportable(version)
    dims = sovits_dims(config, version)
    layout = {
        **_under("enc_p", _text_encoder(dims, spec)),
        **_under("dec", _decoder(dims.decoder, dims.inter_channels, dims.gin_channels)),
        **_under("flow", _flow(dims)),
        **_under("ref_enc", _style_encoder(spec.reference_bins, dims.gin_channels)),
        **_conv("ssl_proj", SSL_WIDTH, SSL_WIDTH, 2),
        **_under("quantizer.vq.layers.0._codebook", _codebook(spec.codebook_size)),
    }
    if spec.speaker_network:
        layout |= _dense("sv_emb", dims.gin_channels, SPEAKER_WIDTH)
        layout |= _dense("ge_to512", STYLE_WIDTH, dims.gin_channels)
        layout["prelu.weight"] = (dims.gin_channels,)
    return layout


def not_exportable(version: str) -> CheckpointError:
    """Returns the error that says which versions this release exports, `version` not among them."""
    works = ", ".join(v for v, spec in MODEL_SPECS.items() if spec.exportable)
    return CheckpointError(
        f"is a {version} model, expected a version that this release exports: {works}; use one of those"
    )


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
            **_under("enc", _wave_net(h, FLOW_KERNEL, FLOW_WN_LAYERS, dims.gin_channels)),
            **_conv("post", half, h),
        }
        layout |= _under(f"flows.{i}", coupling)
    return layout


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
