"""Which tests a fault in a file meets first: C tests by name, and test files of pytest.

All rows whose pattern fits count, from the top; then the default ones. A mutant meets every C test and as
many of the test files as fit into the time (see campaign.py), so the likeliest come first.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

_TABLE: list[tuple[str, str]] = [
    ("api/table.c", "test_engine"),
    ("api/optimizer_arrays.c", "test_arrays test_refusals test_plain_updates test_optimizer_training"),
    ("api/optimizer_arrays.c", "test_gemm"),
    ("api/optimizer_arrays.c", "test_bad_input test_matrices test_optimizers test_plain_threads"),
    ("training/averages.c", "test_corners test_write test_refusals test_averages test_wrapper_vectors"),
    ("training/averages.c", "test_sam"),
    ("api/products.c", "test_refusals test_products test_gemm"),
    ("training/clip.c", "test_write test_clip test_clip_ledger test_clipping test_constraints"),
    ("training/clip.c", "test_effective_weights"),
    ("training/clip.c", "test_pruning test_scheduled_clips"),
    ("training/clip_rules.c", "test_write test_clip test_clip_ledger test_clipping test_constraints"),
    ("training/clip_rules.c", "test_pruning"),
    ("base/crowding.c", "test_crowding test_threads test_plain_threads test_late_threads test_reproducible"),
    ("base/cpu.c", "test_refusals test_import test_kernels"),
    ("optimizers/eigenvectors.c", "test_matrices test_curvature"),
    ("api/elementwise.c", "test_elementwise test_refusals test_plain_threads test_losses test_activations"),
    ("files/model_file.c", "test_corners test_io_files test_files"),
    ("base/format.c", "test_corners test_locale"),
    ("network/draws.c", "test_initializers test_initial_values"),
    ("files/*.c", "test_corners test_io test_io_files test_files"),
    ("base/locks.c", "test_choices test_sharing test_forks test_threads"),
    ("pass/loss.c", "test_loss test_loss_options test_loss_vectors test_losses"),
    ("matri*.c", "test_matrices test_optimizer_styles test_bad_input"),
    ("base/memory.c", "test_memory test_engine"),
    ("optimizers/muon.c", "test_matrices test_optimizer_styles"),
    ("network/network.c", "test_refusals test_network test_heads test_layers test_bad_input"),
    ("optimizers/scalars.c", "test_plain_updates test_optimizers test_optimizer_styles test_averages"),
    ("optimizers/orthogonal.c", "test_matrices test_initializers test_initial_values"),
    ("network/parameters.c", "test_initialize test_refusals test_network test_flat_parameters"),
    ("network/parameters.c", "test_initial_values test_weight_norm"),
    ("pass/by_hand.c", "test_refusals test_custom_loss test_gradients test_network test_outputs"),
    ("network/penalty.c", "test_refusals test_penalties test_effective_weights test_scheduled_rates"),
    ("pass/plan.c", "test_choices test_threads test_reproducible test_reproducible_rows test_narrow"),
    ("pass/plan.c", "test_strips"),
    ("pass/plan.c", "test_memory"),
    ("pass/prediction.c", "test_refusals test_outputs test_fit test_heads test_threads test_bad_input"),
    ("api/ranges.c", "test_choices test_elementwise test_plain_threads"),
    ("pass/scheduled_rates.c", "test_rates test_scheduled_rates test_noise"),
    ("base/registry.c", "test_completeness test_bad_input test_loss_options test_import"),
    ("base/rng.c", "test_reference test_reproducible test_noise test_initial_values"),
    ("training/sharpness_aware.c", "test_sam"),
    ("optimizers/soap.c", "test_matrices test_optimizer_styles"),
    ("pass/forward_backward.c", "test_reproducible test_reproducible_layers test_penalties test_gradients"),
    ("pass/forward_backward.c", "test_clipping"),
    ("training/gradient_surgery.c", "test_heads test_heads_reproducible test_heads_bad_input"),
    ("training/losses.c", "test_heads test_heads_reproducible test_losses test_loss_options"),
    ("training/losses.c", "test_heads_bad_input"),
    ("base/threads.c", "test_threads test_reproducible"),
    ("training/slice.c", "test_nonfinite test_threads test_fit test_reproducible test_reproducible_layers"),
    ("training/checks.c", "test_refusals test_bad_input test_heads_bad_input test_fit test_loss_options"),
    ("training/trainer.c", "test_write test_refusals test_files test_optimizer_training test_bad_input"),
    ("training/trainer.c", "test_averages"),
    ("training/trainer.c", "test_fit"),
    ("pass/thread_choice.c", "test_choices test_threads test_reproducible"),
    ("training/update.c", "test_nonfinite test_clipping test_averages test_optimizer_training"),
    ("ops/activation.c", "test_corners test_activations test_gradients"),
    ("ops/batch_norm.c", "test_batch_norm test_reproducible_layers"),
    ("ops/dense.c", "test_weight_norm test_gradients test_reproducible test_penalties"),
    ("ops/dropout.c", "test_noise test_scheduled_rates test_reproducible_layers"),
    ("ops/noise.c", "test_noise test_scheduled_rates test_reproducible_layers"),
    ("ops/embedding.c", "test_embedding"),
    ("ops/heads.c", "test_corners test_heads test_heads_reproducible"),
    ("ops/residual.c", "test_residual test_depth"),
    ("ops/rescale.c", "test_write test_weight_norm test_effective_weights test_rescale_vectors test_norms"),
    ("ops/norm.c", "test_norms"),
    ("ops/standardize.c", "test_standardize test_network"),
    ("ops/glu.c", "test_gates"),
    ("ops/maxout.c", "test_gates"),
    ("ops/prelu.c", "test_gates test_activations"),
    ("ops/*.c", "test_layers test_reproducible_layers test_gradients"),
    ("kernels/act/*.inc", "test_kernels test_activations test_plain_kernels"),
    ("kernels/norm/batch.inc", "test_batch_norm test_kernels"),
    ("kernels/vector/strips.inc", "test_clip test_clipping test_constraints"),
    ("kernels/act/gates.inc", "test_gates test_kernels"),
    ("kernels/gemm/gemm.inc", "test_gemm test_strips test_kernels test_guard_pages"),
    ("kernels/gemm/product.inc", "test_products test_gemm"),
    ("kernels/gemm/narrow.inc", "test_narrow test_gemm test_guard_pages"),
    ("kernels/vector/layout.inc", "test_kernels test_network test_guard_pages test_flat_parameters"),
    ("kernels/loss/*.inc", "test_losses test_loss_vectors test_loss_options test_guard_pages"),
    ("kernels/vector/math.inc", "test_math test_activations test_kernels"),
    ("kernels/vector/noise.inc", "test_noise test_initializers test_guard_pages"),
    ("kernels/norm/rows.inc", "test_norms test_kernels test_guard_pages"),
    ("kernels/optim/matrices.inc", "test_matrices"),
    ("kernels/optim/*.inc", "test_optimizers test_optimizer_training test_optimizer_styles test_guard_pages"),
    ("kernels/reduce.c", "test_activations"),
    ("kernels/vector/sine.inc", "test_activations test_kernels test_math"),
    ("kernels/vector/sums.inc", "test_kernels test_clipping test_noise test_guard_pages"),
    ("kernels/*.inc", "test_kernels test_guard_pages"),
]
_DEFAULT = "test_gradients test_fit"


def tests_of(file: str, root: Path) -> tuple[list[str], list[str]]:
    """C tests and test files, in order, that a file is mapped to and that exist."""
    name = file.removeprefix("src_c/")
    words = " ".join([row for pattern, row in _TABLE if fnmatch(name, pattern)] + [_DEFAULT]).split()
    words = list(dict.fromkeys(words))
    in_c = [word for word in words if (root / "tests" / "c" / f"{word}.c").is_file()]
    folders = {path.stem: path.parent.name for path in (root / "tests").glob("*/test_*.py")}
    return in_c, [f"{folders[word]}/{word}.py" for word in words if word in folders]
