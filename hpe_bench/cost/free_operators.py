"""PyTorch operators that cost no multiply-adds by convention (docs/costs.md).

Free are normalisation, activation functions and everything else done element by element, reductions, pooling,
resampling, padding, indexing, sorting, random numbers, and whatever moves or describes data. PyTorch itself marks
element-wise operators and views; the others are named. What is left is either counted or unknown, never a quiet zero.
"""

from __future__ import annotations

from functools import lru_cache

import torch

# fmt: off
NAMED = frozenset({
    # normalisation
    "batch_norm", "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit_functional", "_batch_norm_impl_index", "_batch_norm_no_update", "cudnn_batch_norm",
    "instance_norm", "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "rms_norm",
    "_fused_rms_norm", "_weight_norm", "_weight_norm_interface", "norm_except_dim", "renorm", "cosine_similarity",
    "pairwise_distance", "local_response_norm", "lift", "lift_fresh",
    # activation functions and element-wise arithmetic that carries no mark
    "relu6", "prelu", "_prelu_kernel", "hardswish", "softmax", "_softmax", "_safe_softmax", "_masked_softmax",
    "log_softmax", "_log_softmax", "log_sigmoid", "log_sigmoid_forward", "glu", "softplus", "threshold", "rrelu",
    "rrelu_with_noise", "where", "masked_fill", "dropout", "feature_dropout", "alpha_dropout", "native_dropout",
    "isclose", "allclose", "equal", "isin", "cross", "linalg_cross", "outer", "ger", "kron", "diff", "gradient",
    "polar", "complex", "absolute", "negative", "subtract", "multiply", "divide", "true_divide", "floor_divide",
    "greater", "greater_equal", "less", "less_equal", "not_equal", "arctan2", "square", "clip", "fix", "isreal", "add",
    "sub", "mul", "div", "rsub", "remainder", "fmod", "pow", "float_power", "one_hot", "nan_to_num", "type_as", "addr",
    # reductions and scans
    "sum", "nansum", "mean", "nanmean", "prod", "max", "min", "amax", "amin", "aminmax", "argmax", "argmin", "any",
    "all", "norm", "frobenius_norm", "linalg_norm", "linalg_vector_norm", "linalg__powsum", "linalg_matrix_norm", "std",
    "var", "std_mean", "var_mean", "logsumexp", "special_logsumexp", "special_softmax", "special_log_softmax", "median",
    "nanmedian", "mode", "quantile", "nanquantile", "kthvalue", "count_nonzero", "trace", "cumsum", "cumprod", "cummax",
    "cummin", "_cummax_helper", "_cummin_helper", "logcumsumexp", "_logcumsumexp", "dist", "histc", "bincount",
    "trapezoid", "trapz",
    # pooling and resampling
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "fractional_max_pool2d", "max_unpool2d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "_grid_sampler_2d_cpu_fallback",
    "affine_grid_generator", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
    # padding
    "pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "_pad_circular", "_pad_enum",
    # indexing, sorting, sets
    "index", "index_select", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put", "index_add",
    "index_copy", "index_fill", "index_reduce", "gather", "scatter", "scatter_add", "scatter_reduce", "masked_select",
    "masked_scatter", "take", "take_along_dim", "put", "nonzero", "nonzero_numpy", "nonzero_static", "argwhere", "sort",
    "argsort", "msort", "topk", "unique_consecutive", "_unique", "_unique2", "unique_dim", "searchsorted", "bucketize",
    "embedding", "slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter", "tril", "triu",
    "tril_indices", "triu_indices", "diag", "diag_embed", "diagflat",
    # moving data
    "clone", "copy", "_to_copy", "to", "contiguous", "cat", "concat", "concatenate", "stack", "_stack", "hstack",
    "vstack", "dstack", "column_stack", "row_stack", "block_diag", "repeat", "repeat_interleave", "tile", "flip",
    "fliplr", "flipud", "roll", "rot90", "im2col", "col2im", "unfold", "fold", "reshape", "_unsafe_view", "resize",
    "resize_as", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "atleast_1d", "atleast_2d", "atleast_3d",
    "broadcast_tensors", "meshgrid", "cartesian_prod", "combinations", "pad_sequence", "_pack_padded_sequence",
    "_pad_packed_sequence", "expand_copy", "permute_copy", "set", "requires_grad", "vander",
    # making data, random or not
    "zeros", "ones", "full", "empty", "empty_strided", "empty_permuted", "zeros_like", "ones_like", "full_like",
    "empty_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "zero", "fill", "arange",
    "range", "linspace", "logspace", "eye", "scalar_tensor", "tensor", "hann_window", "hamming_window", "rand", "randn",
    "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "uniform", "random", "bernoulli",
    "multinomial", "poisson", "exponential", "cauchy", "geometric", "log_normal", "binomial",
    # describing data
    "size", "dim", "numel", "len", "item", "_local_scalar_dense", "is_nonzero", "stride", "storage_offset", "device",
    "Int", "IntImplicit", "Float", "FloatImplicit", "Bool", "ScalarImplicit", "_shape_as_tensor", "sym_size",
    "sym_numel", "_assert_async", "_assert_tensor_metadata", "result_type", "promote_types", "is_floating_point",
    "list",
})
# fmt: on


@lru_cache(maxsize=1024)
def is_free(name: str) -> bool:
    """Whether an operator of the `aten` namespace costs nothing; `name` without namespace and overload."""
    known = {name, name.removesuffix("_")}
    return name.startswith("__") or bool(known & NAMED) or any(_marked(n) for n in known)


def _marked(name: str) -> bool:
    """Whether PyTorch says that an operator works element by element, or gives a view of what it gets.

    One of its overloads says so; those that write into a given tensor, or take plain numbers, do not all.
    """
    packet = getattr(torch.ops.aten, name, None) if name.isidentifier() else None
    if packet is None:
        return False
    overloads = [getattr(packet, overload) for overload in packet.overloads()]
    return any(torch.Tag.pointwise in o.tags or _is_view(o) for o in overloads)


def _is_view(overload: torch._ops.OpOverload) -> bool:
    """Whether the result shares memory with an argument that is not written to."""
    arguments = (a.alias_info for a in overload._schema.arguments)
    returned = [r.alias_info for r in overload._schema.returns]
    return any(a is not None and not a.is_write for a in arguments) and any(r is not None for r in returned)
